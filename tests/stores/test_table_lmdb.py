"""What calls ask of the table: the right binding, quickly, or an honest error."""

import statistics
import time
import timeit
from dataclasses import replace
from pathlib import Path

import lmdb
import pytest

from engine.calls.ports import BindingsUnavailable
from engine.numbering.binding import Found, Model, NumberBinding
from engine.numbering.numbers import MaskedNumber, RealNumber
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.stores import generations
from engine.stores.table_build import build_table
from engine.stores.table_lmdb import BindingTable, TableStats
from tests.stores.tables import NOW, SEALER, TOKENS, axb, bare, load, masked, ours, real, written

AX = NumberBinding("", "default", "", Model.AX, masked(7), None, (real(1),), None)
GXYB = NumberBinding("", "default", "", Model.GXYB, masked(8), masked(9), (real(1), real(2)), real(3))


def opened(data_dir: Path, *bindings: NumberBinding) -> BindingTable:
    load(data_dir, written(data_dir / "bindings.csv", bindings))
    return BindingTable.open(data_dir, SEALER, TOKENS)


def test_before_the_first_load_nobody_is_bound(tmp_path: Path) -> None:
    table = BindingTable.open(tmp_path, SEALER, TOKENS)
    assert table.look_up(masked(1), real(1)) == Found(None, False, None)
    assert table.get("00" * 12) is None
    assert list(table.rows()) == list(table.find(x=masked(1))) == []
    assert table.stats() == TableStats()
    table.switch(load(tmp_path, written(tmp_path / "t", [axb(1, 1, 2)])).generation)
    assert table.look_up(masked(1), real(1)).binding is not None


def test_party_stranger_and_nobody(tmp_path: Path) -> None:
    table = opened(tmp_path, axb(1, 1, 2), axb(1, 3, 4), GXYB)
    for caller, binding in ((1, axb(1, 1, 2)), (2, axb(1, 1, 2)), (3, axb(1, 3, 4)), (4, axb(1, 3, 4))):
        found = table.look_up(masked(1), real(caller))
        assert found.binding is not None
        assert bare(found.binding) == binding
        assert table.get(found.binding.id) == found.binding
    assert table.look_up(masked(1), real(5)) == Found(None, True, None)
    assert table.look_up(masked(2), real(1)) == Found(None, False, None)
    # a party of the binding, but not on this number
    assert table.look_up(masked(9), real(1)) == Found(None, True, None)
    assert table.look_up(masked(8), real(3)) == Found(None, True, None)


def test_an_ax_answers_to_anybody(tmp_path: Path) -> None:
    table = opened(tmp_path, AX)
    for caller in (1, 2, 99):
        binding = table.look_up(masked(7), real(caller)).binding
        assert binding is not None
        assert bare(binding) == AX


def test_one_that_is_over_is_found_as_such_and_never_instead_of_a_live_one(tmp_path: Path) -> None:
    over = axb(1, 1, 2, expires_at=NOW - 5, order_id="old")
    older = axb(1, 1, 3, expires_at=NOW - 50, order_id="older")
    renewed = axb(1, 4, 5, expires_at=NOW - 5)
    live = axb(1, 4, 5)
    over_ax = replace(AX, expires_at=NOW - 5)
    table = opened(tmp_path, older, over, renewed, live, over_ax, axb(7, 1, 2))
    assert table.stats().rows == 5
    assert table.stats().expired == 3

    def seen(number: int, caller: int) -> NumberBinding | None:
        binding = table.look_up(masked(number), real(caller)).binding
        return None if binding is None else bare(binding)

    assert seen(1, 1) == over
    assert seen(1, 2) == over
    assert seen(1, 3) == older
    assert seen(1, 4) == live
    assert seen(7, 1) == axb(7, 1, 2)
    assert seen(7, 9) == over_ax


def test_a_live_ax_is_reached_by_the_parties_of_what_stood_there_before(tmp_path: Path) -> None:
    table = opened(tmp_path, axb(7, 1, 2, expires_at=NOW - 5), AX)
    for caller in (1, 2, 3):
        binding = table.look_up(masked(7), real(caller)).binding
        assert binding is not None
        assert bare(binding) == AX


