"""`mask700 bindings`: what stands in the binding table, and putting another one in force."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.engine_client import EngineRefused, NoEngine, ask, settings_or_exit
from engine.cli.options import DEFAULT_CONFIG, Clear, Config, Json, Overrides
from engine.cli.output import complain, fail, print_json, print_table, print_values

if TYPE_CHECKING:
    from engine.numbering.binding import NumberBinding
    from engine.numbering.numbers import RealNumber
    from engine.settings import Settings
    from engine.stores.table_lmdb import BindingTable

app = typer.Typer(no_args_is_help=True, help="The binding table: which 700 number stands for whom.")

_TITLES = ("id", "model", "x", "y", "a", "b", "expires_at", "direction", "tenant", "order_id", "expired")


@app.command("list")
def list_bindings(
    x: Annotated[str, typer.Option("--x", metavar="NUMBER", help="Only with this 700 number.")] = "",
    number: Annotated[str, typer.Option("--number", metavar="NUMBER", help="Only of this real number.")] = "",
    clear: Clear = False,
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """List bindings, real numbers masked."""
    from engine.numbering.numbers import parse_dialled, parse_real

    settings = settings_or_exit(config, overrides, json)
    wanted_x = parse_dialled(x).number if x else None
    wanted_number = parse_real(number) if number else None
    if x and wanted_x is None:
        fail(f'--x: "{x}" is no 700 number', json, 2)
    if number and wanted_number is None:
        fail("--number: is no real number", json, 2)
    with _table(settings, json) as table:
        found = (_as_values(binding, clear) for binding in table.find(wanted_x, wanted_number))
        if json:
            for values in found:
                print_json(values)
        else:
            print_table(_TITLES, ([values[title] for title in _TITLES] for values in found))


@app.command("get")
def get_binding(
    binding_id: Annotated[str, typer.Argument(metavar="ID")],
    clear: Clear = False,
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Show one binding, real numbers masked."""
    settings = settings_or_exit(config, overrides, json)
    with _table(settings, json) as table:
        binding = table.get(binding_id)
        if binding is None:
            fail(f'there is no binding "{binding_id}"', json)
        values = _as_values(binding, clear)
    print_json(values) if json else print_values(values)


@app.command("export")
def export_bindings(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """Write the table in clear, as the CSV that `bindings load` takes."""
    from engine.stores.table_file import COLUMNS

    settings = settings_or_exit(config, overrides, json)
    with _table(settings, json) as table:
        if json:
            for binding in table.rows():
                print_json(_as_values(binding, clear=True))
            return
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(COLUMNS)
        for binding in table.rows():
            values = _as_values(binding, clear=True)
            values["a"] = "|".join(values["a"])
            values["max_duration_s"] = values["max_duration_s"] or ""
            writer.writerow([values[column] for column in COLUMNS])


@app.command("stats")
def binding_stats(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """Count what is in the table in force."""
    import msgspec

    from engine.calls.rfc3339 import format_time

    settings = settings_or_exit(config, overrides, json)
    with _table(settings, json) as table:
        stats = table.stats()
    values = msgspec.structs.asdict(stats) | {
        "built": format_time(round(stats.built * 1000)) if stats.generation else None
    }
    print_json(values) if json else print_values(values)


@app.command("reload")
def reload_bindings(json: Json = False, config: Config = DEFAULT_CONFIG, overrides: Overrides = None) -> None:
    """Load the configured table into the running engine: all of it or nothing."""
    settings = settings_or_exit(config, overrides, json)
    _load(settings, settings.bindings.table, json, "bindings.reload")


@app.command("load")
def load_bindings(
    table: Annotated[Path, typer.Argument(metavar="FILE")],
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Load this table into the running engine: all of it or nothing."""
    settings = settings_or_exit(config, overrides, json)
    _load(settings, str(table), json, "bindings.load", path=str(table.absolute()))


def _load(settings: Settings, table: str, json: bool, op: str, **arguments: Any) -> None:
    patience = settings.control.build_timeout_s + 60
    try:
        loaded = ask(settings, op, patience, **arguments)
    except NoEngine as error:
        fail(str(error), json)
    except EngineRefused as refused:
        if json:
            fail(str(refused), True, problems=refused.values.get("problems", []))
        problems = refused.values.get("problems", [])
        for problem in problems:
            complain(row_problem(table, problem["line"], problem["column"], problem["reason"]))
        untold = refused.values.get("problem_count", 0) - len(problems)
        if untold > 0:
            complain(f"… and {untold} more")
        fail(f"not loaded: {refused}; the table before stays in force")
    if json:
        print_json(loaded)
        return
    print(
        f"loaded {loaded['rows']} bindings ({loaded['expired']} expired): {loaded['added']} added, "
        f"{loaded['changed']} changed, {loaded['removed']} removed"
    )
    if loaded["previous"]:
        print(f"the table before could not be compared: {loaded['previous']}")


def row_problem(table: str, line: int, column: str, reason: str) -> str:
    """`config/bindings.csv:12: x: is no 700 number`."""
    place = f"{table}:{line}" if line else table
    return f"{place}: {column}: {reason}" if column else f"{place}: {reason}"


@contextmanager
def _table(settings: Settings, json: bool) -> Iterator[BindingTable]:
    """The table in force, opened here, whether an engine runs or not."""
    import os

    from engine.calls.ports import BindingsUnavailable
    from engine.sealing.cipher import Sealer
    from engine.sealing.keys import KeyRing, KeysUnusable
    from engine.sealing.tokens import LookupTokens
    from engine.stores.table_lmdb import BindingTable

    try:
        ring = KeyRing.open(settings.sealing.directory(settings.data_dir), os.environ, create=False)
        table = BindingTable.open(settings.data_dir, Sealer(ring), LookupTokens(ring.lookup))
        try:
            yield table
        finally:
            table.close()
    except (KeysUnusable, BindingsUnavailable) as error:
        fail(str(error), json)


def _as_values(binding: NumberBinding, clear: bool) -> dict[str, Any]:
    from engine.calls.rfc3339 import format_time

    def shown(number: RealNumber) -> str:
        return number.e164 if clear else number.masked

    expires_at = binding.expires_at
    return {
        "id": binding.id,
        "model": binding.model.name,
        "x": binding.x.digits,
        "y": binding.y.digits if binding.y is not None else None,
        "a": [shown(number) for number in binding.a],
        "b": shown(binding.b) if binding.b is not None else None,
        "expires_at": format_time(round(expires_at * 1000)) if expires_at is not None else None,
        "direction": binding.direction.name.lower(),
        "max_duration_s": binding.max_duration_s or None,
        "tenant": binding.tenant,
        "order_id": binding.order_id,
        "expired": binding.expired(time.time()),
    }
