"""`mask700 keys`: the keys that seal records and bindings, that sign segments, and that make look-up tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.engine_client import EngineRefused, NoEngine, ask, settings_or_exit
from engine.cli.options import DEFAULT_CONFIG, Config, Json, Overrides
from engine.cli.output import BAD_USAGE, complain, fail, print_json, print_table

if TYPE_CHECKING:
    from engine.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The keys that seal, sign and look up.")

_TITLES = ("kind", "id", "current", "from", "made", "fingerprint")
_LOOKUP_STAYS = (
    "the look-up key cannot rotate: bindings, records and indexes are found by tokens that it made, and all of them"
    " would have to be made anew"
)


@app.command("list")
def list_keys(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """Name the keys that are here; of those that sign, --json has the public half. No secret is shown."""
    settings = settings_or_exit(config, overrides, json)
    keys = _keys(settings, json)
    if json:
        for key in keys:
            print_json(key)
    else:
        print_table(_TITLES, ([key[title] for title in _TITLES] for key in keys))


@app.command("generate")
def generate_keys(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """Make the keys that nobody has configured, as the first start would."""
    import os

    from engine.sealing.keys import KeyRing, KeysUnusable
    from engine.sealing.signing import SigningKeys

    settings = settings_or_exit(config, overrides, json)
    directory = settings.sealing.directory(settings.data_dir)
    made: list[str] = []
    try:
        KeyRing.open(directory, os.environ, made.append)
        SigningKeys.open(directory, os.environ, made.append)
    except KeysUnusable as error:
        fail(str(error), json)
    if json:
        print_json({"made": made})
    else:
        print("\n".join(made) or "every key is here already")


@app.command("rotate")
def rotate_key(
    kind: Annotated[str, typer.Argument(metavar="sealing|signing", help="Which key gets a successor.")],
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Make the next key. It seals, or signs, from now on; the ones before stay, and open and prove what they made."""
    import os

    from engine.sealing.keys import KeysUnusable, rotate_sealing
    from engine.sealing.signing import rotate_signing

    settings = settings_or_exit(config, overrides, json)
    if kind == "lookup":
        fail(_LOOKUP_STAYS, json)
    if kind not in ("sealing", "signing"):
        fail(f'"{kind}" is neither sealing nor signing', json, BAD_USAGE)
    directory = settings.sealing.directory(settings.data_dir)
    try:
        key_id, path = (rotate_sealing if kind == "sealing" else rotate_signing)(directory, os.environ)
    except KeysUnusable as error:
        fail(str(error), json)
    in_use, engine = (
        (True, "segments that are closed from now on are signed with it")
        if kind == "signing"
        else _told(settings, key_id)
    )
    if json:
        print_json({"kind": kind, "id": key_id, "file": str(path), "in_use": in_use, "engine": engine})
    else:
        print(f"{path}: {engine}")
    if not in_use:
        complain("the running engine seals with the key before until it is reloaded or started anew")
        raise typer.Exit(1)


def _told(settings: Settings, key_id: int) -> tuple[bool, str]:
    """Whether whoever seals does it with this key now, and what became of it."""
    try:
        answer = ask(settings, "keys.take")
    except NoEngine:
        if settings.control_socket.exists():
            return False, "the engine does not answer"
        return True, "the engine seals with it when it starts"
    except EngineRefused as error:
        return False, f"the engine did not take it: {error}"
    if answer["sealing_key"] != key_id:
        return False, f"the engine seals with key {answer['sealing_key']}: its keys are elsewhere"
    return True, "the running engine seals with it"


def _keys(settings: Settings, json: bool) -> list[dict[str, object]]:
    import os

    from engine.sealing.key_files import numbered
    from engine.sealing.keys import LOOKUP_VARIABLE, SEALING_VARIABLE, KeyRing, KeysUnusable, lookup_file
    from engine.sealing.signing import SIGNING_VARIABLE, SigningKeys, public_pem

    directory = settings.sealing.directory(settings.data_dir)
    try:
        ring = KeyRing.open(directory, os.environ, create=False)
        signing = SigningKeys.open(directory, os.environ, create=False)
    except KeysUnusable as error:
        fail(str(error), json)
    rows = [
        _row(
            "sealing",
            key_id,
            key_id == ring.current,
            SEALING_VARIABLE,
            numbered(directory, "sealing", key_id),
            key,
        )
        for key_id, key in sorted(ring.sealing.items())
    ]
    for key_id, key in sorted(signing.private.items()):
        path = numbered(directory, "signing", key_id)
        row = _row("signing", key_id, key_id == signing.current, SIGNING_VARIABLE, path, key)
        rows.append({**row, "public": public_pem(key).decode()})
    return [*rows, _row("lookup", None, True, LOOKUP_VARIABLE, lookup_file(directory), ring.lookup)]


def _row(
    kind: str, key_id: int | None, current: bool, variable: str, path: Path, key: bytes
) -> dict[str, object]:
    import os

    from engine.calls.rfc3339 import format_time
    from engine.sealing.key_files import fingerprint

    given = bool(os.environ.get(variable))
    made = None if given else format_time(int(path.stat().st_mtime * 1000))
    return {
        "kind": kind,
        "id": key_id,
        "current": current,
        "from": variable if given else str(path),
        "made": made,
        "fingerprint": fingerprint(key),
    }
