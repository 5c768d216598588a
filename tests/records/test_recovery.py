"""What is left of an engine that died: wherever it was torn, each answered call ends once."""

import shutil
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calls.record import EntryKind
from engine.records.frames import PREAMBLE_BYTES, footer_of, read_segment, segment_files, segment_path
from engine.records.journal import Journal
from engine.records.recovery import Moment, Recovered, ended, recover
from engine.sip.dialog import Dialog
from engine.sip.flow import Flow
from tests.records.bad_disk import BadDisk, until
from tests.records.samples import CODEC, entries_in, journal_in, record, write
from tests.records.test_journal import chain_holds

START, END = EntryKind.START, EntryKind.END
FLOW = Flow("udp", "127.0.0.9", 5091, 1, "pstn")
CALLER = Dialog(
    "1-2344@127.0.0.1", "<sip:700123456789012@127.0.0.1>;tag=ours", "<sip:1@127.0.0.9>;tag=theirs", "ours",
    "theirs", "sip:1@127.0.0.9:5091", ["<sip:proxy;lr>"], 0, 1, FLOW, FLOW,
)  # fmt: skip
CALLEE = replace(CALLER, local="<sip:700@x>;tag=b", remote="<sip:2@y>;tag=\udcff", local_cseq=7)


def died(directory: Path, copy: Path) -> Path:
    """What is on the disk at this moment, as if the engine had died."""
    shutil.copytree(directory, copy)
    return copy


def numbers(found: Recovered) -> list[int]:
    return [int(CODEC.parse(call.start).clear.record_id, 16) for call in found.interrupted]


def recovered(*directories: Path, **rest: object) -> tuple[Recovered, list[str]]:
    trouble: list[str] = []
    found = recover(list(directories), CODEC, trouble.append, **rest)  # type: ignore[arg-type]
    return found, trouble


def test_nothing_is_recovered_where_nothing_was(tmp_path: Path) -> None:
    found, trouble = recovered(tmp_path / "records")
    assert (found.beginning.number, found.interrupted, trouble) == (1, [], [])


def test_calls_without_an_end_are_found_in_order(tmp_path: Path) -> None:
    journal = journal_in(tmp_path / "live")
    for number in range(10):
        write(journal, START, number)
        journal.flush()
    for number in (1, 4, 7):
        write(journal, END, number)
    journal.flush()
    left = died(tmp_path / "live", tmp_path / "left")
    found, trouble = recovered(left)
    assert trouble == []
    assert numbers(found) == [0, 2, 3, 5, 6, 8, 9]
    assert found.beginning.number == 2
    assert len(found.beginning.open_calls) == 7
    (file,) = segment_files([left])
    footer = footer_of(list(read_segment(file.path))[-1])
    assert footer is not None
    assert (footer.recovered, footer.starts, footer.ends, footer.frames) == (True, 10, 3, 12)
    assert [path.name for path in left.iterdir()] == [file.path.name]  # what was made in advance is gone
    journal.close()
    found, _ = recovered(tmp_path / "live")  # closed in peace, and the calls have no END all the same
    assert numbers(found) == [0, 2, 3, 5, 6, 8, 9]


def test_the_end_of_an_interrupted_call(tmp_path: Path) -> None:
    journal = journal_in(tmp_path / "live")
    entry = record(
        1, release_time=None, talk_ms=None, disposition=None, reason=None, released_by=None, q850_cause=None
    )
    journal.append(START, CODEC.encode(START, entry, (CALLER, CALLEE)), entry.record_id)
    journal.flush()
    journal.beat()
    left = died(tmp_path / "live", tmp_path / "left")
    assert journal.close()
    found, _ = recovered(left)
    (interrupted,) = found.interrupted
    assert 0 <= interrupted.last.monotonic_ms - interrupted.begun.monotonic_ms < 5000
    interrupted.last = Moment(
        0, interrupted.begun.monotonic_ms + 61_500
    )  # somebody has set the clock meanwhile
    call = ended(interrupted, CODEC)
    end, legs = call.record, call.legs
    assert end.answer_time is not None
    assert end == replace(
        entry, disposition="interrupted", reason="engine_restart", released_by="platform", sip_status=200,
        q850_cause=41, release_time=end.answer_time + 61_500, talk_ms=61_500,
    )  # fmt: skip
    caller, callee = legs
    assert (caller.call_id, callee.call_id) == (entry.a_call_id, entry.b_call_id)
    assert (caller.local, caller.remote, caller.remote_target) == (
        CALLER.local,
        CALLER.remote,
        CALLER.remote_target,
    )
    assert (caller.routes, caller.local_cseq, callee.local_cseq) == (["<sip:proxy;lr>"], 0, 7)
    assert callee.remote == "<sip:2@y>;tag=?"  # no UTF-8 can be made of it
    assert (callee.transport, callee.host, callee.port, callee.socket, callee.trunk) == (
        "udp", "127.0.0.9", 5091, 1, "pstn",
    )  # fmt: skip


