"""Asking the running engine over its control socket; reading the settings that say where it is."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from engine.cli.output import complain, fail
from engine.settings import Settings, SettingsError, load_settings

_ANSWER_SECONDS = 30.0


class NoEngine(Exception):
    """Nobody answers at the control socket."""


class EngineRefused(Exception):
    """The engine said no. `values` is its answer, "error" among them."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(str(values.get("error", "refused")))
        self.values = values


def settings_or_exit(config: Path, overrides: list[str] | None, as_json: bool = False) -> Settings:
    """The settings; or every problem on stderr and exit status 1."""
    try:
        return load_settings(config, overrides or [])
    except SettingsError as error:
        if as_json:
            problems = [
                {
                    "source": one.source,
                    "line": one.line,
                    "column": one.column,
                    "key": one.key,
                    "what": one.what,
                }
                for one in error.problems
            ]
            fail("the configuration is wrong", True, problems=problems)
        for problem in error.problems:
            complain(str(problem))
        fail("the configuration is wrong")


def ask(settings: Settings, op: str, within: float = _ANSWER_SECONDS, **arguments: Any) -> Any:
    """The engine's answer. Raise NoEngine or EngineRefused."""
    from engine.app.unix_door import connect

    path = settings.control_socket
    try:
        with contextlib.closing(connect(path, within)) as door, door.makefile("rwb") as stream:
            stream.write(msgspec.json.encode({"op": op, **arguments}) + b"\n")
            stream.flush()
            line = stream.readline()
    except TimeoutError:
        raise NoEngine(f"the engine at {path} did not answer in {within:g} s") from None
    except PermissionError as error:
        raise NoEngine(f"its engine's own user has to ask ({path}: {error.strerror})") from None
    except OSError as error:
        raise NoEngine(f"no engine runs here ({path}: {error.strerror or error})") from None
    if not line.endswith(b"\n"):
        raise NoEngine(f"the engine at {path} went away")
    answer = msgspec.json.decode(line, type=dict[str, Any])
    if not answer.pop("ok", False):
        raise EngineRefused(answer)
    return answer.get("result")


def ask_or_exit(
    settings: Settings, op: str, as_json: bool, within: float = _ANSWER_SECONDS, **arguments: Any
) -> Any:
    """The engine's answer; or why there is none, and exit status 1."""
    try:
        return ask(settings, op, within, **arguments)
    except (NoEngine, EngineRefused) as error:
        fail(str(error), as_json)
