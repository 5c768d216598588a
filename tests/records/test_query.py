"""Finding records again: by number in any form, by time, by reason, as they come; with an index and without."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calls.record import EntryKind
from engine.records.frames import NO_CHAIN, Position, SegmentFile
from engine.records.index import index_path
from engine.records.query import Found, Record, Wanted, query, records_after, tail
from engine.records.reading import BEGINNING, segments
from engine.records.sealed_record import RecordCodec
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens
from tests.records.indexes import make_index, make_indexes
from tests.records.old_lines import FIRST, SECOND, old_line, write_old
from tests.records.samples import CODEC, RING, SETUP, record
from tests.records.segments import Segments


def numbers(found: Iterable[Record]) -> list[int]:
    return [int(str(record["record_id"]), 16) for record in found]


def numbers_of(found: Iterable[Found]) -> list[int]:
    return numbers(one.record for one in found)


def ask(directory: Path, wanted: Wanted | None = None) -> list[int]:
    """The answer, which must be complete."""
    broken: list[str] = []
    found = numbers(query([directory], CODEC, wanted, broken=broken.append))
    assert broken == []
    return found


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_nothing_was_ever_recorded(tmp_path: Path) -> None:
    assert ask(tmp_path / "records") == []
    assert list(tail([tmp_path / "records"], CODEC, 5)) == []
    assert list(records_after([tmp_path / "records"], CODEC, BEGINNING)) == []


def test_records_come_in_order_over_everything_that_was_ever_written(tmp_path: Path) -> None:
    spare = tmp_path / "spare"
    write_old(tmp_path / SECOND, [record(3), record(4)])
    write_old(tmp_path / FIRST, [record(1), record(2)])
    write_old(tmp_path / "notes.ndjson", [record(9)])
    journal = Segments(tmp_path)
    journal.write(record(5), record(6))
    journal.write(record(8), kind=EntryKind.START)
    journal.next(spare)
    journal.write(record(7))
    journal.next(tmp_path, footer=False)
    journal.write(record(8))
    broken: list[str] = []
    assert numbers(query([tmp_path, spare], CODEC, broken=broken.append)) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert broken == []
    assert next(query([tmp_path], CODEC))["caller"] == "+8613800000001"


WANTED: list[tuple[dict[str, object], list[int]]] = [
    ({}, [1, 2, 3, 4, 5]),
    ({"caller": "13800000001"}, [1, 3]),
    ({"caller": "+86 138-0000-0001"}, [1, 3]),
    ({"caller": "008613800000001"}, [1, 3]),
    ({"callee": "13800000001"}, [2]),
    ({"callee": "010 6200 0001"}, [4]),
    ({"dialled": "+86700123456789012"}, [1, 2]),
    ({"dialled": "700123456789012"}, [1, 2]),
    ({"dialled": "70012345"}, [3]),
    ({"shown": "700123456789012"}, [1, 4, 5]),
    ({"shown": "86700123456780000"}, [2]),
    ({"reason": "callee_busy"}, [2, 4]),
    ({"reason": "callee"}, []),
    ({"tenant": "acme"}, [3]),
    ({"order_id": "order-99887"}, [1, 2, 4]),
    ({"order_id": "order of 13912345678"}, [3]),
    ({"order_id": "700123456789012"}, []),
    ({"since": SETUP + 2000}, [2, 3, 4]),
    ({"until": SETUP + 2000}, [1]),
    ({"since": SETUP + 2000, "until": SETUP + 3001}, [2, 3]),
    ({"caller": "13800000001", "dialled": "70012345", "since": SETUP, "reason": "normal"}, [3]),
    ({"caller": "13800000001", "dialled": "70012345", "tenant": "default"}, []),
    ({"caller": "13800000009"}, []),
]


def various(directory: Path) -> Segments:
    journal = Segments(directory)
    journal.write(
        record(1),
        record(
            2, caller="+8613700000003", callee="+8613800000001", reason="callee_busy", shown="700123456780000"
        ),
    )
    journal.write(record(3), kind=EntryKind.START)
    journal.write(
        record(3, dialled="70012345", callee=None, tenant="acme", order_id="order of 13912345678", shown=None)
    )
    journal.write(record(4, caller=None, callee="+861062000001", dialled=None, reason="callee_busy"))
    nobody = {"setup_time": None, "caller": None, "dialled": None, "reason": None, "order_id": None}
    journal.write(record(5, **nobody))
    return journal


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("filled", [0, 100])
@pytest.mark.parametrize(("wanted", "expected"), WANTED)
def test_what_is_wanted_is_found(
    tmp_path: Path, wanted: dict[str, object], expected: list[int], filled: int, indexed: bool
) -> None:
    """Alone in a segment, and among so many others that the index is asked."""
    journal = various(tmp_path)
    others = {"caller": "+8613100000000", "callee": "+8613100000001", "dialled": "7009", "shown": "7008"}
    for number in range(filled):
        journal.write(
            record(1000 + number, **others, reason="frozen", tenant="other", order_id=f"other-{number}")
        )
    journal.next()
    if indexed:
        make_indexes(tmp_path)
    found = ask(tmp_path, Wanted.of(CODEC, **wanted))  # type: ignore[arg-type]
    assert [number for number in found if number < 1000] == expected
    if wanted and not {"since", "until"} & set(wanted):
        assert len(found) == len(expected)


def test_an_index_is_what_answers(tmp_path: Path) -> None:
    """For a segment whose frames cannot be read otherwise."""
    journal = various(tmp_path)
    for number in range(100):
        journal.write(record(1000 + number, caller="+8613100000000"))
    damaged = journal.positions[50].offset
    journal.next()
    make_indexes(tmp_path)
    flip(tmp_path / "segment-0000000001.journal", damaged)
    assert ask(tmp_path, Wanted.of(CODEC, caller="13800000001")) == [1, 3]
    broken: list[str] = []
    assert len(list(query([tmp_path], CODEC, broken=broken.append))) == 104
    assert len(broken) == 1
    assert f"bytes {damaged} to " in broken[0]


@pytest.mark.parametrize("place", [3, 30, 200, 4096, 4200, 8000, -1, -700])
def test_a_damaged_index_gives_no_wrong_answer(tmp_path: Path, place: int) -> None:
    journal = various(tmp_path)
    for number in range(200):
        journal.write(record(1000 + number, caller="+8613100000000"))
    journal.next()
    make_indexes(tmp_path)
    flip(index_path(tmp_path / "segment-0000000001.journal"), place)
    for wanted, expected in WANTED:
        found = ask(tmp_path, Wanted.of(CODEC, **wanted))  # type: ignore[arg-type]
        assert [number for number in found if number < 1000] == expected


def test_an_index_of_something_else_is_not_used(tmp_path: Path) -> None:
    journal = various(tmp_path)
    journal.next()
    make_indexes(tmp_path)
    first = tmp_path / "segment-0000000001.journal"
    index = index_path(first).read_bytes()
    for number in range(100):
        journal.write(record(1000 + number, caller="+8613700000003"))
    journal.write(record(2000, caller="+8613800000001"))
    journal.next()
    index_path(tmp_path / "segment-0000000002.journal").write_bytes(index)
    assert ask(tmp_path, Wanted.of(CODEC, caller="13800000001")) == [1, 3, 2000]


def test_an_index_of_a_segment_that_grew_is_not_used(tmp_path: Path) -> None:
    journal = Segments(tmp_path)
    for number in range(100):
        journal.write(record(1000 + number, caller="+8613700000003"))
    make_index(SegmentFile(1, journal.path))
    assert ask(tmp_path, Wanted.of(CODEC, caller="13800000001")) == []
    journal.write(record(1))
    assert ask(tmp_path, Wanted.of(CODEC, caller="13800000001")) == [1]


def test_orders_whose_records_do_not_open_are_looked_for_one_by_one(tmp_path: Path) -> None:
    """An index made without a key that has come back."""
    journal = various(tmp_path)
    for number in range(100):
        journal.write(record(1000 + number, order_id="other"))
    journal.next()
    blind = RecordCodec(Sealer(KeyRing({2: b"x" * 32}, 2, b"")), LookupTokens(RING.lookup))
    make_indexes(tmp_path, blind)
    assert ask(tmp_path, Wanted.of(CODEC, order_id="order-99887")) == [1, 2, 4]
    assert ask(tmp_path, Wanted.of(CODEC, caller="13800000001"))[:2] == [1, 3]


@pytest.mark.parametrize(
    "wanted",
    [{"caller": "700123456789012"}, {"caller": ""}, {"callee": "110"}, {"dialled": "nobody"}, {"shown": "x"}],
)
def test_what_is_no_number_cannot_be_looked_for(wanted: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wanted))}: is no"):
        Wanted.of(CODEC, **wanted)  # type: ignore[arg-type]


def test_only_what_matches_is_opened(tmp_path: Path) -> None:
    """Somebody without the sealing key can still search, so nothing is opened to find out."""
    Segments(tmp_path).write(record(1), record(2))
    blind = RecordCodec(Sealer(KeyRing({1: b"x" * 32}, 1, b"")), LookupTokens(RING.lookup))
    said: list[str] = []
    assert list(query([tmp_path], blind, Wanted.of(blind, caller="13900000000"), broken=said.append)) == []
    assert said == []
    assert list(query([tmp_path], blind, Wanted.of(blind, caller="13800000001"), broken=said.append)) == []
    assert len(said) == 2


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    journal = Segments(tmp_path)
    for number in range(1, 7):
        journal.write(record(number))
        journal.next()
    journal.write(record(7))
    (tmp_path / "segment-0000000002.journal").unlink()
    third = tmp_path / "segment-0000000003.journal"
    third.write_bytes(third.read_bytes()[:-300])
    said: list[str] = []
    assert numbers(query([tmp_path], CODEC, broken=said.append)) == [1, 4, 5, 6, 7]
    assert said[0] == "segment 2 is missing"
    assert said[1].startswith(f"{third}: cut off or damaged behind byte ")
    assert len(said) == 2


def test_a_piece_of_a_segment_that_was_begun_elsewhere_does_not_count(tmp_path: Path) -> None:
    spare = tmp_path / "spare"
    journal = Segments(tmp_path)
    journal.write(record(1))
    journal.next(spare)
    journal.write(record(2))
    (tmp_path / "segment-0000000002.journal").write_bytes(journal.path.read_bytes()[:60])
    for directories in ([tmp_path, spare], [spare, tmp_path]):
        assert [segment.path.parent for segment in segments(directories)] == [tmp_path, spare]
        assert numbers(query(directories, CODEC)) == [1, 2]


def test_torn_and_damaged_lines_of_old_are_told_and_passed_over(tmp_path: Path) -> None:
    torn = old_line(record(3))[:200]
    write_old(tmp_path / FIRST, [record(1), b"\0" * 4096 + b"\n", b"{}\n", record(2), torn])
    write_old(tmp_path / SECOND, [old_line(record(4)).replace(b"normal", b"frozen"), record(5), torn])
    said: list[str] = []
    assert numbers(query([tmp_path], CODEC, broken=said.append)) == [1, 2, 5]
    assert len(said) == 3  # what is torn at the end was never complete
    assert f"{4:024x}" in said[2]
    assert numbers(tail([tmp_path], CODEC, 3)) == [2, 5]


def test_the_tail_is_the_last_ones_the_oldest_first(tmp_path: Path) -> None:
    write_old(tmp_path / FIRST, [record(1), record(2)])
    journal = Segments(tmp_path)
    journal.write(record(8), kind=EntryKind.START)
    journal.write(record(3), record(4))
    journal.next()
    journal.write(record(5))
    journal.write(record(9), kind=EntryKind.START)
    assert numbers(tail([tmp_path], CODEC, 1)) == [5]
    assert numbers(tail([tmp_path], CODEC, 2)) == [4, 5]
    assert numbers(tail([tmp_path], CODEC, 4)) == [2, 3, 4, 5]
    assert numbers(tail([tmp_path], CODEC, 99)) == [1, 2, 3, 4, 5]
    assert numbers(tail([tmp_path], CODEC, 0)) == []


class Script:
    """Stands in for the passing of time: each wait does the next thing, after the last there is no more."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.steps = list(steps)

    def __call__(self) -> bool:
        self.steps.pop(0)()
        return bool(self.steps)