@pytest.mark.parametrize(("gone_by", "talked"), [(5000, 5000), (0, 0), (-9000, 0)])
@pytest.mark.parametrize("clock_set", [0, 90_000_000, -90_000_000])
def test_no_clock_makes_a_duration_absurd(tmp_path: Path, gone_by: int, talked: int, clock_set: int) -> None:
    journal = journal_in(tmp_path)
    write(journal, START, 1)
    journal.flush()
    journal.close()
    found, _ = recovered(tmp_path)
    (call,) = found.interrupted
    call.last = Moment(call.begun.wall_ms + clock_set, call.begun.monotonic_ms + gone_by)
    end = ended(call, CODEC).record
    assert end.talk_ms == talked
    assert end.release_time == (end.answer_time or 0) + talked


def goes_on(directory: Path) -> Journal:
    """Ends what was interrupted, as the application does."""
    found, _ = recovered(directory)
    journal = journal_in(directory)
    for call in found.interrupted:
        end = ended(call, CODEC).record
        journal.append(END, CODEC.encode(END, end), end.record_id)
    assert journal.flush()
    return journal


def prepared() -> bytes:
    """A segment with two frames of three calls: 0 ended, 1 and 2 not."""
    with pytest.MonkeyPatch.context():
        import tempfile

        directory = Path(tempfile.mkdtemp(prefix="mask700-"))
        try:
            journal = journal_in(directory)
            write(journal, START, 0)
            write(journal, START, 1)
            journal.flush()
            write(journal, END, 0)
            write(journal, START, 2)
            journal.flush()
            content = journal.path.read_bytes()
            journal.close()
        finally:
            shutil.rmtree(directory)
    return content[: content.rindex(content.rstrip(b"\0")[-1:]) + 1]


CONTENT = prepared()


@given(length=st.integers(0, len(CONTENT)), rest=st.sampled_from([b"", bytes(4096), b"\xf7M7\0junk" * 9]))
@settings(max_examples=150)
def test_torn_at_any_byte(tmp_path_factory: pytest.TempPathFactory, length: int, rest: bytes) -> None:
    """Whole frames count, torn ones do not; every call that began ends once, also when that is recovered again."""
    directory = tmp_path_factory.mktemp("torn")
    path = segment_path(directory, 1)
    path.write_bytes(CONTENT[:length] + rest)
    before = entries_in(directory) if length > PREAMBLE_BYTES else []
    starts = {number for kind, number in before if kind == "START"}
    for _ in range(2):
        assert goes_on(directory).close()
        found = entries_in(directory) if length >= PREAMBLE_BYTES else entries_in_later(directory)
        assert found[: len(before)] == before
        ends = [number for kind, number in found if kind == "END"]
        assert sorted(ends) == sorted(starts)
    if length >= PREAMBLE_BYTES:
        assert chain_holds(directory)
    assert recovered(directory)[0].interrupted == []


def entries_in_later(directory: Path) -> list[tuple[str, int]]:
    """Without the first segment, whose preamble is torn."""
    first = segment_path(directory, 1)
    content = first.read_bytes() if first.exists() else None
    first.unlink(missing_ok=True)
    try:
        return entries_in(directory)
    finally:
        if content is not None:
            first.write_bytes(content)


def test_a_torn_tail_is_kept_beside(tmp_path: Path) -> None:
    path = segment_path(tmp_path, 1)
    path.write_bytes(CONTENT + b"half a frame" + bytes(1000))
    found, trouble = recovered(tmp_path)
    assert [kept.read_bytes() for kept in found.torn] == [b"half a frame"]
    assert found.torn[0].name == "segment-0000000001.torn"
    assert trouble == [
        f"{path} is torn behind byte {len(CONTENT)}: 12 bytes are kept in segment-0000000001.torn"
    ]
    assert numbers(found) == [1, 2]


def test_damage_in_the_middle_costs_its_frame_alone(tmp_path: Path) -> None:
    """Nothing behind it is cut: a bad block must not take an hour of records with it."""
    path = segment_path(tmp_path, 1)
    frames_at = [frame.offset for frame in (path.write_bytes(CONTENT), list(read_segment(path)))[1]]
    changed = bytearray(CONTENT)
    changed[frames_at[1] + 100] ^= 1
    path.write_bytes(bytes(changed))
    found, trouble = recovered(tmp_path)
    assert trouble == [f"{path} is damaged from byte {frames_at[1]} to {frames_at[2]}"]
    assert numbers(found) == [2]
    assert path.read_bytes().startswith(bytes(changed))


