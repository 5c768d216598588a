"""Whatever is done to a journal is found, and where it was done."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calls.record import EntryKind
from engine.records.finishing import finish, unfinished
from engine.records.frames import (
    MAGIC,
    Entry,
    Frame,
    Kind,
    SegmentReader,
    first_frame,
    frame,
    header_of,
    segment_path,
)
from engine.records.index import index_path
from engine.records.seals import LATEST, seal_path
from engine.records.verify import verify
from engine.records.verify_segment import Head, Problem, Report
from engine.sealing.signing import PublicKeys, SigningKeys, public_pem
from tests.records.old_lines import FIRST, old_line, write_old
from tests.records.samples import CODEC, journal_in, record, write
from tests.records.segments import Segments

SIGNING = SigningKeys({1: bytes(range(7, 39))}, 1)
OTHERS = SigningKeys({1: bytes(range(8, 40))}, 1)


def public_keys(signing: SigningKeys, directory: Path) -> PublicKeys:
    path = directory / "signing.pub"
    path.write_bytes(public_pem(signing.private[1]))
    return PublicKeys.of_files([path])


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> PublicKeys:
    return public_keys(SIGNING, tmp_path_factory.mktemp("public"))


def fill(journal: Segments, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        journal.write(record(number), kind=EntryKind.START)
        journal.write(record(number), record(1000 + number))


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three closed segments, one of them without a footer, one that is written and one made in advance."""
    directory = tmp_path_factory.mktemp("journal")
    journal = Segments(directory)
    fill(journal, 3)
    journal.next()
    fill(journal, 2, 10)
    journal.next(footer=False)
    fill(journal, 3, 20)
    journal.next()
    fill(journal, 3, 30)
    segment_path(directory, 5).write_bytes(bytes(700))
    done = finish([directory], CODEC, SIGNING)
    assert (done.sealed, done.indexed, done.problems) == ([1, 2, 3], [1, 2, 3], [])
    return directory


@pytest.fixture
def copy(journal: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(journal, tmp_path / "copy"))


def proof(directory: Path, public: PublicKeys, keys: bool = True, **more: object) -> Report:
    return verify([directory], public, CODEC if keys else None, **more)  # type: ignore[arg-type]


def frames_of(path: Path) -> list[Frame]:
    with path.open("rb") as file:
        return list(SegmentReader(file).frames())


def pieces_of(path: Path) -> tuple[bytes, list[bytes], bytes]:
    """The preamble, each frame, and what follows."""
    content = path.read_bytes()
    frames = frames_of(path)
    return content[:40], [content[one.offset : one.end] for one in frames], content[frames[-1].end :]


def test_what_is_whole_is_proven(journal: Path, public: PublicKeys) -> None:
    for keys in (True, False):
        report = proof(journal, public, keys)
        assert report.problems == []
        assert (report.segments, report.sealed, report.unsealed) == (4, 3, [])
        assert (report.starts, report.ends) == (11, 22)
        last = frames_of(segment_path(journal, 4))[-1]
        assert report.head == Head(4, last.end, last.chain.hex())


def test_what_is_not_sealed_yet_is_no_fault(tmp_path: Path, public: PublicKeys) -> None:
    journal = Segments(tmp_path)
    fill(journal, 2)
    journal.next()
    fill(journal, 2)
    report = proof(tmp_path, public)
    assert (report.problems, report.unsealed) == ([], [1])
    assert [segment.number for segment in unfinished([tmp_path])] == [1]
    journal.close()
    assert [segment.number for segment in unfinished([tmp_path], stopped=True)] == [1, 2]
    assert finish([tmp_path], CODEC, SIGNING, stopped=True).sealed == [1, 2]
    assert proof(tmp_path, public).problems == []
    assert proof(tmp_path / "nothing", public).problems == []


