"""Last callers: whom a call-back on a binding reaches.

A small store of the signalling process's own, so that it never waits for who writes bindings. What was
flushed is in the kernel's hands and survives a killed process; nothing waits for the disk. After a power
cut the file is checked page by page before it is trusted, and begun anew if the cut has torn it: a day of
call-backs is no reason not to start.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import lmdb
from lmdb import verify

from engine.calls.ports import BindingsUnavailable
from engine.numbering.numbers import RealNumber
from engine.stores.ports import Sealing

MAP_BYTES = 4 << 30  # address space, not disk; some 25 million bindings

_TIME_BYTES = 8
_MOST_BUFFERED = 100_000  # entries kept while the disk takes none
_SWEPT_PER_FLUSH = 8  # entries looked at beyond two for each one written
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class LastCallers:
    """For one thread of one process. `failed` says why the last flush did not work, "" when it did; the
    entries of a failed flush are kept and written by the next (`lost` counts those that were too many to
    keep)."""

    def __init__(self, directory: Path, env: lmdb.Environment, sealing: Sealing, window_s: int) -> None:
        self.failed = ""
        self.lost = 0
        self._directory = directory
        self._env = env
        self._sealing = sealing
        self._window_s = window_s
        self._buffer: dict[bytes, tuple[bytes, str]] = {}  # id -> (time, digits)
        self._swept_to = b""

    @staticmethod
    def open(
        data_dir: Path,
        sealing: Sealing,
        window_s: int,
        begun_anew: Callable[[str], None] | None = None,
        map_bytes: int = MAP_BYTES,
    ) -> LastCallers:
        """`window_s`: how long a caller is remembered. `begun_anew` hears why what was there had to go.

        Raises BindingsUnavailable when the disk refuses.
        """
        directory = data_dir / "callers"
        path = directory / "callers.mdb"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            torn = _torn(directory, path)
            if not torn:
                try:
                    return LastCallers(directory, _open(directory, path, map_bytes), sealing, window_s)
                except (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError) as error:
                    torn = str(error)
            path.unlink(missing_ok=True)
            if begun_anew is not None:
                begun_anew(f"{path}: {torn}")
            return LastCallers(directory, _open(directory, path, map_bytes), sealing, window_s)
        except (OSError, lmdb.Error) as error:
            raise BindingsUnavailable(f"{path} cannot be opened: {error}") from None

    def remember(self, binding_id: str, caller: RealNumber, utc: float) -> None:
        """From now on a call-back on this binding reaches `caller`; on disk with the next flush."""
        key = bytes.fromhex(binding_id)
        if len(self._buffer) >= _MOST_BUFFERED and key not in self._buffer:
            del self._buffer[next(iter(self._buffer))]
            self.lost += 1
        self._buffer[key] = (_stamp(utc), caller.digits)

    def get(self, binding_id: str, utc: float) -> RealNumber | None:
        """Who called last on this binding, not longer than the window ago; raises BindingsUnavailable."""
        key = bytes.fromhex(binding_id)
        buffered = self._buffer.get(key)
        if buffered is not None:
            return RealNumber(buffered[1]) if buffered[0] >= self._oldest(utc) else None
        try:
            with self._env.begin() as txn:
                value = txn.get(key)
        except lmdb.Error as error:
            raise BindingsUnavailable(f"last callers cannot be read: {error}") from None
        if value is None or value[:_TIME_BYTES] < self._oldest(utc):
            return None
        try:
            return RealNumber(self._sealing.open(value[_TIME_BYTES:], key + value[:_TIME_BYTES]).decode())
        except ValueError:
            return None  # sealed by a key that is gone: nobody is remembered

    def flush(self, utc: float) -> bool:
        """Write what was remembered, in one transaction, and drop a few entries that nobody can be called
        back by.

        False when it did not work (see `failed`). Nothing to write costs nothing.
        """
        if not self._buffer:
            return True
        try:
            with self._env.begin(write=True) as txn:
                for key, (stamp, digits) in self._buffer.items():
                    txn.put(key, stamp + self._sealing.seal(digits.encode(), key + stamp))
                swept_to = self._sweep(txn, self._oldest(utc), 2 * len(self._buffer) + _SWEPT_PER_FLUSH)
        except lmdb.Error as error:
            self.failed = f"last callers cannot be written: {error}"
            return False
        self._swept_to = swept_to
        self._buffer.clear()
        self.failed = ""
        return True

    def entries(self) -> int:
        """How many are on disk, those beyond the window included."""
        return self._env.stat()["entries"]

    def close(self, utc: float) -> None:
        """Flush, bring everything to the disk, and note that this file needs no check."""
        flushed = self.flush(utc)
        try:
            self._env.sync(True)
        except lmdb.Error:
            flushed = False
        self._env.close()
        if flushed:
            _mark(self._directory).unlink(missing_ok=True)

    def _sweep(self, txn: lmdb.Transaction[bytes], oldest: bytes, steps: int) -> bytes:
        """Look at the next few entries, round and round; where to go on."""
        with txn.cursor() as cursor:
            more = cursor.set_range(self._swept_to) if self._swept_to else cursor.first()
            while more and steps:
                steps -= 1
                if cursor.value()[:_TIME_BYTES] < oldest:
                    more = cursor.delete() and cursor.key() != b""
                else:
                    more = cursor.next()
            return cursor.key() if more else b""

    def _oldest(self, utc: float) -> bytes:
        return _stamp(utc - self._window_s)


def _stamp(utc: float) -> bytes:
    """Milliseconds since the epoch, ordered as bytes."""
    return max(0, int(utc * 1000)).to_bytes(_TIME_BYTES, "big")


def _open(directory: Path, path: Path, map_bytes: int) -> lmdb.Environment:
    mark = _mark(directory)
    with mark.open("w", encoding="ascii") as file:
        file.write(_boot_id())
        file.flush()
        os.fsync(file.fileno())
    return lmdb.open(
        str(path), map_size=map_bytes, subdir=False, sync=False, metasync=False, max_spare_txns=2, mode=0o600
    )


def _torn(directory: Path, path: Path) -> str:
    """Why the file cannot be trusted, "" when it can.

    Without a sync, only the end of the whole machine can put pages on the disk in the wrong order; so a
    file that was open in an earlier boot is checked, without LMDB, which would follow a torn page out of
    the file.
    """
    mark = _mark(directory)
    if not mark.exists() or not path.exists() or mark.read_text("ascii") == _boot_id():
        return ""
    try:
        problems: list[str] = verify.verify(str(path), False)  # type: ignore[no-untyped-call]
    except verify.VerifyError as error:
        problems = [str(error)]
    return problems[0] if problems else ""


def _mark(directory: Path) -> Path:
    """Holds the boot id as long as the file is open."""
    return directory / "open-in-boot"


def _boot_id() -> str:
    return _BOOT_ID.read_text("ascii").strip()