def test_only_the_last_segments_are_read(tmp_path: Path) -> None:
    journal = journal_in(tmp_path / "live")
    number = 0
    while len(segment_files([tmp_path / "live"])) < 5:
        write(journal, START, number)
        if number % 100:
            write(journal, END, number)
        assert journal.flush()
        until(lambda: journal.accepting)
        number += 1
    left = died(tmp_path / "live", tmp_path / "left")
    assert journal.close()
    found, trouble = recovered(left)
    assert trouble == []
    assert numbers(found) == list(range(0, number, 100))
    assert found.entries < number  # of some two times as many
    first = segment_files([left])[0]
    first.path.write_bytes(bytes(10) + first.path.read_bytes()[10:])  # its calls are lost, not the others
    found, trouble = recovered(left)
    assert any("cannot be read" in said for said in trouble)
    assert 0 not in numbers(found)
    assert len(found.interrupted) > number // 200


def test_who_dies_in_the_middle_of_a_recovery_is_recovered(tmp_path: Path) -> None:
    """The time that is known last of each call is that of the engine that had it, however many have died since."""
    segment_path(tmp_path, 1).write_bytes(CONTENT)
    found, _ = recovered(tmp_path)
    known = [call.last for call in found.interrupted]
    for number in range(3, 6):
        journal = journal_in(tmp_path, writer=f"engine {number}")
        if number > 3:  # the first has written nothing but its header
            write(journal, START, number)
            journal.flush()
            time.sleep(0.002)
            journal.beat()
        path = segment_files([tmp_path])[-1].path
        content = path.read_bytes()
        journal.close()
        path.write_bytes(content)  # as if it had been killed
        found, trouble = recovered(tmp_path)
        assert trouble == []
        assert numbers(found) == [1, 2, *range(4, number + 1)]
        assert [call.last for call in found.interrupted[:2]] == known
        assert all(call.last.monotonic_ms > call.begun.monotonic_ms for call in found.interrupted[2:])
    assert goes_on(tmp_path).close()
    numbers_of = [0, 1, 2, 4, 5]
    assert sorted(entries_in(tmp_path)) == sorted(
        (kind, number) for kind in ("START", "END") for number in numbers_of
    )
    assert chain_holds(tmp_path)


def test_both_directories_are_one_journal(tmp_path: Path) -> None:
    home, spare = tmp_path / "home", tmp_path / "spare"
    disk = BadDisk()
    disk.only = home
    journal = journal_in(home, spare, disk=disk)
    write(journal, START, 1)
    journal.flush()
    disk.write_error = 5
    write(journal, START, 2)
    until(journal.flush)
    assert journal.elsewhere
    journal.close()
    found, trouble = recovered(home, spare)
    assert (numbers(found), trouble, found.beginning.number) == ([1, 2], [], 3)


def test_a_disk_that_takes_nothing_does_not_keep_a_recovery_from_its_result(tmp_path: Path) -> None:
    path = segment_path(tmp_path, 1)
    path.write_bytes(CONTENT + b"torn")
    disk = BadDisk()
    disk.write_error = 30
    found, trouble = recovered(tmp_path, disk=disk)
    assert numbers(found) == [1, 2]
    assert any("cannot be closed: Read-only file system" in said for said in trouble)
    assert goes_on(tmp_path).close()


def test_segments_of_a_life_go_on_from_one_another(tmp_path: Path) -> None:
    for number in range(4):
        journal = goes_on(tmp_path)
        write(journal, START, number)
        journal.flush()
        files = segment_files([tmp_path])
        kept = files[-1].path.read_bytes()
        journal.close()
        files[-1].path.write_bytes(kept)  # killed
    assert goes_on(tmp_path).close()
    assert chain_holds(tmp_path)
    assert [one.number + 1 for one in segment_files([tmp_path])][:-1] == [
        following.number for _, following in pairwise(segment_files([tmp_path]))
    ]
    assert sorted(entries_in(tmp_path)) == sorted(
        [(kind, number) for kind in ("START", "END") for number in range(4)]
    )


@pytest.mark.parametrize("with_piece", ["records", "spare"])
def test_a_piece_of_a_segment_that_was_begun_elsewhere_does_not_count(
    tmp_path: Path, with_piece: str
) -> None:
    """A disk that failed has it still, where it could not even be removed."""
    both = [tmp_path / "records", tmp_path / "spare"]
    [whole] = [directory for directory in both if directory.name != with_piece]
    journal = journal_in(whole)
    write(journal, EntryKind.START, 1)
    assert journal.flush()
    assert journal.close()
    [segment] = segment_files([whole])
    piece = tmp_path / with_piece / segment.path.name
    piece.parent.mkdir()
    piece.write_bytes(segment.path.read_bytes()[:100] + bytes(3000))
    kept = piece.read_bytes()
    told: list[str] = []
    found = recover(both, CODEC, told.append)
    assert (told, len(found.interrupted)) == ([], 1)
    assert found.beginning.chain == list(read_segment(segment.path))[-1].chain
    assert piece.read_bytes() == kept
