"""Finding records again: by number in any form, by time, by reason, forwards, backwards, as they come."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.calls.record import CallRecord, EntryKind
from engine.records.query import Record, Wanted, export, query, tail
from engine.records.sealed_record import RecordCodec
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens
from tests.records.samples import ANSWERED, CODEC, RING, SETUP, record

FIRST = "journal-20260131-080000.000.ndjson"
SECOND = "journal-20260131-090000.000.ndjson"


def line(entry: CallRecord, kind: EntryKind = EntryKind.END) -> bytes:
    return CODEC.encode(kind, entry)


def write(path: Path, entries: Iterable[CallRecord | bytes]) -> None:
    with path.open("ab") as file:
        for entry in entries:
            file.write(entry if isinstance(entry, bytes) else line(entry))


def numbers(found: Iterable[Record]) -> list[int]:
    return [int(str(record["record_id"]), 16) for record in found]


def test_nothing_was_ever_recorded(tmp_path: Path) -> None:
    assert list(query(tmp_path / "records", CODEC)) == []
    assert list(query(tmp_path / "records", CODEC, newest_first=True, open_calls=True)) == []
    assert list(tail(tmp_path / "records", CODEC, 5)) == []


def test_records_come_in_order_or_backwards_over_all_files(tmp_path: Path) -> None:
    write(tmp_path / SECOND, [record(3), record(4)])
    write(tmp_path / FIRST, [record(1), record(2)])
    write(tmp_path / "notes.ndjson", [record(9)])
    assert numbers(query(tmp_path, CODEC)) == [1, 2, 3, 4]
    assert numbers(query(tmp_path, CODEC, newest_first=True)) == [4, 3, 2, 1]
    assert next(query(tmp_path, CODEC))["caller"] == "+8613800000001"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [1, 2, 3, 4]),
        ({"caller": "13800000001"}, [1, 3]),
        ({"caller": "+86 138-0000-0001"}, [1, 3]),
        ({"caller": "008613800000001"}, [1, 3]),
        ({"callee": "13800000001"}, [2]),
        ({"callee": "010 6200 0001"}, [4]),
        ({"dialled": "+86700123456789012"}, [1, 2]),
        ({"dialled": "700123456789012"}, [1, 2]),
        ({"dialled": "70012345"}, [3]),
        ({"reason": "callee_busy"}, [2, 4]),
        ({"reason": "callee"}, []),
        ({"since": SETUP + 2000}, [2, 3, 4]),
        ({"until": SETUP + 2000}, [1]),
        ({"since": SETUP + 2000, "until": SETUP + 3001}, [2, 3]),
        ({"caller": "13800000001", "dialled": "70012345", "since": SETUP, "reason": "normal"}, [3]),
        ({"caller": "13800000009"}, []),
    ],
)
def test_what_is_wanted_is_found(tmp_path: Path, wanted: dict[str, object], expected: list[int]) -> None:
    write(
        tmp_path / FIRST,
        [
            record(1),
            record(2, caller="+8613700000003", callee="+8613800000001", reason="callee_busy"),
            record(3, dialled="70012345", callee=None),
            record(4, caller=None, callee="+861062000001", dialled=None, reason="callee_busy"),
            record(5, setup_time=None, caller=None, dialled=None, reason=None),
        ],
    )
    found = numbers(query(tmp_path, CODEC, Wanted.of(CODEC, **wanted)))  # type: ignore[arg-type]
    assert found == (expected if wanted else [*expected, 5])


@pytest.mark.parametrize(
    "wanted", [{"caller": "700123456789012"}, {"caller": ""}, {"callee": "110"}, {"dialled": "nobody"}]
)
def test_what_is_no_number_cannot_be_looked_for(wanted: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wanted))}: is no"):
        Wanted.of(CODEC, **wanted)  # type: ignore[arg-type]


def test_only_what_matches_is_opened(tmp_path: Path) -> None:
    """Somebody without the sealing key can still search, so nothing is opened to find out."""
    write(tmp_path / FIRST, [record(1), record(2)])
    blind = RecordCodec(Sealer(KeyRing({1: b"x" * 32}, 1, b"")), LookupTokens(RING.lookup))
    said: list[str] = []
    assert list(query(tmp_path, blind, Wanted.of(blind, caller="13900000000"), broken=said.append)) == []
    assert said == []
    assert list(query(tmp_path, blind, Wanted.of(blind, caller="13800000001"), broken=said.append)) == []
    assert len(said) == 2


def test_torn_and_damaged_lines_are_told_and_passed_over(tmp_path: Path) -> None:
    torn = line(record(3))[:200]
    write(tmp_path / FIRST, [record(1), b"\0" * 4096 + b"\n", b"{}\n", record(2), torn])
    write(tmp_path / SECOND, [line(record(4)).replace(b"normal", b"frozen"), record(5), torn])
    said: list[str] = []
    assert numbers(query(tmp_path, CODEC, broken=said.append)) == [1, 2, 5]
    assert len(said) == 3  # what is torn at the end may only not be complete yet
    assert f"{4:024x}" in said[2]
    assert numbers(query(tmp_path, CODEC, newest_first=True)) == [5, 2, 1]
    assert numbers(tail(tmp_path, CODEC, 2)) == [2, 5]


def test_calls_without_an_end_are_shown_when_asked_for(tmp_path: Path) -> None:
    started = [line(record(number, release_time=None), EntryKind.START) for number in (1, 2, 3)]
    write(tmp_path / FIRST, [started[0], started[1], record(1), started[2]])
    write(tmp_path / SECOND, [record(2, reason="frozen")])
    assert numbers(query(tmp_path, CODEC)) == [1, 2]
    assert numbers(query(tmp_path, CODEC, open_calls=True)) == [1, 2, 3]
    assert numbers(query(tmp_path, CODEC, open_calls=True, newest_first=True)) == [3, 2, 1]
    # an end of another reason is an end all the same
    assert numbers(query(tmp_path, CODEC, Wanted.of(CODEC, reason="normal"), open_calls=True)) == [1, 3]
    assert list(query(tmp_path, CODEC, Wanted(since=SETUP + 9000), open_calls=True)) == []
    still_open = list(query(tmp_path, CODEC, open_calls=True))[-1]
    assert (still_open["release_time"], still_open["answer_time"]) == (None, "2026-01-31T08:00:01.250Z")


def test_the_tail_is_the_last_ones_the_oldest_first(tmp_path: Path) -> None:
    write(tmp_path / FIRST, [record(1), record(2)])
    write(tmp_path / SECOND, [line(record(8), EntryKind.START), record(3), line(record(9), EntryKind.START)])
    assert numbers(tail(tmp_path, CODEC, 2)) == [2, 3]
    assert numbers(tail(tmp_path, CODEC, 99)) == [1, 2, 3]
    assert numbers(tail(tmp_path, CODEC, 0)) == []


class Script:
    """Stands in for the passing of time: each wait does the next thing, after the last there is no more."""

    def __init__(self, *steps: object) -> None:
        self.steps = list(steps)

    def __call__(self) -> bool:
        step = self.steps.pop(0)
        assert callable(step)
        step()
        return bool(self.steps)


def test_following_gives_each_record_once_as_it_comes(tmp_path: Path) -> None:
    half = line(record(4))
    write(tmp_path / FIRST, [record(1), record(2)])
    script = Script(
        lambda: write(tmp_path / FIRST, [line(record(7), EntryKind.START), record(3), half[:100]]),
        lambda: None,
        lambda: write(tmp_path / FIRST, [half[100:]]),
        lambda: write(tmp_path / SECOND, [record(5)]),  # the engine was started anew
        lambda: write(tmp_path / FIRST, [b"torn"]),
        lambda: write(tmp_path / SECOND, [record(6)]),
    )
    assert numbers(tail(tmp_path, CODEC, 1, wait=script)) == [2, 3, 4, 5, 6]


def test_following_begins_before_there_is_anything(tmp_path: Path) -> None:
    directory = tmp_path / "records"
    script = Script(directory.mkdir, lambda: write(directory / FIRST, [record(1)]))
    assert numbers(tail(directory, CODEC, 5, wait=script)) == [1]


def test_what_comes_between_the_tail_and_the_first_wait_is_not_missed(tmp_path: Path) -> None:
    write(tmp_path / FIRST, [record(1)])
    following = tail(tmp_path, CODEC, 5, wait=Script(lambda: None))
    assert numbers([next(following)]) == [1]
    write(tmp_path / FIRST, [record(2)])
    assert numbers(following) == [2]


def test_an_export_is_json_lines_in_clear(tmp_path: Path) -> None:
    write(tmp_path / FIRST, [record(1), record(2)])
    exported = list(export(query(tmp_path, CODEC)))
    assert [one[-1:] for one in exported] == [b"\n", b"\n"]
    assert [json.loads(one)["record_id"] for one in exported] == [f"{1:024x}", f"{2:024x}"]
    assert json.loads(exported[0])["callee"] == ANSWERED.callee


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, 70_000), max_size=12), st.booleans())
def test_backwards_is_forwards_turned_whatever_the_lengths(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], torn: bool
) -> None:
    directory = tmp_path_factory.mktemp("lengths")
    write(directory / FIRST, [record(number, content="x" * length) for number, length in enumerate(lengths)])
    write(directory / FIRST, [b"torn" * 40_000] if torn else [])
    forwards = list(query(directory, CODEC))
    assert numbers(forwards) == list(range(len(lengths)))
    assert list(query(directory, CODEC, newest_first=True)) == forwards[::-1]
    assert list(tail(directory, CODEC, 3)) == forwards[-3:]