def test_the_last_caller_comes_with_the_models_that_call_back(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "t", [axb(1, 1, 2), AX, GXYB]))
    asked: list[str] = []

    def last_caller(binding_id: str) -> RealNumber | None:
        asked.append(binding_id)
        return real(42)

    table = BindingTable.open(tmp_path, SEALER, TOKENS, last_caller)
    assert table.look_up(masked(1), real(1)).last_caller is None
    for number, caller in ((7, 1), (9, 3)):
        found = table.look_up(masked(number), real(caller))
        assert found.binding is not None
        assert found.last_caller == real(42)
        assert asked.pop() == found.binding.id
    assert asked == []


def test_finding_by_700_number_and_by_party(tmp_path: Path) -> None:
    first, second, third = axb(1, 1, 2), axb(1, 3, 4), axb(2, 1, 5)
    table = opened(tmp_path, first, second, third, GXYB, AX)

    def found(**wanted: MaskedNumber | RealNumber) -> set[str]:
        return {
            f"{one.model.name}{one.x.digits[-1]}{one.a[0].digits[-1]}"
            for one in table.find(**wanted)  # type: ignore[arg-type]
        }

    assert found() == {"AXB11", "AXB13", "AXB21", "GXYB81", "AX71"}
    assert found(x=masked(1)) == {"AXB11", "AXB13"}
    assert found(x=masked(9)) == found(x=masked(8)) == {"GXYB81"}
    assert found(number=real(1)) == {"AXB11", "AXB21", "GXYB81", "AX71"}
    assert found(number=real(2)) == {"AXB11", "GXYB81"}
    assert found(x=masked(1), number=real(4)) == {"AXB13"}
    assert found(x=masked(3)) == found(number=real(9)) == set()
    assert [one.id for one in table.rows()] == sorted(one.id for one in table.rows())


def test_an_id_that_is_none_finds_nothing(tmp_path: Path) -> None:
    table = opened(tmp_path, axb(1, 1, 2))
    for text in ("", "zz", "00", "00" * 12, "00" * 13, "00" * 600, "é"):
        assert table.get(text) is None


def test_a_switch_is_seen_and_the_old_file_can_go(tmp_path: Path) -> None:
    table = opened(tmp_path, axb(1, 1, 2))
    listing = table.rows()
    assert bare(next(listing)) == axb(1, 1, 2)
    result = load(tmp_path, written(tmp_path / "t", [axb(2, 1, 2)]))
    assert table.look_up(masked(1), real(1)).binding is not None  # its file is unlinked, not gone
    table.switch(str(generations.bindings_dir(tmp_path) / result.generation))
    assert list(listing) == []  # a listing that had begun ends as it began
    assert table.look_up(masked(1), real(1)) == Found(None, False, None)
    assert table.look_up(masked(2), real(1)).binding is not None
    assert table.stats().generation == result.generation
    table.close()
    assert table.look_up(masked(2), real(1)) == Found(None, False, None)


def test_a_switch_that_fails_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    table = opened(tmp_path, axb(1, 1, 2))
    other_version = generations.bindings_dir(tmp_path) / "table-8.mdb"
    with lmdb.open(str(other_version), subdir=False, lock=False, max_dbs=4) as env:
        for database in generations.DATABASES:
            env.open_db(database)
        with env.begin(write=True) as txn:
            txn.put(b"about", b'{"format":2}', db=env.open_db(b"about", txn))
    (generations.bindings_dir(tmp_path) / "table-9.mdb").write_bytes(b"\0" * 10_000)
    for name, reason in (
        ("table-8.mdb", "another version"),
        ("table-9.mdb", "INVALID"),
        ("table-7.mdb", "No such"),
    ):
        with pytest.raises(BindingsUnavailable, match=reason):
            table.switch(name)
    assert table.look_up(masked(1), real(1)).binding is not None


