"""`mask700 health`: what a service manager or a container's health check asks, by way of the engine's HTTP door.

It answers from /readyz, so that both processes have spoken. An engine that drains is healthy: who restarts it then
cuts the calls that it was told to let end.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated

import typer

from engine.cli.engine_client import settings_or_exit
from engine.cli.options import DEFAULT_CONFIG, Config, Json, Overrides
from engine.cli.output import DONE, FAILED, complain, print_json

_DRAINING = "draining"


def health(
    within: Annotated[float, typer.Option("--within", metavar="SECONDS", help="How long to wait.")] = 2.0,
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Tell by the exit status whether the engine is well: it takes calls, or drains."""
    host, port = settings_or_exit(config, overrides, json).control.address()
    state = _readiness(_reachable(host), port, within)
    well = state in ("ok", _DRAINING)
    if json:
        print_json({"healthy": well, "state": state})
    elif well:
        print(state)
    else:
        complain(state)
    raise typer.Exit(DONE if well else FAILED)


def _readiness(host: str, port: int, within: float) -> str:
    """ "ok", or why no calls are taken, in a line."""
    import http.client

    door = http.client.HTTPConnection(host, port, timeout=within)
    try:
        door.request("GET", "/readyz")
        answer = door.getresponse()
        said = answer.read(1000).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"nobody answers at {host}:{port}: {error}"
    finally:
        door.close()
    if answer.status == 200:
        return "ok"
    if answer.status == 503 and said:
        return said.splitlines()[0]
    return f"{host}:{port} answers {answer.status}, which is no engine's"


def _reachable(host: str) -> str:
    """Where a door that listens everywhere is found from here."""
    if ipaddress.ip_address(host).is_unspecified:
        return "::1" if ":" in host else "127.0.0.1"
    return host
