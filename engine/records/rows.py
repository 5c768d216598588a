"""Records as lines for others' programs: JSON, or CSV by RFC 4180 with a header row.

The columns are the contract's fields in its order, in front of them `position` where it is asked for; a field is only
ever added at the end. In CSV what does not apply is empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

import msgspec

from engine.records.query import Found
from engine.records.sealed_record import FIELDS

Format: TypeAlias = Literal["csv", "jsonl"]
FORMATS: tuple[Format, ...] = ("csv", "jsonl")


def header(form: Format, positions: bool = False) -> bytes:
    """What stands in front of the first line."""
    return _csv([("position", *FIELDS) if positions else FIELDS]) if form == "csv" else b""


def line_of(form: Format, positions: bool = False) -> Callable[[Found], bytes]:
    """What writes one record, its line end included."""
    if form == "csv":
        return _csv_with_position if positions else _csv_line
    return _json_with_position if positions else _json_line


def _csv_line(found: Found) -> bytes:
    return _csv([found.record.values()])


def _csv_with_position(found: Found) -> bytes:
    return _csv([(str(found.position), *found.record.values())])


def _json_line(found: Found) -> bytes:
    return msgspec.json.encode(found.record) + b"\n"


def _json_with_position(found: Found) -> bytes:
    return msgspec.json.encode({"position": str(found.position), **found.record}) + b"\n"


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
