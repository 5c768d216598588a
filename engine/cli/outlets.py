"""`mask700 outlets`: who gets the records, and how far each of them is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.engine_client import EngineRefused, NoEngine, ask, settings_or_exit
from engine.cli.options import DEFAULT_CONFIG, Config, Json, Overrides
from engine.cli.output import fail, print_json, print_table

if TYPE_CHECKING:
    from engine.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Who gets the records, and how far each of them is.")

_TITLES = ("name", "kind", "position", "delivered", "lag_records", "lag_s", "failures", "error")
_BUSY = "another process moves the outlets at this moment"


@app.command("list")
def list_outlets(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """List the outlets: behind which position each one stands, and how many records and seconds that is behind the end.

    Of the running engine, with the error that keeps an outlet from its work; else as they were left.
    """
    settings = settings_or_exit(config, overrides, json)
    try:
        rows = ask(settings, "outlets.list")
    except EngineRefused as error:
        fail(str(error), json)
    except NoEngine:
        rows = _left(settings)
    if json:
        for row in rows:
            print_json(row)
    else:
        print_table(_TITLES, ([row[title] for title in _TITLES] for row in rows))


@app.command("reset")
def reset_outlet(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    to: Annotated[
        str, typer.Option("--to", metavar="POSITION|now|beginning", help="Behind which position it goes on.")
    ],
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Send an outlet elsewhere in the journal: records are given out again, or left out.

    What stands in its unfinished file is dropped. Numbers of files go on.
    """
    settings = settings_or_exit(config, overrides, json)
    try:
        row = ask(settings, "outlets.reset", name=name, to=to)
    except EngineRefused as error:
        fail(str(error), json)
    except NoEngine:
        row = _reset(settings, name, to, json)
    if json:
        print_json(row)
    else:
        print(f"{name} goes on behind {row['position']}: {row['lag_records']} records")


def _left(settings: Settings) -> list[dict[str, Any]]:
    """Where they stand while no engine runs."""
    import msgspec

    from engine.app.outlets_process import Orders

    orders = Orders.of(settings)
    rows = []
    for one in settings.outlets:
        outlet = orders.outlet(one)
        why = ""
        try:
            outlet.look()
        except (OSError, ValueError) as error:
            why = str(error)
        rows.append({**msgspec.structs.asdict(outlet.status()), "error": why})
    return rows


def _reset(settings: Settings, name: str, to: str, json: bool) -> dict[str, Any]:
    """While no engine runs, nor starts."""
    from engine.app.outlets_process import Orders, OutletsLock
    from engine.app.ownership import AlreadyRunning, DataDirectory
    from engine.records.following import place_named
    from engine.records.settings import outlets_directory

    named = [one for one in settings.outlets if one.name == name]
    if not named:
        fail(f'there is no outlet "{name}"', json)
    orders = Orders.of(settings)
    try:
        directory = DataDirectory(settings.data_dir)
        try:
            place = place_named(orders.directories(), to)
            lock = OutletsLock(outlets_directory(settings.data_dir))
            if not lock.taken():
                fail(_BUSY, json)
            orders.outlet(named[0]).reset(place)
            lock.release()
        finally:
            directory.release()
    except (AlreadyRunning, OSError, ValueError) as error:
        fail(str(error), json)
    return next(row for row in _left(settings) if row["name"] == name)
