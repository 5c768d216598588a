"""What keeps an outlet from its work: it is told, tried again, and never steps over a record."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.calls.record import EntryKind
from engine.records.following import FIRST, CannotFollow, end_of, place_of
from engine.records.frames import Entry, Position
from engine.records.outlet_disk import OutletDisk
from engine.records.outlet_place import PlaceUnusable, oldest_needed, place_path
from engine.records.outlets import POLL_SECONDS
from engine.records.sealed_record import RecordCodec
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens
from tests.records.outlet_places import Place
from tests.records.samples import RING, record
from tests.records.segments import Segments


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 256 KiB, where this machine lets us mount one."""
    directory = tmp_path / "small"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(directory)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def test_a_full_disk_is_tried_again_less_and_less_often(place: Place, small_disk: Path) -> None:
    (small_disk / "others").write_bytes(bytes(200 * 1024))
    journal = Segments(place.records)
    for number in range(1, 301):
        journal.write(record(number))
    outlet = place.outlet(directory=str(small_disk / "drop"), rotate_s=1)
    waits = [outlet.step()]
    for _ in range(8):
        place.clock.now += 100
        waits.append(outlet.step())
    assert waits == [POLL_SECONDS, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    status = outlet.status()
    assert "No space left" in status.error
    assert (status.failures, status.delivered, status.lag_records) == (8, 0, 300)
    assert list((small_disk / "drop").iterdir()) == []  # nor does it fill the disk itself
    (small_disk / "others").unlink()
    assert outlet.step() == POLL_SECONDS
    assert (outlet.status().error, outlet.status().delivered, outlet.status().lag_records) == ("", 300, 0)


def test_a_read_only_disk_is_waited_for(place: Place, small_disk: Path) -> None:
    journal = Segments(place.records)
    journal.write(record(1))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    outlet = place.outlet(directory=str(small_disk))
    outlet.last()
    assert "Read-only" in outlet.status().error
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    outlet.last()
    assert len(list(small_disk.glob("*.csv"))) == 1
    assert outlet.status().error == ""


class FailingDisk(OutletDisk):
    """Fails what it is told to, so many times."""

    def __init__(self, method: str, times: int) -> None:
        self.left = times
        self._method = method

    def _fail(self, method: str) -> None:
        if method == self._method and self.left:
            self.left -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def sync(self, descriptor: int) -> None:
        self._fail("sync")
        super().sync(descriptor)

    def sync_file(self, path: Path) -> None:
        self._fail("sync_file")
        super().sync_file(path)

    def sync_directory(self, directory: Path) -> None:
        self._fail("sync_directory")
        super().sync_directory(directory)

    def rename(self, old: Path, new: Path) -> None:
        self._fail("rename")
        super().rename(old, new)

    def put(self, path: Path, content: bytes) -> None:
        super().put(path, content)
        self._fail("put")


@pytest.mark.parametrize("method", ["sync", "sync_file", "sync_directory", "rename", "put"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_failing_disk_costs_no_record_and_doubles_none(place: Place, method: str, times: int) -> None:
    journal = Segments(place.records)
    journal.write(record(1), record(2))
    outlet = place.outlet(disk=FailingDisk(method, times))
    for _ in range(times):
        outlet.last()
        assert outlet.status().error.endswith("Input/output error")
    journal.write(record(3))
    outlet.last()
    outlet.last()
    assert (place.ids(), outlet.status().failures) == ([1, 2, 3], times)
    assert place.leftovers() == []


def test_a_key_that_is_not_here_is_waited_for(place: Place) -> None:
    rotated = KeyRing({**RING.sealing, 2: bytes(32)}, 2, RING.lookup)
    journal = Segments(place.records)
    journal.write(record(1))
    codec = RecordCodec(Sealer(rotated), LookupTokens(rotated.lookup))
    outlet = place.outlet()
    outlet.step()
    journal.write_entries([Entry(1, codec.encode(EntryKind.END, record(2)))])
    journal.write(record(3))
    outlet.step()
    assert f"the record at {journal.positions[1]}: " in outlet.status().error
    assert "key 2 is not among the keys" in outlet.status().error
    place.keys.ring = rotated
    outlet.last()
    assert place.ids() == [1, 2, 3]


def test_a_segment_that_is_missing_is_waited_for(place: Place) -> None:
    journal = Segments(place.records)
    journal.write(record(1))
    journal.next()
    journal.write(record(2))
    away = journal.path
    journal.next()
    journal.write(record(3))
    away.rename(place.root / "elsewhere")
    outlet = place.outlet(rotate_s=1)
    for _ in range(3):
        outlet.step()
        place.clock.now += 2
    assert outlet.status().error == "segment 2 is missing"
    assert place.ids() == []
    (place.root / "elsewhere").rename(away)
    outlet.last()
    assert place.ids() == [1, 2, 3]


def test_damaged_bytes_are_told_once_and_passed_over(place: Place) -> None:
    journal = Segments(place.records)
    for number in (1, 2, 3):
        journal.write(record(number))
    with journal.path.open("r+b") as file:
        file.seek(journal.positions[1].offset + 100)
        file.write(b"\xff\xfe")
    outlet = place.outlet()
    outlet.step()
    outlet.step()
    outlet.last()
    assert place.ids() == [1, 3]
    assert outlet.status().failures == 1


def test_a_journal_that_was_replaced_is_noticed(place: Place) -> None:
    Segments(place.records).write(record(1))
    outlet = place.outlet()
    outlet.last()
    for path in place.records.iterdir():
        path.unlink()
    other = Segments(place.records)
    other.write(record(8))
    other.write(record(9))
    outlet.last()
    assert "the journal was replaced or damaged there" in outlet.status().error
    outlet.reset(FIRST)
    outlet.last()
    assert outlet.status().error == ""
    assert place.ids() == [1, 8, 9]
    for path in place.records.iterdir():
        path.unlink()
    again = place.outlet()
    again.last()
    assert again.status().error == "segment 1, where it stands, is not there"


def test_what_was_given_out_is_in_the_journal_after_a_power_cut(place: Place) -> None:
    did: list[str] = []

    class Noting(OutletDisk):
        def sync_file(self, path: Path) -> None:
            did.append(f"journal {path.name[8:18]}")
            super().sync_file(path)

        def sync(self, descriptor: int) -> None:
            did.append("file")
            super().sync(descriptor)

        def put(self, path: Path, content: bytes) -> None:
            did.append(path.name.partition(".")[2])
            super().put(path, content)

        def rename(self, old: Path, new: Path) -> None:
            did.append(f"→ {new.name.partition('.')[2]}")
            super().rename(old, new)

    journal = Segments(place.records)
    journal.write(record(1))
    journal.next()
    journal.write(record(2))
    place.outlet(disk=Noting()).last()
    assert did == [
        *("journal 0000000001", "journal 0000000002", "file", "csv.manifest.part", "position"),
        *("→ csv", "→ csv.manifest", "position"),
    ]


@pytest.mark.parametrize("content", ["", "{}", '{"outlet":"mask700 outlet place 1"}', "\0" * 100])
def test_a_place_that_cannot_be_read_is_no_beginning(place: Place, content: str) -> None:
    Segments(place.records).write(record(1))
    place.outlet().last()
    path = place_path(place.root / "outlets", "billing")
    path.write_text(content)
    with pytest.raises(PlaceUnusable):
        oldest_needed(place.root / "outlets", ["billing"])
    outlet = place.outlet()
    outlet.last()
    assert "outlets reset" in outlet.status().error
    outlet.reset(end_of([place.records]))
    outlet.last()
    assert (outlet.status().error, place.ids()) == ("", [1])
    outlet.reset(FIRST)
    outlet.last()
    assert place.ids() == [1, 1]
    assert len(place.files()) == 2  # no file was written over


def test_it_is_set_back_and_forth(place: Place) -> None:
    journal = Segments(place.records)
    for number in (1, 2, 3):
        journal.write(record(number))
    directories = [place.records]
    outlet = place.outlet()
    outlet.step()  # three records in an unfinished file, which go with it
    outlet.reset(place_of(directories, journal.positions[1]))
    outlet.last()
    assert place.ids() == [3]
    outlet.reset(end_of(directories))
    assert outlet.status().lag_records == 0
    journal.write(record(4))
    outlet.last()
    assert place.ids() == [3, 4]
    outlet.reset(place_of(directories, Position(1, 0, 0)))
    outlet.last()
    assert place.ids() == [3, 4, 1, 2, 3, 4]
    assert outlet.status().delivered == 6


@pytest.mark.parametrize("text", ["1:1:0", "1:41:0", "1:40:7", "1:99999999:0", "9:0:0", "0:5:0"])
def test_a_place_that_there_is_not_is_refused(place: Place, text: str) -> None:
    Segments(place.records).write(record(1))
    with pytest.raises(CannotFollow, match="position"):
        place_of([place.records], Position.parse(text))


def test_it_comes_back_soon_when_somebody_wants_it(place: Place) -> None:
    journal = Segments(place.records)
    for number in range(1, 50):
        journal.write(record(number))
    outlet = place.outlet()
    outlet.wanted = lambda: True
    outlet.step()
    assert outlet.status().lag_records == 1  # it has read one, and does not know of the others yet
    outlet.wanted = lambda: False
    outlet.step()
    assert outlet.status().lag_records == 49