FILES = ["segment-0000000001", "segment-0000000002", "segment-0000000003", "segment-0000000004"]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_bit_flipped_anywhere_is_found_where_it_is(
    journal: Path, tmp_path_factory: pytest.TempPathFactory, public: PublicKeys, data: st.DataObject
) -> None:
    copy = Path(shutil.copytree(journal, tmp_path_factory.mktemp("flip") / "copy"))
    path = data.draw(st.sampled_from(sorted(copy.iterdir())))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    report = proof(copy, public, data.draw(st.booleans()))
    shutil.rmtree(copy.parent)
    assert report.problems
    located = [problem for problem in report.problems if problem.file == str(path)]
    if path.suffix == ".journal" and place >= len(MAGIC) and path.stem in FILES:
        (problem,) = located[:1]
        if problem.end:
            assert problem.offset <= place < problem.end or place < 40
    else:
        assert located


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_frames_removed_doubled_moved_or_cut_are_found(
    journal: Path, tmp_path_factory: pytest.TempPathFactory, public: PublicKeys, data: st.DataObject
) -> None:
    copy = Path(shutil.copytree(journal, tmp_path_factory.mktemp("frames") / "copy"))
    number = data.draw(st.integers(1, 4))
    path = segment_path(copy, number)
    before, frames, rest = pieces_of(path)
    begin = len(before) + len(frames[0])
    what = data.draw(st.sampled_from(["remove", "double", "swap", "cut", "add"]))
    at = data.draw(st.integers(0, len(frames) - 1))
    changed = list(frames)
    if what == "remove":
        del changed[at]
    elif what == "double":
        changed.insert(data.draw(st.integers(0, len(frames))), frames[at])
    elif what == "swap":
        other = data.draw(st.integers(0, len(frames) - 1).filter(lambda other: other != at))
        changed[at], changed[other] = changed[other], changed[at]
    elif what == "cut":
        whole = before + b"".join(frames)
        rest = b""
        changed = [whole[40 : data.draw(st.integers(begin, len(whole) - 1))]]
    else:
        place = data.draw(st.integers(40, 40 + sum(map(len, frames))))
        joined = b"".join(frames)
        extra = data.draw(st.sampled_from([b"\0", b"x", b"\xf7M7\0"]))
        changed = [joined[: place - 40] + extra + joined[place - 40 :]]
        if number in (2, 4) and place == 40 + len(joined) and extra == b"\0":
            return  # what has no footer ends in zeros
    path.write_bytes(before + b"".join(changed) + rest)
    problems = proof(copy, public, data.draw(st.booleans())).problems
    shutil.rmtree(copy.parent)
    if number == 4 and ((what == "remove" and at == len(frames) - 1) or (what == "cut" and not rest)):
        if not problems:
            return  # the end of what is being written: only a head that was kept elsewhere knows it
    assert problems
    assert {problem.segment for problem in problems} <= {number, number + 1, number - 1}


def test_an_older_end_is_found_by_a_head_that_was_kept(copy: Path, public: PublicKeys) -> None:
    head = proof(copy, public).head
    assert head is not None
    assert Head.parse(str(head)) == head
    assert proof(copy, public, heads=[head]).problems == []
    path = segment_path(copy, 4)
    before, frames, rest = pieces_of(path)
    path.write_bytes(before + b"".join(frames[:-1]) + rest)
    assert proof(copy, public).problems == []
    (problem,) = proof(copy, public, heads=[head]).problems
    assert (problem.segment, problem.end) == (4, head.end)
    path.unlink()
    (problem,) = proof(copy, public, heads=[head]).problems
    assert problem.segment == 4


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("with_seal", [False, True])
def test_a_segment_that_is_gone_is_missed(
    copy: Path, public: PublicKeys, number: int, with_seal: bool
) -> None:
    for path in copy.glob(
        f"segment-000000000{number}.*" if with_seal else f"segment-000000000{number}.journal"
    ):
        path.unlink()
    problems = proof(copy, public).problems
    assert any("missing" in problem.what for problem in problems)
    assert problems[0].segment in (number, number + 1)


def test_the_last_segments_all_gone_are_missed(copy: Path, public: PublicKeys) -> None:
    for number in (3, 4):
        for path in copy.glob(f"segment-000000000{number}.*"):
            path.unlink()
    (problem,) = proof(copy, public).problems
    assert (problem.segment, Path(problem.file).name) == (3, LATEST)


def test_segments_that_changed_places_are_found(copy: Path, public: PublicKeys) -> None:
    first, third = segment_path(copy, 1), segment_path(copy, 3)
    one, three = first.read_bytes(), third.read_bytes()
    first.write_bytes(three)
    third.write_bytes(one)
    assert {1, 3} <= {problem.segment for problem in proof(copy, public).problems}


def test_a_segment_put_in_again_is_found(copy: Path, public: PublicKeys) -> None:
    shutil.copy(segment_path(copy, 4), segment_path(copy, 5))
    problems = proof(copy, public).problems
    assert {problem.segment for problem in problems} == {4, 5}
    assert any("segment 4 by what it says itself" in problem.what for problem in problems)


def test_seals_taken_away_or_put_elsewhere_are_found(copy: Path, public: PublicKeys) -> None:
    seals = {number: seal_path(segment_path(copy, number)) for number in (1, 2, 3)}
    content = seals[1].read_bytes()
    seals[1].unlink()
    (problem,) = proof(copy, public).problems
    assert (problem.segment, problem.what) == (1, "its seal is missing, and later ones have theirs")
    seals[1].write_bytes(seals[2].read_bytes())
    (problem,) = proof(copy, public).problems
    assert (problem.segment, problem.what) == (1, "is the seal of segment 2")
    seals[1].write_bytes(content)
    seals[3].unlink()
    (problem,) = proof(copy, public).problems
    assert (problem.segment, Path(problem.file).name) == (3, LATEST)


