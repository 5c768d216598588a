"""What commands print: JSON for scripts, tables for people, and how they fail."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn

import msgspec
import typer

DONE, FAILED, BAD_USAGE = 0, 1, 2

_ROWS_A_TABLE = 1000  # what is longer comes as several tables, so that nothing waits for the last row
_PIPED_WIDTH = 240  # columns, where no terminal tells


def print_json(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def print_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """One line per row; how many there were."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    pending: Iterator[Sequence[object]] = iter(rows)
    count = 0
    while page := list(islice(pending, _ROWS_A_TABLE)):
        table = Table(*titles, box=box.SIMPLE_HEAD, pad_edge=False)
        for row in page:
            table.add_row(*(Text(_word(value)) for value in row))
        console.print(table)
        count += len(page)
    return count


def print_values(values: Mapping[str, object]) -> None:
    """One `name  value` a line; what is nested goes by dotted names."""
    flat = dict(_flat("", values))
    width = max((len(name) for name in flat), default=0)
    for name, value in flat.items():
        print(f"{name:{width}}  {_word(value)}")


def complain(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr)


def fail(text: str, as_json: bool = False, status: int = FAILED, **more: Any) -> NoReturn:
    """Say why and exit. With `as_json` the one JSON value is {"error": …}."""
    if as_json:
        print_json({"error": text, **more})
    else:
        complain(text)
    raise typer.Exit(status)


def _flat(prefix: str, values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield prefix + name, value


def _word(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(_word(one) for one in value) or "-"
    text = str(value)
    return text if text.isprintable() else repr(text)
