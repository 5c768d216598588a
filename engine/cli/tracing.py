"""`mask700 trace`: numbers whose calls are kept; and the drawing of one, for `calls show --ladder`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.engine_client import ask_or_exit, settings_or_exit
from engine.cli.options import DEFAULT_CONFIG, Config, Json, Overrides
from engine.cli.output import BAD_USAGE, fail, print_json, print_table

if TYPE_CHECKING:
    from engine.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="Numbers whose calls are kept, to be drawn by `calls show --ladder`."
)

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="A real number or a 700 number.")]

_SPAN = re.compile(r"([0-9]{1,9})([smhd]?)\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_CALL_TITLES = ("record_id", "caller", "dialled", "callee", "disposition", "messages")


@app.command("add")
def add(
    number: Number,
    span: Annotated[str, typer.Option("--for", metavar="TIME", help="30s, 10m, 2h; then it ends.")] = "10m",
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Keep the messages of this number's calls that begin from now on.

    Whether it calls, is dialled, shown or rung. Messages lie in the engine's memory only.
    """
    found = _SPAN.match(span)
    if found is None:
        fail(f'--for: "{span}" must be like 30s, 10m or 2h', json, BAD_USAGE)
    seconds = int(found[1]) * _SECONDS[found[2]]
    answer = _ask(config, overrides, json, "trace.add", number=number, seconds=seconds)
    print_json(answer) if json else print(f"{answer['number']} is traced for {answer['seconds']} s")


@app.command("remove")
def remove(
    number: Number, json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None
) -> None:
    """Keep no further calls of this number; those that are kept stay for a while."""
    answer = _ask(config, overrides, json, "trace.remove", number=number)
    print_json(answer) if json else print(f"{answer['number']} is not traced any more")


@app.command("list")
def list_traced(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """List the numbers that are traced and the calls that are kept, real numbers masked."""
    answer = _ask(config, overrides, json, "trace.list")
    if json:
        print_json(answer)
        return
    print_table(
        ("number", "seconds_left"), ([one["number"], one["seconds_left"]] for one in answer["numbers"])
    )
    print_table(_CALL_TITLES, ([call[title] for title in _CALL_TITLES] for call in answer["calls"]))


def show_ladder(settings: Settings, name: str, json: bool, clear: bool) -> None:
    """Draws a kept call, or prints it as one JSON value. `name`: record id or Call-ID. `clear`: for who holds the
    sealing key."""
    from engine.observe.ladder import draw

    call = ask_or_exit(settings, "trace.show", json, call=name, clear=clear)
    if clear:
        call = _opened(settings, name, call["sealed"], json)
    if json:
        print_json(call)
    else:
        for line in draw(call):
            print(line)


def _opened(settings: Settings, name: str, sealed: str, json: bool) -> Any:
    import os
    from base64 import b64decode

    import msgspec

    from engine.app.watching import sealed_context
    from engine.sealing.cipher import SealBroken, Sealer
    from engine.sealing.keys import KeyRing, KeysUnusable

    try:
        ring = KeyRing.open(settings.sealing.directory(settings.data_dir), os.environ, create=False)
        return msgspec.json.decode(Sealer(ring).open(b64decode(sealed), sealed_context(name)))
    except (KeysUnusable, SealBroken) as error:
        fail(f"--clear is for who holds the sealing key: {error}", json)


def _ask(config: Config, overrides: Overrides, json: bool, op: str, **arguments: Any) -> Any:
    return ask_or_exit(settings_or_exit(config, overrides, json), op, json, **arguments)