def written_anew(path: Path, change: Callable[[int, list[Entry]], list[Entry]]) -> None:
    """As by somebody who knows the format and has no key: changed entries, the chain right again."""
    frames = frames_of(path)
    content = path.read_bytes()
    header, places = header_of(frames[0])
    octets, chain = first_frame(content[8:40], header, b"", frames[0].wall_ms, frames[0].monotonic_ms)
    assert places == []
    for index, one in enumerate(frames[1:]):
        more, chain = frame(chain, change(index, one.entries), one.wall_ms, one.monotonic_ms)
        octets += more
    path.write_bytes(octets + content[frames[-1].end :])


def changed_reason(index: int, entries: list[Entry]) -> list[Entry]:
    return (
        [Entry(entry.kind, entry.data.replace(b"normal", b"frozen")) for entry in entries]
        if index == 3
        else entries
    )


def test_a_sealed_segment_written_anew_is_found(copy: Path, public: PublicKeys) -> None:
    """Its chain is right, and so is the next one's beginning: it is the last of them, with nothing behind it."""
    for path in copy.glob("segment-0000000004.*"):
        path.unlink()
    written_anew(segment_path(copy, 3), changed_reason)
    problems = proof(copy, public).problems
    assert "is not what was sealed" in problems[0].what
    assert [problem.records for problem in problems[1:]] == [[f"{21:024x}"], [f"{1021:024x}"]]
    written_anew(segment_path(copy, 3), lambda index, entries: [] if index == 2 else entries)
    assert "was sealed with" in proof(copy, public).problems[0].what


def test_a_record_in_an_open_segment_written_anew_is_found_with_the_keys(
    copy: Path, public: PublicKeys
) -> None:
    written_anew(segment_path(copy, 4), changed_reason)
    problems = proof(copy, public).problems
    assert [problem.records for problem in problems] == [[f"{31:024x}"], [f"{1031:024x}"]]
    assert all(problem.segment == 4 and problem.offset for problem in problems)


def test_damage_names_the_record(copy: Path, public: PublicKeys) -> None:
    path = segment_path(copy, 1)
    content = path.read_bytes()
    changed = content.replace(f"{1001:024x}".encode(), f"{1009:024x}".encode())
    assert changed != content
    path.write_bytes(changed)
    (problem,) = proof(copy, public).problems
    assert problem.records == [f"{1009:024x}"]
    (problem,) = proof(copy, public, keys=False).problems
    assert problem.records == [f"{1:024x}", f"{1009:024x}"]  # the frame has both


def test_seals_of_another_key_prove_nothing(journal: Path, tmp_path: Path) -> None:
    problems = proof(journal, public_keys(OTHERS, tmp_path)).problems
    assert [Path(problem.file).name for problem in problems] == [
        *(f"{name}.seal" for name in FILES[:3]),
        LATEST,
    ]


def test_an_engine_that_is_writing_is_no_fault(copy: Path, public: PublicKeys) -> None:
    path = segment_path(copy, 4)
    content = path.read_bytes()
    last = frames_of(path)[-1]
    path.write_bytes(content[: last.end - 50] + bytes(len(content) - last.end + 50))
    whole = iter([content])

    def wait() -> None:
        path.write_bytes(next(whole))

    report = proof(copy, public, wait=wait)
    assert (report.problems, report.ends) == ([], 22)


def test_lines_of_old_are_opened(tmp_path: Path, public: PublicKeys) -> None:
    write_old(tmp_path / FIRST, [record(1), old_line(record(2)).replace(b"normal", b"frozen"), record(3)])
    report = proof(tmp_path, public)
    assert report.old_lines == 3
    (problem,) = report.problems
    assert problem.records == [f"{2:024x}"]
    assert problem.what.startswith("line 2: ")
    assert proof(tmp_path, public, keys=False).problems == []


def test_a_damaged_segment_gets_no_seal(tmp_path: Path) -> None:
    journal = Segments(tmp_path)
    fill(journal, 2)
    damaged = journal.positions[1].offset + 100
    first = journal.path
    journal.next()
    journal.write_entries([Entry(Kind.END, b"what nobody can read")])
    journal.next()
    fill(journal, 1)
    journal.next()
    content = bytearray(first.read_bytes())
    content[damaged] ^= 1
    first.write_bytes(content)
    done = finish([tmp_path], CODEC, SIGNING)
    assert (done.sealed, done.indexed) == ([2, 3], [3])
    assert len(done.problems) == 2
    assert "gets no seal" in done.problems[0]
    assert "gets no index" in done.problems[1]
    assert not seal_path(first).exists()
    assert not index_path(segment_path(tmp_path, 2)).exists()


