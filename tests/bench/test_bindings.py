"""The bench's numbers are numbers that the engine takes."""

from __future__ import annotations

from pathlib import Path

from bench.bindings import make_rows, write_callers, write_engine_table, write_kamailio_table
from engine.routing.number_plan import NumberPlan
from engine.stores.table_file import TableReader


def test_the_engine_finds_nothing_wrong_with_the_table(tmp_path: Path) -> None:
    path = tmp_path / "bindings.csv"
    write_engine_table(path, make_rows(500))
    reader = TableReader(path, 0.0, NumberPlan(["700"], []).fault)
    rows = list(reader)
    assert reader.problems == []
    assert len(rows) == 500


def test_every_party_gets_the_same_numbers(tmp_path: Path) -> None:
    rows = make_rows(50)
    write_kamailio_table(tmp_path / "table", rows)
    write_callers(tmp_path / "callers.csv", rows)
    kamailio = (tmp_path / "table" / "callee").read_text(encoding="utf-8").splitlines()[1:]
    callers = (tmp_path / "callers.csv").read_text(encoding="utf-8").splitlines()
    assert callers[0] == "SEQUENTIAL"
    assert [line.split(":")[1] for line in kamailio] == [line.split(";")[1] for line in callers[1:]]
    assert [line.split(":")[4] for line in kamailio] == [row.b for row in rows]
