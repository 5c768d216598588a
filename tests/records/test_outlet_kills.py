"""An outlet that is killed at any point gives out everything, and nothing twice that nobody has taken away."""

import csv
import io
import os
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from engine.records.outlet_disk import OutletDisk
from tests.records.outlet_places import Place, read_manifest
from tests.records.samples import record
from tests.records.segments import Segments


class Killed(BaseException):
    """As kill -9 does, it lets nobody clean up."""


class KilledDisk(OutletDisk):
    """Dies before, in the middle of or after its `at`-th change of the file system. What the kernel has survives, so
    nothing is synced."""

    def __init__(self, at: int, half: str) -> None:
        self._left = at
        self._half = half
        self._dead = False

    def _do(self, done: Callable[[], Any], half: Callable[[], Any] = lambda: None) -> Any:
        if self._dead:
            raise Killed
        if self._left:
            self._left -= 1
            return done()
        self._dead = True
        if self._half == "middle":
            half()
        elif self._half == "after":
            done()
        raise Killed

    def begin(self, path: Path) -> int:
        found: int = self._do(lambda: super(KilledDisk, self).begin(path))
        return found

    def append(self, descriptor: int, data: bytes) -> None:
        self._do(lambda: os.write(descriptor, data), lambda: os.write(descriptor, data[: len(data) // 2]))

    def rename(self, old: Path, new: Path) -> None:
        self._do(lambda: old.rename(new))

    def put(self, path: Path, content: bytes) -> None:
        draft = path.with_name(f".{path.name}.abcd")
        self._do(
            lambda: (draft.write_bytes(content), draft.replace(path)), lambda: draft.write_bytes(content[:10])
        )

    def remove(self, path: Path) -> None:
        self._do(lambda: path.unlink(missing_ok=True))

    def sync(self, descriptor: int) -> None:
        pass

    def sync_directory(self, directory: Path) -> None:
        pass

    def sync_file(self, path: Path) -> None:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("half", ["before", "middle", "after"])
@pytest.mark.parametrize("consumer", ["leaves", "takes"])
def test_killed_anywhere_it_gives_out_everything(tmp_path: Path, half: str, consumer: str) -> None:
    """Also when it is killed once more while it mends: every point of one life, and many points of the next."""
    killed, at = True, -1
    while killed:
        at += 1
        killed = False
        for again in range(at % 4, 28, 4):
            lived = Lives(tmp_path / f"{at}-{again}", half, consumer == "takes")
            lived.live(at)
            killed = killed or lived.killed > 0
            lived.live(again)
            lived.live(10_000)
            lived.prove()
    assert at > 15


class Lives:
    """An outlet and a billing system. The latter takes what has a manifest, whenever it can, and removes it or not."""

    def __init__(self, root: Path, half: str, removes: bool) -> None:
        root.mkdir()
        self.place = Place(root)
        self.journal = Segments(self.place.records)
        self.half = half
        self.removes = removes
        self.taken: dict[str, bytes] = {}
        self.records = 0
        self.killed = 0
        self.write(2)

    def write(self, count: int) -> None:
        for _ in range(count):
            self.records += 1
            self.journal.write(record(self.records))

    def live(self, changes: int) -> None:
        """For so many changes of the file system, or until two files more are taken."""
        place = self.place
        outlet = place.outlet(disk=KilledDisk(changes, self.half), rotate_s=1)
        try:
            for _ in range(2):
                outlet.step()
                place.clock.now += 2
                outlet.step()
                self.take()
                self.write(1)
            outlet.last()
        except Killed:
            self.killed += 1
        self.take()

    def take(self) -> None:
        for path in self.place.files():
            manifest = path.with_name(path.name + ".manifest")
            if manifest.exists():
                content = path.read_bytes()
                assert self.taken.setdefault(path.name, content) == content  # no name is used for two files
                assert read_manifest(path)["sha256"] == sha256(content).hexdigest()
                if self.removes:
                    path.unlink()
                    manifest.unlink()

    def prove(self) -> None:
        """Everything once; a file that was taken away as its outlet died comes again in the next one, and no other."""
        files = [
            [int(row["record_id"], 16) for row in csv.DictReader(io.StringIO(content.decode(), newline=""))]
            for _, content in sorted(self.taken.items())
        ]
        ids = Counter(number for numbers in files for number in numbers)
        assert set(ids) == set(range(1, self.records + 1))
        assert max(ids.values()) <= 1 + self.removes * self.killed
        for index, before in enumerate(files):
            for after in files[index + 1 :]:
                assert not set(before) & set(after) or set(before) <= set(after)
        assert self.place.leftovers() == []