def test_a_piece_that_a_failed_disk_has_kept_is_no_fault(tmp_path: Path, public: PublicKeys) -> None:
    spare = tmp_path / "spare"
    journal = Segments(tmp_path)
    fill(journal, 2)
    journal.next(spare, footer=False)
    fill(journal, 2, 10)
    segment_path(tmp_path, 2).write_bytes(journal.path.read_bytes()[:60])
    journal.next(tmp_path)
    fill(journal, 1, 20)
    finish([tmp_path, spare], CODEC, SIGNING)
    report = verify([tmp_path, spare], public, CODEC)
    assert (report.problems, report.sealed) == ([], 2)
    assert (tmp_path / LATEST).exists()
    assert (spare / LATEST).exists()


def test_a_problem_can_be_told_at_once(copy: Path, public: PublicKeys) -> None:
    told: list[Problem] = []
    seal_path(segment_path(copy, 1)).write_bytes(b"")
    assert proof(copy, public, told=told.append).problems == told
    assert len(told) == 1


def test_an_engine_that_writes_all_the_time_is_no_fault(tmp_path: Path, public: PublicKeys) -> None:
    over = threading.Event()
    written: list[int] = []

    def keep_writing() -> None:
        journal = journal_in(tmp_path)
        while not over.is_set():
            write(journal, EntryKind.END, len(written))
            journal.flush()
            written.append(1)
        assert journal.close()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        counts = [0]
        segments = 0
        while len(counts) < 9 or segments < 2:
            report = proof(tmp_path, public, keys=False, wait=lambda: time.sleep(0.01))
            assert report.problems == []
            counts.append(report.ends)
            segments = report.segments
    finally:
        over.set()
        writer.join()
    assert counts == sorted(counts)
    assert counts[-1] > 0
    assert proof(tmp_path, public).ends == len(written)


def test_zeros_that_are_cut_off_soon_are_no_fault(copy: Path, public: PublicKeys) -> None:
    footed = segment_path(copy, 3)
    for path in copy.glob("segment-0000000004.*"):
        path.unlink()
    content = footed.read_bytes()
    footed.write_bytes(content + bytes(500))
    seal_path(footed).unlink()
    shutil.copy(seal_path(segment_path(copy, 2)), copy / LATEST)
    assert proof(copy, public, wait=lambda: footed.write_bytes(content)).problems == []
    footed.write_bytes(content + bytes(500))
    (problem,) = proof(copy, public).problems
    assert (problem.segment, problem.offset, problem.end) == (3, len(content), len(content) + 500)


def after_a_crash(tmp_path: Path, last: bytes) -> Path:
    """What an engine has left that died while it wrote, with `last` behind its last whole frame; recovered, and gone
    on from by another one."""
    directory = tmp_path / "records"
    journal = journal_in(directory)
    for number in range(20):
        write(journal, EntryKind.START, number)
        journal.flush()
    dead = Path(shutil.copytree(directory, tmp_path / "dead"))
    assert journal.close()
    path = segment_path(dead, 1)
    frames = frames_of(path)
    with path.open("r+b") as file:
        file.seek(frames[-1].end)
        file.write(last)
    following = journal_in(dead)
    write(following, EntryKind.END, 1)
    assert following.close()
    return dead


@pytest.mark.parametrize("last", [b"", b"\xf7M7\0" + b"x" * 60, b"y" * 5000])
def test_what_was_recovered_is_proven(tmp_path: Path, public: PublicKeys, last: bytes) -> None:
    dead = after_a_crash(tmp_path, last)
    assert finish([dead], CODEC, SIGNING, stopped=True).problems == []
    report = proof(dead, public)
    assert (report.problems, report.sealed, report.starts, report.ends) == ([], 2, 20, 1)
    assert len(list(dead.glob("*.torn"))) == bool(last)


def test_a_header_that_a_power_cut_has_torn_is_no_fault(tmp_path: Path, public: PublicKeys) -> None:
    journal = Segments(tmp_path)
    fill(journal, 2)
    journal.next()
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:90] + bytes(4000))
    following = journal_in(tmp_path)
    write(following, EntryKind.END, 1)
    assert following.close()
    done = finish([tmp_path], CODEC, SIGNING, stopped=True)
    assert (done.problems, done.sealed) == ([], [1, 2, 3])
    report = proof(tmp_path, public)
    assert (report.problems, report.segments) == ([], 3)