def test_following_gives_each_record_once_as_it_comes(tmp_path: Path) -> None:
    journal = Segments(tmp_path)
    journal.write(record(1), record(2))
    whole = b""

    def half() -> None:
        nonlocal whole
        journal.write(record(4))
        whole = journal.path.read_bytes()
        offset = journal.positions[-1].offset
        journal.path.write_bytes(whole[: offset + 200] + bytes(len(whole) - offset - 200))

    def start_and_end() -> None:
        journal.write(record(7), kind=EntryKind.START)
        journal.write(record(3))

    def end_and_end_in_the_next() -> None:
        journal.write(record(6))
        journal.next(footer=False)
        journal.write(record(7))

    script = Script(
        start_and_end,
        lambda: None,
        half,
        lambda: journal.path.write_bytes(whole),
        journal.next,
        lambda: journal.write(record(5)),
        end_and_end_in_the_next,
        lambda: (tmp_path / "segment-0000000004.journal").write_bytes(bytes(5000)),  # made in advance
        lambda: journal.write(record(8), record(9)),
    )
    said: list[str] = []
    assert numbers(tail([tmp_path], CODEC, 1, wait=script, broken=said.append)) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert said == []


def test_following_begins_before_there_is_anything(tmp_path: Path) -> None:
    directory = tmp_path / "records"
    script = Script(directory.mkdir, lambda: Segments(directory).write(record(1)), lambda: None)
    assert numbers(tail([directory], CODEC, 5, wait=script)) == [1]


