"""An outlet: gives every record of the journal out once, into files, from a durable place on.

At least once: its place moves when what it has given out is on the disk, so a crash at any point leaves nothing out.
As a file gets its name in two steps that are both written down before, a crash repeats a file only where somebody else
has taken it away meanwhile; its records are known by their `record_id`.

It reads the journal's files beside the engine that writes them, and nobody waits for it: what keeps it from giving out
(a full disk, a key or a segment that is not here) it tries again, less and less often, until it is mended. What is not
here is never stepped over; damaged bytes are, and are told.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from engine.observe.logs import get_logger
from engine.records.file_drop import FileDrop
from engine.records.following import FIRST, Place, Read, follow
from engine.records.frames import Kind
from engine.records.outlet_disk import OutletDisk
from engine.records.outlet_lag import Backlog
from engine.records.outlet_place import PlaceUnusable, Standing, place_path, read_standing, write_standing
from engine.records.ports import Signing
from engine.records.query import Found, Record
from engine.records.reading import segments
from engine.records.sealed_record import BrokenLine, RecordCodec
from engine.records.settings import OutletSettings

POLL_SECONDS: Final = 0.5  # between two looks at a journal that has nothing new
_FIRST_WAIT = 1.0  # after a failure; doubled with each one that follows
_LONGEST_WAIT = 60.0
_COUNT_EVERY = 10.0  # seconds, while it is behind
_COUNT_FOR = 0.5  # seconds at a time
_MOST_TOLD = 1000

_log = get_logger("outlets")


class CannotDeliver(ValueError):
    """What was read cannot be given out; the text says why, fit for the operator."""


class OutletStatus(msgspec.Struct, frozen=True):
    """`position`: behind everything that has been given out. `delivered`: records, since the outlet was first used.
    `lag_records`, `lag_s`: how many it has not given out and how old the oldest of them is; at least so many while
    they are being counted. `failures`: since the process began. `error`: what keeps it from its work now, or ""."""

    name: str
    kind: str
    position: str
    delivered: int = 0
    lag_records: int = 0
    lag_s: float = 0.0
    failures: int = 0
    error: str = ""


class Keys(Protocol):
    """The keys as they are at this moment; raises ValueError where they cannot be used."""

    def codec(self) -> RecordCodec: ...
    def signing(self) -> Signing: ...


class Outlet:
    """To be used by one thread, but for `status` and `wanted`."""

    def __init__(
        self,
        settings: OutletSettings,
        node: str,
        data_dir: Path,
        directory: Path,
        journal: Sequence[Path],
        keys: Keys,
        disk: OutletDisk,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`directory`: where its place is kept; `journal`: where the segments lie."""
        self.wanted: Callable[[], bool] = lambda: False  # whether it shall come back from `step` soon
        self._settings = settings
        self._directory = directory
        self._path = place_path(directory, settings.name)
        self._journal = journal
        self._keys = keys
        self._disk = disk
        self._clock = clock
        self._drop = FileDrop(settings, settings.drop(data_dir), node, keys.signing, disk)
        self._backlog = Backlog(journal)
        self._standing: Standing | None = None  # as on the disk; None: to be read
        self._read_to = FIRST
        self._codec: RecordCodec | None = None
        self._touched: set[int] = set()  # segments from which it has read since its place moved
        self._last_wall_ms = 0
        self._told: set[str] = set()
        self._failures = 0
        self._error = ""
        self._wait = 0.0
        self._count_at = 0.0
        self._position = ""
        self._delivered = 0

    def step(self) -> float:
        """Gives out what there is; seconds after which it should be called again."""
        return self._try(last=False)

    def last(self) -> None:
        """Gives out what there is, whether or not the file is due. Its last words."""
        self._try(last=True)

    def reset(self, place: Place) -> None:
        """Goes on from another place; what it was about to give out is dropped. Raises OSError."""
        self._drop.abandon()
        self._drop.clean()
        try:
            standing = read_standing(self._path)
        except PlaceUnusable:
            standing = None
        self._disk.make_directory(self._directory)
        if standing is None:
            standing = Standing.first(self._drop.next_number())
        elif standing.publishing is not None:
            standing = standing.given_up()
        self._standing = None
        write_standing(self._path, standing.at(place), self._disk)
        self._wait = 0.0
        self._stand(standing.at(place))

    def look(self) -> None:
        """Finds out where it stands without giving anything out, all records counted. Raises OSError, ValueError."""
        standing = read_standing(self._path)
        self._stand(standing or Standing.first(1))
        self._backlog.look()

    def status(self) -> OutletStatus:
        """May be asked by any thread."""
        backlog = self._backlog
        oldest = backlog.oldest_ms
        return OutletStatus(
            self._settings.name,
            self._settings.kind,
            self._position,
            self._delivered,
            backlog.records,
            round(max(0.0, time.time() - oldest / 1000), 1) if oldest and backlog.records else 0.0,
            self._failures,
            self._error,
        )

    # --- one step ---

    def _try(self, last: bool) -> float:
        try:
            self._settle()
            self._read_on()
            # After a failure it is tried at once whether things go again, and not when the file is due.
            if self._drop.records and (last or self._error or self._drop.is_due(self._clock())):
                self._give_out()
        except (OSError, ValueError) as error:
            return self._failed(str(error))
        except Exception as error:
            _log.exception("outlet: our fault", outlet=self._settings.name)
            return self._failed(f"our fault: {error!r}")
        if self._error:
            self._error, self._wait = "", 0.0
            _log.warning("the outlet works again", outlet=self._settings.name)
        return POLL_SECONDS

    def _settle(self) -> None:
        """Reads its place, and ends what an outlet that died was about to do."""
        if self._standing is None:
            self._disk.make_directory(self._directory)
            self._clean()
            standing = read_standing(self._path)
            if standing is None:
                standing = Standing.first(self._drop.next_number())
            if standing.publishing is not None:
                standing = self._publish(standing)
            self._drop.clean()
            self._stand(standing)

    def _read_on(self) -> None:
        for read in follow(self._journal, self._read_to, self._tell):
            if read.kind == Kind.END:
                self._take(read)
            self._read_to = read.place
            self._touched.add(read.position.segment)
            self._backlog.passed(read)
            if self._drop.is_due(self._clock()):
                self._give_out()
                self._count_on()
            if self.wanted():
                return

    def _take(self, read: Read) -> None:
        record = self._opened(read)
        standing = self._standing
        assert standing is not None
        if not self._drop.is_open:
            self._drop.begin(standing.next_file, standing.place, self._clock())
        self._drop.add(Found(read.position, record), read.place)
        self._last_wall_ms = read.wall_ms

    def _opened(self, read: Read) -> Record:
        """Its frame is whole, so what cannot be opened wants a key, which may have been made since the last one was
        read."""
        for attempt in (1, 2):
            if self._codec is None:
                self._codec = self._keys.codec()
            try:
                return self._codec.open(self._codec.parse(read.data))
            except BrokenLine as error:
                self._codec = None
                if attempt == 2:
                    raise CannotDeliver(f"the record at {read.position}: {error}") from None
        raise AssertionError

    def _give_out(self) -> None:
        """First the journal: what has been given out must not be gone after a power cut."""
        standing = self._standing
        assert standing is not None
        for segment in segments(self._journal, min(self._touched)):
            if segment.number in self._touched:
                self._disk.sync_file(segment.path)
        publishing = self._drop.complete()
        standing = msgspec.structs.replace(standing, publishing=publishing)
        write_standing(self._path, standing, self._disk)
        self._standing = self._publish(standing)
        self._position, self._delivered = self._standing.position, self._standing.delivered
        self._touched = {self._read_to.position.segment}
        self._backlog.delivered(publishing.records, self._last_wall_ms)
        _log.info(
            "file complete", outlet=self._settings.name, file=publishing.path, records=publishing.records
        )

    def _publish(self, standing: Standing) -> Standing:
        """Where it stands when its file has its name. Raises CannotDeliver when it has none."""
        publishing = standing.publishing
        assert publishing is not None
        if self._drop.publish(publishing):
            done = standing.published()
            write_standing(self._path, done, self._disk)
            return done
        write_standing(self._path, standing.given_up(), self._disk)
        raise CannotDeliver(
            f"{publishing.path} was taken away or put there by somebody else: its records come again in the next one"
        )

    # --- where it stands ---

    def _stand(self, standing: Standing) -> None:
        if self._position != standing.position:
            self._backlog.reset(standing.place)
        self._standing = standing
        self._read_to = standing.place
        self._touched = {standing.place.position.segment}
        self._position, self._delivered = standing.position, standing.delivered

    def _clean(self) -> None:
        """What was left when the file of its place was being replaced."""
        for draft in self._directory.glob(f".{self._path.name}.*"):
            self._disk.remove(draft)

    def _count_on(self) -> None:
        now = self._clock()
        if now >= self._count_at:
            self._count_at = now + _COUNT_EVERY
            self._backlog.look(_COUNT_FOR)

    # --- trouble ---

    def _failed(self, why: str) -> float:
        """Begins anew from what is on the disk, after a while."""
        self._drop.abandon()
        self._standing = None
        self._failures += 1
        if why != self._error:
            _log.error("the outlet cannot go on, and tries again", outlet=self._settings.name, why=why)
        self._error = why
        self._wait = min(_LONGEST_WAIT, self._wait * 2 or _FIRST_WAIT)
        with contextlib.suppress(OSError, ValueError):
            self._count_on()
        return self._wait

    def _tell(self, damage: str) -> None:
        if damage not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(damage)
            self._failures += 1
            _log.error("records are damaged and not given out", outlet=self._settings.name, what=damage)
