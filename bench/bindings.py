"""The numbers of the bench: one AXB table, written in the form that each party of the bench reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True, frozen=True)
class Row:
    """An AXB binding: `a` dials `x`, `b` rings and sees `x`. National digits."""

    a: str
    b: str
    x: str


def make_rows(count: int) -> list[Row]:
    """`count` bindings; no number stands twice. At most 100 million."""
    return [Row(a=f"138{i:08d}", b=f"139{i:08d}", x=f"7001{i:011d}") for i in range(count)]


def write_engine_table(path: Path, rows: list[Row]) -> None:
    """The engine's table: CSV with a header row."""
    lines = ["model,x,y,a,b,expires_at,direction,max_duration_s,tenant,order_id"]
    lines += [f"AXB,{row.x},,{row.a},{row.b},,,,," for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_kamailio_table(directory: Path, rows: list[Row]) -> None:
    """Kamailio's table: a db_text directory with the htable module's columns (700 number → real number)."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "version").write_text("table_name(string) table_version(int)\ncallee:2\n", encoding="utf-8")
    lines = ["id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)"]
    lines += [f"{number}:{row.x}:0:0:{row.b}:0" for number, row in enumerate(rows, start=1)]
    (directory / "callee").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_callers(path: Path, rows: list[Row]) -> None:
    """SIPp's -inf file: field0 who calls, field1 what is dialled, taken in order and then again from the top."""
    lines = ["SEQUENTIAL"]
    lines += [f"{row.a};{row.x}" for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
