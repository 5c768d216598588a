"""Commands that ask the running engine: calls, trunks, stats, drain, log level, version."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.engine_client import EngineRefused, NoEngine, ask, ask_or_exit, settings_or_exit
from engine.cli.options import DEFAULT_CONFIG, Config, Json, Overrides
from engine.cli.output import print_json, print_table, print_values

if TYPE_CHECKING:
    from engine.settings import Settings

calls = typer.Typer(no_args_is_help=True, help="The calls that are up.")
trunks = typer.Typer(no_args_is_help=True, help="The ways in and out.")

_PAGE = 500
_WAIT_SECONDS = 0.5
_CALL_TITLES = (
    *("record_id", "state", "since", "model", "direction", "caller", "dialled", "shown", "callee"),
    *("in_trunk", "out_trunk"),
)
_TRUNK_TITLES = ("name", "enabled", "peers", "next_hops", "prefixes", "trust_identity", "number_format")


@calls.command("list")
def list_calls(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """List the calls that ring or talk, real numbers masked."""
    found = _calls(settings_or_exit(config, overrides, json), json)
    if json:
        for call in found:
            print_json(call)
    else:
        print_table(_CALL_TITLES, ([call.get(title) for title in _CALL_TITLES] for call in found))


@trunks.command("list")
def list_trunks(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """List the trunks of the running engine."""
    found = ask_or_exit(settings_or_exit(config, overrides, json), "trunks.list", json)
    if json:
        for trunk in found:
            print_json(trunk)
    else:
        print_table(_TRUNK_TITLES, ([trunk.get(title) for title in _TRUNK_TITLES] for trunk in found))


def stats(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """Show what the running engine is doing."""
    _show(ask_or_exit(settings_or_exit(config, overrides, json), "stats", json), json)


def drain(
    wait: Annotated[bool, typer.Option("--wait", help="Return when the last call has ended.")] = False,
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Take no new call; those that are up go on."""
    settings = settings_or_exit(config, overrides, json)
    answer = ask_or_exit(settings, "drain", json)
    while wait and answer["calls_active"]:
        time.sleep(_WAIT_SECONDS)
        answer = ask_or_exit(settings, "drain", json)
    _show(answer, json)


def log_level(
    level: Annotated[str, typer.Argument(metavar="[LEVEL]", help="debug, info, warning or error.")] = "",
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Show or change the engine's log level.

    A change lasts until the engine is restarted or reads its configuration again (SIGHUP).
    """
    settings = settings_or_exit(config, overrides, json)
    if level:
        _show(ask_or_exit(settings, "log-level", json, level=level), json)
    else:
        _show({"level": ask_or_exit(settings, "stats", json)["log_level"]}, json)


def version(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """Show what this is, and what runs here."""
    import platform
    from importlib import metadata

    from engine.settings import examine_settings

    settings, _ = examine_settings(config, overrides or [])
    try:
        running = ask(settings, "version", 2.0)
    except (NoEngine, EngineRefused):
        running = None
    values = {"version": metadata.version("mask700"), "python": platform.python_version(), "running": running}
    if json:
        print_json(values)
    else:
        print(f"mask700 {values['version']} (Python {values['python']})")
        if running is not None and running["version"] != values["version"]:
            print(f"the engine that runs here is {running['version']}")


def _calls(settings: Settings, json: bool) -> Iterator[dict[str, Any]]:
    """Page by page, in order of start."""
    after = None
    while True:
        page = ask_or_exit(settings, "calls.list", json, limit=_PAGE, after=after)
        yield from page["calls"]
        after = page["next"]
        if after is None:
            return


def _show(values: dict[str, Any], json: bool) -> None:
    print_json(values) if json else print_values(values)
