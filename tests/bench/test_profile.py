"""The profile drives whole calls through the core as it is put together in service."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.bindings import make_rows
from bench.profile import STEPS, core, drive, whole
from tests.records.samples import entries_in


@pytest.mark.parametrize("wave", [1, 7])
def test_calls_run_to_their_end_and_leave_nothing(wave: int) -> None:
    composition = core(make_rows(5))
    spent = drive(composition, make_rows(5), 12, wave)
    assert all(spent[step] > 0 for step in STEPS)
    assert composition.endpoint.transactions_active == 0
    assert not composition.board.legs


def test_the_whole_composition_writes_two_records_for_each_call(tmp_path: Path) -> None:
    composition = whole(make_rows(5), tmp_path)
    drive(composition, make_rows(5), 10, 10)
    for journal in composition.keep:
        journal.close()
    assert len(entries_in(tmp_path / "records")) == 20