def test_what_comes_between_the_tail_and_the_first_wait_is_not_missed(tmp_path: Path) -> None:
    journal = Segments(tmp_path)
    journal.write(record(1))
    following = tail([tmp_path], CODEC, 5, wait=Script(lambda: None))
    assert numbers([next(following)]) == [1]
    journal.write(record(2))
    assert numbers(following) == [2]


def test_reading_goes_on_behind_any_position(tmp_path: Path) -> None:
    write_old(tmp_path / FIRST, [record(1), record(2)])
    write_old(tmp_path / FIRST.replace("000.ndjson", "500.ndjson"), [record(3)])
    write_old(tmp_path / SECOND, [record(4)])
    journal = Segments(tmp_path)
    journal.write(record(5), record(6))
    journal.next()
    journal.write(record(9), kind=EntryKind.START)
    journal.write(record(7))
    everything = list(records_after([tmp_path], CODEC, BEGINNING))
    assert numbers_of(everything) == [1, 2, 3, 4, 5, 6, 7]
    assert [one.position for one in everything] == sorted({one.position for one in everything})
    assert [one.position for one in everything[4:]] == [journal.positions[at] for at in (0, 1, 3)]
    for index, one in enumerate(everything):
        assert list(records_after([tmp_path], CODEC, one.position)) == everything[index + 1 :]
        assert Position.parse(str(one.position)) == one.position
    seen: list[Position] = []
    list(records_after([tmp_path], CODEC, BEGINNING, seen=seen.append))
    assert seen[4:] == journal.positions


