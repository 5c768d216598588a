"""The journal: what is flushed is in the kernel, what is synced on the disk, and what fails is said and mended."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.calls.record import EntryKind
from engine.records.disk import Disk
from engine.records.frames import (
    NO_CHAIN,
    PREAMBLE_BYTES,
    SegmentReader,
    all_files,
    footer_of,
    header_of,
    read_segment,
    segment_files,
)
from engine.records.journal import Journal
from engine.records.open_segment import Beginning
from engine.records.recovery import recover
from engine.records.settings import RecordSettings
from tests.records.bad_disk import BadDisk, until
from tests.records.samples import CODEC, HEADER, entries_in, frames_in, journal_in, write

ROOT = Path(__file__).parents[2]
START, END = EntryKind.START, EntryKind.END

KILLED = """
import os, signal, sys
from pathlib import Path
from engine.calls.record import EntryKind
from tests.records.samples import journal_in, write
journal = journal_in(Path(sys.argv[1]), fsync_ms=10000)
for number in range(1000):
    write(journal, EntryKind.START, number)
    if number % 10 == 9:
        journal.flush()
write(journal, EntryKind.END, 0)  # never flushed
os.kill(os.getpid(), signal.SIGKILL)
"""


def chain_holds(*directories: Path) -> bool:
    """Whether every segment goes on from the one before, and every frame but torn tails is whole."""
    before = NO_CHAIN
    for file in segment_files(directories):
        with file.path.open("rb") as opened:
            reader = SegmentReader(opened, thorough=True)
            if reader.before != before:
                return False
            list(reader.frames())
            if reader.damage:
                return False
            before = reader.chain
    return True


def test_a_start_begins_a_segment_of_its_own_for_the_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "records"
    for _ in range(3):
        assert journal_in(directory).close()
    files = all_files([directory])
    assert [file.number for file in files] == [1, 2, 3]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.path.stat().st_mode) for file in files} == {0o600}
    assert chain_holds(directory)
    for file in files:
        frames = list(read_segment(file.path))
        assert header_of(frames[0])[0].segment == file.number
        assert footer_of(frames[-1]) is not None
        assert file.path.stat().st_size == frames[-1].end  # nothing of the space that was taken is kept


def test_entries_leave_with_the_flush_in_one_frame(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    assert journal.flush()
    write(journal, START, 1)
    write(journal, START, 2)
    assert entries_in(tmp_path) == []
    assert journal.flush()
    write(journal, END, 1)
    assert entries_in(tmp_path) == [("START", 1), ("START", 2)]
    assert journal.close()
    assert entries_in(tmp_path) == [("START", 1), ("START", 2), ("END", 1)]
    assert [len(frame.entries) for frame in frames_in(tmp_path)] == [2, 2, 1, 1]  # header, two, one, footer
    assert (journal.written, journal.unsynced, journal.lost, journal.failed) == (3, 0, 0, "")


def test_what_was_flushed_survives_a_kill(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert entries_in(tmp_path) == [("START", number) for number in range(1000)]


def test_what_is_not_on_the_disk_yet_is_counted(tmp_path: Path) -> None:
    disk = BadDisk()
    journal = journal_in(tmp_path, disk=disk)
    until(lambda: journal.accepting)
    disk.stuck.clear()
    write(journal, START, 1)
    assert journal.unsynced == 0  # not even written
    journal.flush()
    write(journal, START, 2)
    journal.flush()
    assert journal.unsynced == 2
    assert journal.flush()
    assert journal.accepting  # a slow disk keeps nobody from calling
    disk.stuck.set()
    until(lambda: journal.unsynced == 0)
    assert journal.close()


def test_a_slow_disk_keeps_new_calls_away_when_too_much_waits_for_it(tmp_path: Path) -> None:
    disk = BadDisk()
    journal = journal_in(tmp_path, disk=disk, segment_mib=8, buffer_mib=1)
    until(lambda: journal.accepting)
    disk.stuck.clear()
    for number in range(4000):
        write(journal, END, number)
        assert journal.flush()
    assert not journal.accepting
    disk.stuck.set()
    until(lambda: journal.unsynced == 0)
    journal.beat()  # nothing new has to be written for that
    assert journal.accepting
    assert not journal.failed
    write(journal, END, 4000)
    assert journal.flush()
    assert journal.close()


def test_a_sync_that_fails_is_said_until_the_same_has_been_written_again(tmp_path: Path) -> None:
    """A kernel that could not bring pages to the disk calls them clean: to sync once more proves nothing."""
    disk = BadDisk()
    journal = journal_in(tmp_path, disk=disk)
    write(journal, START, 1)
    assert journal.flush()
    until(lambda: journal.unsynced == 0)
    disk.sync_error = errno.EIO
    write(journal, START, 2)
    journal.flush()
    until(lambda: journal.sync_failures)
    assert journal.failed == f"{journal.path} cannot be brought to the disk: Input/output error"
    content = journal.path.read_bytes()
    last = frames_in(tmp_path)[-1]
    with journal.path.open("r+b") as file:  # what the kernel has dropped
        file.seek(last.offset)
        file.write(bytes(last.end - last.offset))
    disk.sync_error = 0
    assert journal.flush()
    until(lambda: not journal.failed)
    assert journal.unsynced == 0
    assert journal.path.read_bytes() == content
    assert journal.flush()
    assert journal.accepting
    assert journal.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_what_a_disk_refuses_is_kept_and_written_once(tmp_path: Path, number: int) -> None:
    disk = BadDisk()
    journal = journal_in(tmp_path, disk=disk, patience_ms=60_000)
    write(journal, START, 1)
    assert journal.flush()
    disk.write_error = number
    write(journal, START, 2)
    assert not journal.flush()
    assert journal.failed.endswith(f"cannot be written: {os.strerror(number)}")
    assert journal.accepting  # for as long as patience lasts
    write(journal, END, 1)
    assert not journal.flush()
    assert journal.write_failures > 0
    disk.write_error = 0
    until(journal.flush)
    assert not journal.failed
    assert entries_in(tmp_path) == [("START", 1), ("START", 2), ("END", 1)]
    assert journal.close()
    assert chain_holds(tmp_path)


def test_new_calls_are_refused_when_patience_is_over(tmp_path: Path) -> None:
    disk = BadDisk()
    journal = journal_in(tmp_path, disk=disk, patience_ms=0)
    disk.write_error = errno.EIO
    write(journal, START, 1)
    assert not journal.flush()
    assert not journal.accepting
    disk.write_error = 0
    until(journal.flush)
    until(lambda: journal.accepting)
    assert journal.close()


@given(most=st.integers(1, 700), batches=st.lists(st.integers(1, 4), min_size=1, max_size=6))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_short_writes_come_to_the_same(
    tmp_path_factory: pytest.TempPathFactory, most: int, batches: list[int]
) -> None:
    directory = tmp_path_factory.mktemp("short")
    disk = BadDisk()
    disk.most = most
    journal = journal_in(directory, disk=disk)
    number = 0
    for size in batches:
        for _ in range(size):
            write(journal, END, number)
            number += 1
        assert journal.flush()
    assert journal.close()
    assert [found for _, found in entries_in(directory)] == list(range(number))
    assert chain_holds(directory)


@given(room=st.integers(0, 4000))
@settings(max_examples=40)
def test_a_disk_that_fills_up_in_the_middle_of_a_write(
    tmp_path_factory: pytest.TempPathFactory, room: int
) -> None:
    """Half a frame is no frame; what follows takes its place."""
    directory = tmp_path_factory.mktemp("full")
    disk = BadDisk()
    journal = journal_in(directory, disk=disk)
    disk.room = room
    for number in range(6):
        write(journal, START, number)
        journal.flush()
    disk.room = -1
    until(journal.flush)
    assert journal.close()
    assert entries_in(directory) == [("START", number) for number in range(6)]
    assert chain_holds(directory)


def test_segments_follow_one_another(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    for number in range(5000):
        write(journal, START, number)
        if number % 2:
            write(journal, END, number)
        assert journal.flush()
        until(lambda: journal.accepting)
    files = segment_files([tmp_path])
    assert [file.number for file in files] == [1, 2, 3, 4][: len(files)]
    assert len(files) >= 3
    assert journal.close()
    assert chain_holds(tmp_path)
    started = {number for kind, number in entries_in(tmp_path) if kind == "START"}
    assert started == set(range(5000))
    for one, following in pairwise(files):
        frames = list(read_segment(one.path))
        footer = footer_of(frames[-1])
        assert footer is not None
        assert (footer.segment, footer.frames) == (one.number, len(frames) - 1)
        assert one.path.stat().st_size == frames[-1].end
        _, places = header_of(next(read_segment(following.path)))
        assert places  # the calls without an END: those with even numbers
        for place in places[:: len(places) // 5]:
            where = next(file.path for file in files if file.number == place.segment)
            frame = next(read_segment(where, place.offset))
            record_id = CODEC.parse(frame.entries[place.entry].data).clear.record_id
            assert int(record_id, 16) % 2 == 0


def test_a_segment_ends_with_its_time(tmp_path: Path) -> None:
    journal = journal_in(tmp_path, segment_s=1)
    journal.beat()
    write(journal, END, 1)
    journal.flush()
    until(lambda: journal.accepting)
    give_up = time.monotonic() + 10
    while len(segment_files([tmp_path])) < 2:
        assert time.monotonic() < give_up
        journal.beat()
    journal.beat()
    assert journal.close()
    assert len(segment_files([tmp_path])) == 2  # one in which nothing happened does not end


def test_a_beat_is_written_while_calls_are_up(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.beat()
    assert len(frames_in(tmp_path)) == 1
    write(journal, START, 1)
    journal.flush()
    journal.beat()
    frames = frames_in(tmp_path)
    assert [len(frame.entries) for frame in frames] == [2, 1, 0]
    assert frames[2].monotonic_ms >= frames[1].monotonic_ms
    write(journal, END, 1)
    journal.flush()
    journal.beat()
    assert len(frames_in(tmp_path)) == 4
    assert journal.close()


# --- a second directory ---


@pytest.mark.parametrize("fault", ["write_error", "sync_error"])
def test_the_spare_directory_takes_over(tmp_path: Path, fault: str) -> None:
    home, spare = tmp_path / "records", tmp_path / "spare"
    disk = BadDisk()
    journal = journal_in(home, spare, disk=disk)
    write(journal, START, 1)
    assert journal.flush()
    until(lambda: journal.unsynced == 0)
    assert not journal.elsewhere
    disk.only = home
    setattr(disk, fault, errno.EIO)
    write(journal, START, 2)
    journal.flush()
    until(lambda: journal.flush() and journal.elsewhere)
    write(journal, END, 1)
    assert journal.flush() or journal.failed
    until(lambda: journal.flush() and journal.accepting and not journal.failed)
    assert entries_in(home, spare) == [("START", 1), ("START", 2), ("END", 1)]
    assert [file.path.parent.name for file in segment_files([home, spare])] == ["records", "spare"]
    journal.close()
    assert chain_holds(home, spare)
    found = recover([home, spare], CODEC, lambda _: None)
    assert [int(CODEC.parse(call.start).clear.record_id, 16) for call in found.interrupted] == [2]


class OneFileFails(BadDisk):
    """Syncs of the file with this name fail. `astray`: writes to descriptors that are closed."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._open: dict[int, Path] = {}
        self.astray = 0

    def create(self, path: Path, size: int) -> int:
        descriptor = super().create(path, size)
        self._open[descriptor] = path
        return descriptor

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        if descriptor not in self._open:
            self.astray += 1
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return super().write(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        if self._open[descriptor].name == self._name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        super().close(descriptor)


def test_nothing_is_written_again_to_a_segment_that_is_closed(tmp_path: Path) -> None:
    """The first segment is done while the second one fails: its descriptor may belong to another file by then."""
    home, spare = tmp_path / "records", tmp_path / "spare"
    disk = OneFileFails("segment-0000000002.journal")
    journal = journal_in(home, spare, disk=disk)
    until(lambda: journal.accepting)
    first = journal.path
    disk.stuck.clear()
    number = 0
    while journal.path == first:
        write(journal, END, number)
        assert journal.flush()
        number += 1
    disk.stuck.set()
    until(lambda: journal.flush() and journal.elsewhere and journal.unsynced == 0 and not journal.failed)
    assert disk.astray == 0
    assert journal.close()
    assert entries_in(home, spare) == [("END", at) for at in range(number)]
    assert chain_holds(home, spare)


def test_a_full_disk_is_met_when_the_next_segment_is_made(tmp_path: Path) -> None:
    """The spare takes the next one; and when there is room again, the first directory."""
    home, spare = tmp_path / "records", tmp_path / "spare"
    disk = BadDisk()
    disk.only, disk.create_error = spare, 0
    journal = journal_in(home, spare, disk=disk)
    until(lambda: journal.accepting)
    disk.only, disk.create_error = home, errno.ENOSPC
    number = 0
    while len(segment_files([home, spare])) < 4:
        write(journal, END, number)
        assert journal.flush()
        assert not journal.failed
        number += 1
        if journal.elsewhere and len(segment_files([home, spare])) == 3:
            disk.create_error = 0
        until(lambda: journal.accepting)
    where = [file.path.parent.name for file in segment_files([home, spare])]
    assert where[0] == "records"
    assert "spare" in where
    assert journal.close()
    assert chain_holds(home, spare)
    assert [found for _, found in entries_in(home, spare)] == list(range(number))


def test_without_a_next_segment_calls_are_refused_while_their_ends_still_have_room(tmp_path: Path) -> None:
    disk = BadDisk()
    journal = journal_in(tmp_path, disk=disk)
    until(lambda: (tmp_path / "segment-0000000002.journal").exists())
    disk.create_error = errno.ENOSPC
    number = 0
    while journal.accepting:  # the second one was made before the disk was full
        write(journal, START, number)
        assert journal.flush()
        number += 1
    assert "No space left" in journal.failed
    assert len(segment_files([tmp_path])) == 2
    room = (1 << 20) - max(frame.end for frame in read_segment(journal.path))
    assert room > 100_000
    for ended in range(100):
        write(journal, END, ended)
        assert journal.flush()
    disk.create_error = 0
    until(lambda: journal.accepting)
    assert not journal.failed
    assert journal.close()
    assert len(entries_in(tmp_path)) == number + 100


# --- memory ---


def test_what_proves_no_call_goes_first_when_memory_is_full(tmp_path: Path) -> None:
    disk = BadDisk()
    journal = journal_in(tmp_path, disk=disk, buffer_mib=1)
    for number in range(500):
        write(journal, START, number)
    journal.flush()
    disk.write_error = errno.EIO
    for number in range(6000):
        write(journal, END, number)
    assert not journal.flush()
    assert journal.lost > 1000
    assert not journal.accepting
    disk.write_error = 0
    until(journal.flush)
    assert journal.close()
    found = entries_in(tmp_path)
    assert len(found) == 500 + 6000 - journal.lost
    assert {number for kind, number in found if kind == "END"} >= set(range(500))


def test_a_journal_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    disk = BadDisk()
    disk.create_error = errno.EROFS
    with pytest.raises(OSError, match="Read-only file system") as refused:
        journal_in(tmp_path / "records", disk=disk)
    assert refused.value.filename == str(tmp_path / "records")


def test_the_spare_is_begun_where_the_first_directory_is_bad_from_the_start(tmp_path: Path) -> None:
    home, spare = tmp_path / "records", tmp_path / "spare"
    disk = BadDisk()
    disk.only, disk.write_error = home, errno.EIO
    journal = journal_in(home, spare, disk=disk)
    assert journal.elsewhere
    write(journal, END, 1)
    assert journal.flush()
    assert journal.close()
    assert entries_in(home, spare) == [("END", 1)]


def test_a_real_file_system_that_is_full(tmp_path: Path) -> None:
    """A tmpfs of 4 MiB, where this machine lets us mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        journal = Journal([place / "records"], RecordSettings(segment_mib=1), HEADER, Beginning(), Disk())
        until(lambda: journal.accepting)
        number = 0
        while journal.accepting:
            write(journal, START, number)
            assert journal.flush()
            number += 1
            if number % 100 == 0:
                until(lambda: journal.unsynced == 0)
        assert number > 4000
        assert "No space left" in journal.failed
        for ended in range(20):
            write(journal, END, ended)
            assert journal.flush()
        (place / "records" / "segment-0000000001.journal").unlink()
        until(lambda: journal.accepting)
        assert journal.close()
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_segment_begins_behind_its_preamble(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    assert frames_in(tmp_path)[0].offset == PREAMBLE_BYTES
    assert journal.close()