def test_two_readers_in_one_process_share_the_file(tmp_path: Path) -> None:
    table = opened(tmp_path, axb(1, 1, 2))
    other = BindingTable.open(tmp_path, SEALER, TOKENS)
    table.close()
    assert other.look_up(masked(1), real(1)).binding is not None
    assert build_table(tmp_path, tmp_path / "bindings.csv", SEALER, TOKENS, NOW, ours).added == 0
    other.close()


def test_a_row_that_does_not_open_is_an_error_and_no_answer(tmp_path: Path) -> None:
    opened(tmp_path, axb(1, 1, 2)).close()
    other_key = BindingTable.open(tmp_path, Sealer(KeyRing({1: b"x" * 32}, 1, b"")), TOKENS)
    with pytest.raises(BindingsUnavailable, match="damaged"):
        other_key.look_up(masked(1), real(1))
    with pytest.raises(BindingsUnavailable, match="damaged"):
        list(other_key.rows())
    assert other_key.look_up(masked(1), real(3)) == Found(None, True, None)
    binding_id = next(BindingTable.open(tmp_path, SEALER, TOKENS).rows()).id
    with pytest.raises(BindingsUnavailable, match="damaged"):
        other_key.get(binding_id)


@pytest.mark.parametrize("content", [b"\xff", b"", b"table-1.mdb/../../x", b"../bindings.csv"])
def test_a_pointer_that_points_nowhere_is_an_error(tmp_path: Path, content: bytes) -> None:
    opened(tmp_path, axb(1, 1, 2)).close()
    (generations.bindings_dir(tmp_path) / "current").write_bytes(content)
    with pytest.raises(BindingsUnavailable, match="current"):
        BindingTable.open(tmp_path, SEALER, TOKENS)


def test_what_the_builder_counted(tmp_path: Path) -> None:
    stats = opened(tmp_path, axb(1, 1, 2), axb(1, 3, 4, expires_at=NOW), AX, GXYB).stats()
    assert stats.file_bytes > 0
    assert replace_bytes(stats) == TableStats(
        generation="table-1.mdb",
        rows=4,
        expired=1,
        models={"AXB": 2, "AXYB": 0, "AX": 1, "GXB": 0, "GXYB": 1},
        numbers=4,
        pairs=8,
        built=NOW,
    )


def replace_bytes(stats: TableStats) -> TableStats:
    stats.file_bytes = 0
    return stats


def test_a_look_up_takes_microseconds(tmp_path: Path) -> None:
    table = opened(tmp_path, *(axb(index % 50, 2 * index, 2 * index + 1) for index in range(1000)))
    asked = [(masked(index % 50), real(2 * index)) for index in range(1000)]

    def run() -> None:
        for number, caller in asked:
            table.look_up(number, caller)

    assert min(timeit.repeat(run, number=1, repeat=10)) / len(asked) < 40e-6  # 5 µs on a quiet machine


def test_a_stranger_cannot_tell_by_the_time_that_somebody_is_bound(tmp_path: Path) -> None:
    """One number with thousands of bindings beside one with none: the answers differ, their cost does not."""
    table = opened(tmp_path, *(axb(1, 2 * index, 2 * index + 1) for index in range(4000)))
    stranger = real(99_999)
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(2000):
        for last, taken in times.items():
            number = masked(last)
            begun = time.perf_counter()
            found = table.look_up(number, stranger)
            taken.append(time.perf_counter() - begun)
            assert found.number_bound == (last == 1)
    bound, free = statistics.median(times[1]), statistics.median(times[2])
    assert abs(bound - free) < max(bound, free) * 0.25


def test_the_numbers_of_a_table_are_told_in_order(tmp_path: Path) -> None:
    assert list(BindingTable.open(tmp_path, SEALER, TOKENS).numbers()) == []
    load(tmp_path, written(tmp_path / "t", [axb(12, 1, 2), axb(3, 1, 2), axb(3, 4, 5), GXYB]))
    assert list(BindingTable.open(tmp_path, SEALER, TOKENS).numbers()) == [
        masked(3),
        masked(8),
        masked(9),
        masked(12),
    ]
