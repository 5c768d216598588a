"""Commands that ask the running engine: calls, trunks, stats, drain, log level, version."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.engine_client import EngineRefused, NoEngine, ask, ask_or_exit, settings_or_exit
from engine.cli.options import DEFAULT_CONFIG, Clear, Config, Json, Overrides
from engine.cli.output import fail, print_json, print_table, print_values

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
_TRUNK_TITLES = (
    *("name", "state", "calls_in", "calls_out", "peers", "next_hops", "prefixes", "trust_identity"),
    "number_format",
)

CallName = Annotated[str, typer.Argument(metavar="ID", help="Its record id, or the Call-ID of one leg.")]
TrunkName = Annotated[str, typer.Argument(metavar="NAME")]


@calls.command("list")
def list_calls(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """List the calls that ring or talk, real numbers masked."""
    found = _calls(settings_or_exit(config, overrides, json), json)
    if json:
        for call in found:
            print_json(call)
    else:
        print_table(_CALL_TITLES, ([call.get(title) for title in _CALL_TITLES] for call in found))


@calls.command("show")
def show_call(
    call: CallName,
    ladder: Annotated[
        bool, typer.Option("--ladder", help="Draw its messages; of a number that `trace add` named.")
    ] = False,
    clear: Clear = False,
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Show everything about a call that is up: both legs, state, times; real numbers masked.

    With --clear in clear, which takes the engine's keys and not only its control socket.
    """
    from engine.cli.tracing import show_ladder

    settings = settings_or_exit(config, overrides, json)
    if ladder:
        show_ladder(settings, call, json, clear)
        return
    found = ask_or_exit(settings, "calls.show", json, call=call)
    sealed = found.pop("sealed")
    if clear:
        found |= _opened(settings, sealed, json)
        for side, call_id in (("caller", "a_call_id"), ("callee", "b_call_id")):
            if found["legs"][side] is not None:
                found["legs"][side]["call_id"] = found[call_id]
    _show(found, json)


@calls.command("end")
def end_call(
    call: CallName, json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None
) -> None:
    """Hang up on both sides of a call; one that rings is given up."""
    _show(ask_or_exit(settings_or_exit(config, overrides, json), "calls.end", json, call=call), json)


@trunks.command("list")
def list_trunks(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """List the trunks of the running engine, their calls, and which next hops are up.

    A trunk is up, down (all of its next hops are), draining (disabled, calls go on) or disabled.
    """
    found = ask_or_exit(settings_or_exit(config, overrides, json), "trunks.list", json)
    if json:
        for trunk in found:
            print_json(trunk)
    else:
        print_table(_TRUNK_TITLES, (_trunk_words(trunk) for trunk in found))


@trunks.command("enable")
def enable_trunk(
    name: TrunkName, json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None
) -> None:
    """Let a trunk take calls, whatever its configuration says, until it is disabled or the engine restarts."""
    _set_trunk("trunks.enable", name, json, config, overrides)


@trunks.command("disable")
def disable_trunk(
    name: TrunkName, json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None
) -> None:
    """Let a trunk take no new call, in or out; its calls go on: `trunks list` tells how many are left.

    Until it is enabled again or the engine restarts; a reload (SIGHUP) does not change it.
    """
    _set_trunk("trunks.disable", name, json, config, overrides)


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

    from engine.app.rooms import rooms
    from engine.settings import examine_settings

    settings, _ = examine_settings(config, overrides or [])
    try:
        running = ask(settings, "version", 2.0)
    except (NoEngine, EngineRefused):
        running = None
    values = {"version": metadata.version("mask700"), "python": platform.python_version(), "rooms": rooms()}
    if json:
        print_json({**values, "running": running})
    else:
        print(f"mask700 {_build(values)}")
        if running is not None and running != values:
            print(f"the engine that runs here is {_build(running)}")


def _build(values: dict[str, Any]) -> str:
    """An engine from before there was anything to compile does not say."""
    return f"{values['version']} (Python {values['python']}, rooms {values.get('rooms', 'interpreted')})"


def _set_trunk(op: str, name: str, json: bool, config: Path, overrides: list[str] | None) -> None:
    trunk = ask_or_exit(settings_or_exit(config, overrides, json), op, json, name=name)
    if json:
        print_json(trunk)
    else:
        print(f"{trunk['name']}: {trunk['state']}, {trunk['calls_in']} calls in, {trunk['calls_out']} out")


def _trunk_words(trunk: dict[str, Any]) -> list[object]:
    """A line of the table: a next hop says its state unless it is up."""
    words = {title: trunk.get(title) for title in _TRUNK_TITLES}
    words["next_hops"] = [
        hop["next_hop"] if hop["state"] == "up" else f"{hop['next_hop']} ({hop['state']})"
        for hop in trunk["next_hops"]
    ]
    return list(words.values())


def _opened(settings: Settings, sealed: str, json: bool) -> dict[str, object]:
    """The record of a call that is up, in clear."""
    from binascii import a2b_base64

    from engine.cli.records import record_codec
    from engine.records.sealed_record import BrokenLine

    codec = record_codec(settings, json)
    try:
        return codec.open(codec.parse(a2b_base64(sealed)))
    except BrokenLine as error:
        fail(str(error), json)


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