def test_a_position_that_there_is_not(tmp_path: Path) -> None:
    journal = Segments(tmp_path, 3)
    journal.write(record(1))
    for text, why in (
        ("2:40:0", "there is no segment 2"),
        ("4:40:0", "there is no segment 4"),
        ("3:2:0", "no frame begins there"),
        ("3:41:0", "no frame begins there"),
        ("3:999999:0", "no frame begins there"),
    ):
        with pytest.raises(ValueError, match=f"position {text}: {why}"):
            list(records_after([tmp_path], CODEC, Position.parse(text)))
    assert journal.chain != NO_CHAIN


FEW = st.sampled_from([None, "1", "2", "3"])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_asked_an_index_changes_no_answer(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("any")
    journal = Segments(directory)
    drawn = data.draw(st.lists(st.tuples(FEW, FEW, FEW, FEW, FEW, FEW, FEW), min_size=1, max_size=60))
    kept = []
    for number, (caller, callee, dialled, shown, tenant, reason, order_id) in enumerate(drawn):
        kept.append(
            record(
                number,
                caller=caller and f"+861380000000{caller}",
                callee=callee and f"+861390000000{callee}",
                dialled=dialled and f"70012345678901{dialled}",
                shown=shown and f"70012345678901{shown}",
                tenant=tenant,
                reason=reason,
                order_id=order_id,
            )
        )
        journal.write(kept[-1])
        if number % 25 == 24:
            journal.next()
    journal.next()
    asked = [data.draw(FEW) for _ in range(7)]
    caller, callee, dialled, shown, tenant, reason, order_id = asked
    since, until = (data.draw(st.none() | st.integers(SETUP, SETUP + 60_000)) for _ in range(2))
    wanted = Wanted.of(
        CODEC,
        caller=caller and f"1380000000{caller}",
        callee=callee and f"1390000000{callee}",
        dialled=dialled and f"70012345678901{dialled}",
        shown=shown and f"70012345678901{shown}",
        tenant=tenant,
        reason=reason,
        order_id=order_id,
        since=since,
        until=until,
    )
    expected = [
        number
        for number, one in enumerate(drawn)
        if all(want in (None, has) for want, has in zip(asked, one, strict=True))
        and (since is None or SETUP + 1000 * number >= since)
        and (until is None or SETUP + 1000 * number < until)
    ]
    assert ask(directory, wanted) == expected
    make_indexes(directory)
    assert ask(directory, wanted) == expected
