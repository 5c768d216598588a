"""Where an outlet stands in the journal, durably: `data_dir/outlets/NAME.position`, one JSON object.

It is replaced as a whole, after the outlet's output is on the disk. So whatever is behind the place may have been
given out already and is given out again after a crash, and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from engine.records.following import FIRST, Place
from engine.records.frames import CHAIN_BYTES, Position
from engine.records.outlet_disk import OutletDisk

KIND: Final = "mask700 outlet place 1"


class PlaceUnusable(ValueError):
    """The file of a place cannot be read; the text names it."""


class Publishing(msgspec.Struct, frozen=True):
    """A file that is complete and on the disk, and is being given its name. `position`, `chain`: the place behind its
    last record. `path`: without `.part`. `size` in bytes; `sha256` in hexadecimal digits."""

    path: str
    size: int
    sha256: str
    records: int
    position: str
    chain: str

    @property
    def place(self) -> Place:
        return _place(self.position, self.chain)


class Standing(msgspec.Struct, frozen=True):
    """`position`, `chain`: behind everything that has been given out. `next_file`: the number of the next file; none is
    used for two files. `delivered`: records since the outlet was first used."""

    outlet: str
    position: str
    chain: str
    next_file: int
    delivered: int
    publishing: Publishing | None = None

    @staticmethod
    def first(next_file: int) -> Standing:
        """In front of everything."""
        return Standing(KIND, str(FIRST.position), "", next_file, 0)

    @property
    def place(self) -> Place:
        return _place(self.position, self.chain)

    def at(self, place: Place) -> Standing:
        """The same elsewhere."""
        return msgspec.structs.replace(
            self, position=str(place.position), chain=place.chain.hex(), publishing=None
        )

    def published(self) -> Standing:
        """Behind the file that was being given its name."""
        done = self.publishing
        assert done is not None
        return msgspec.structs.replace(
            self,
            position=done.position,
            chain=done.chain,
            next_file=self.next_file + 1,
            delivered=self.delivered + done.records,
            publishing=None,
        )

    def given_up(self) -> Standing:
        """Before the file that was being given its name, whose number may have been seen."""
        return msgspec.structs.replace(self, next_file=self.next_file + 1, publishing=None)


def read_standing(path: Path) -> Standing | None:
    """None where the outlet has never given out anything. Raises PlaceUnusable, OSError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        standing = msgspec.json.decode(content, type=Standing)
        places = [standing.place, *([standing.publishing.place] if standing.publishing else [])]
        if standing.outlet != KIND or any(len(place.chain) not in (0, CHAIN_BYTES) for place in places):
            raise ValueError("it is no place of an outlet")
    except (msgspec.MsgspecError, ValueError) as error:
        raise PlaceUnusable(f"{path}: {error}; `mask700 outlets reset` makes it anew") from None
    return standing


def write_standing(path: Path, standing: Standing, disk: OutletDisk) -> None:
    """On the disk when it returns. Raises OSError."""
    disk.put(path, msgspec.json.encode(standing) + b"\n")


def place_path(directory: Path, name: str) -> Path:
    """Where an outlet's place is kept."""
    return directory / f"{name}.position"


def oldest_needed(directory: Path, names: Iterable[str]) -> int | None:
    """The number of the oldest segment that one of these outlets has still to read; 0: all of them; None: none of
    them needs any, for there is no outlet. Who removes segments keeps this one and those behind it. Raises
    PlaceUnusable, OSError: then nothing may be removed."""
    needed = []
    for name in names:
        standing = read_standing(place_path(directory, name))
        needed.append(0 if standing is None else standing.place.position.segment)
    return min(needed, default=None)


def _place(position: str, chain: str) -> Place:
    return Place(Position.parse(position), bytes.fromhex(chain))
