"""The journal: what is flushed is in the kernel, what is synced on the disk, and what fails is said."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.records.journal import Journal
from engine.records.query import journals

ROOT = Path(__file__).parents[2]
NOW = 1_769_846_400.25

KILLED = """
import os, signal, sys
from pathlib import Path
from engine.records.journal import Journal
journal = Journal.open(Path(sys.argv[1]), 1769846400.25, fsync_ms=10000)
for number in range(1000):
    journal.append(b'{"number":%d}\\n' % number)
    if number % 10 == 9:
        journal.flush()
journal.append(b"never flushed")
os.kill(os.getpid(), signal.SIGKILL)
"""


class Disk:
    """Stands in for fdatasync: says when it is called, goes on when it is told to, fails when it is told to."""

    def __init__(self) -> None:
        self.called = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.error = 0

    def sync(self, descriptor: int) -> None:
        self.called.release()
        self.go_on.acquire()
        if self.error:
            raise OSError(self.error, os.strerror(self.error))


def test_a_start_begins_a_file_of_its_own_for_the_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "records"
    for _ in range(3):
        assert Journal.open(directory, NOW).close()
    assert [path.name for path in journals(directory)] == [
        "journal-20260131-080000.250.ndjson",
        "journal-20260131-080000.251.ndjson",
        "journal-20260131-080000.252.ndjson",
    ]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in journals(directory)} == {0o600}


def test_lines_leave_with_the_flush_and_in_order(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, NOW)
    assert journal.flush()
    journal.append(b"1\n")
    journal.append(b"2\n")
    assert journal.path.read_bytes() == b""
    assert journal.flush()
    assert journal.path.read_bytes() == b"1\n2\n"
    journal.append(b"3\n")
    assert journal.close()
    assert journal.path.read_bytes() == b"1\n2\n3\n"
    assert (journal.written, journal.unsynced, journal.lost, journal.failed) == (3, 0, 0, "")


def test_what_was_flushed_survives_a_kill(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert journals(tmp_path)[0].read_bytes() == b"".join(
        b'{"number":%d}\n' % number for number in range(1000)
    )


def test_what_is_not_on_the_disk_yet_is_counted(tmp_path: Path) -> None:
    disk = Disk()
    journal = Journal.open(tmp_path, NOW, fsync_ms=1, sync=disk.sync)
    assert journal.unsynced == 0
    for line in (b"1\n", b"2\n"):
        journal.append(line)
    assert journal.unsynced == 0  # not even written
    journal.flush()
    assert disk.called.acquire(timeout=10)
    assert journal.unsynced == 2
    journal.append(b"3\n")
    journal.flush()  # while the first sync is under way
    disk.go_on.release()
    assert disk.called.acquire(timeout=10)
    assert journal.unsynced == 1
    disk.go_on.release()
    disk.go_on.release()  # the one of close
    assert journal.close()
    assert journal.unsynced == 0


def test_a_sync_that_fails_is_said_until_one_works(tmp_path: Path) -> None:
    disk = Disk()
    journal = Journal.open(tmp_path, NOW, fsync_ms=1, sync=disk.sync)
    disk.error = errno.EIO
    journal.append(b"1\n")
    journal.flush()
    assert disk.called.acquire(timeout=10)
    disk.go_on.release()
    assert disk.called.acquire(timeout=10)  # it is tried again, though nothing was added
    assert journal.failed == f"{journal.path} cannot be brought to the disk: Input/output error"
    assert (journal.write_failures, journal.sync_failures > 0) == (0, True)
    assert journal.unsynced == 1
    disk.error = 0
    disk.go_on.release()
    disk.go_on.release()
    assert journal.close()
    assert (journal.failed, journal.unsynced) == ("", 0)


def test_a_full_disk_is_said_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, NOW)
    lines = [b"%05d" % number * 20 + b"\n" for number in range(300)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_025, hard))  # in the middle of a line
    try:
        for line in lines[:100]:
            journal.append(line)
        assert not journal.flush()
        assert journal.failed == f"{journal.path} cannot be written: File too large"
        assert (journal.write_failures > 0, journal.sync_failures) == (True, 0)
        assert journal.written == 49
        assert journal.path.stat().st_size == 5_025
        for line in lines[100:200]:
            journal.append(line)
        assert not journal.flush()
        assert not journal.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for line in lines[200:]:
        journal.append(line)
    assert journal.flush()
    assert journal.failed == ""
    assert journal.close()
    assert journal.path.read_bytes() == b"".join(lines)
    assert (journal.written, journal.lost) == (300, 0)


def test_a_disk_that_stays_full_does_not_fill_the_memory(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, NOW)
    line = b"x" * 999_999 + b"\n"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        for _ in range(80):
            journal.append(line)
        assert not journal.flush()
        assert journal.lost == 80 - 67  # 64 MiB stay
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert journal.close()
    assert journal.path.stat().st_size == 67 * len(line)


def test_a_close_that_loses_something_says_so(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, NOW)
    journal.append(b"x" * 200 + b"\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        assert not journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        Journal.open(tmp_path / "file", NOW)
