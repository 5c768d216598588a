"""`python -m engine.app.outlets_process`: the process of all outlets, a thread for each.

A process of its own and of low priority, so that nothing of it reaches calls; a thread for each, so that a disk that
hangs holds up the one that writes to it. It is started by the control process, learns on stdin what to do, says on
stdout once a second where its outlets stand, and ends when stdin does: at once, or after {"stop"} when it has given
out everything. Lines are JSON: `Orders`, then `Wish` each; back come `Report`s.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from engine.app.child import leave_signals_to_control
from engine.observe import logs
from engine.records.following import Place, place_named
from engine.records.outlet_disk import OutletDisk
from engine.records.outlets import CannotDeliver, Outlet, OutletStatus
from engine.records.sealed_record import RecordCodec
from engine.records.settings import OutletSettings, outlets_directory
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing, KeysUnusable
from engine.sealing.signing import SigningKeys
from engine.sealing.tokens import LookupTokens
from engine.settings import Settings
from engine.stores.table_build import be_modest

_REPORT_SECONDS: Final = 1.0
_LAST_SECONDS: Final = 15.0  # for what is left when it is told to stop
_RESET_SECONDS: Final = 10.0
_LOCK_SECONDS: Final = 0.2

_log = logs.get_logger("outlets")


class Orders(msgspec.Struct):
    """The first thing that is told. Paths as text; `journal`: where segments lie."""

    outlets: list[OutletSettings]
    node: str
    data_dir: str
    keys_dir: str
    journal: list[str]
    log_level: str
    log_format: str

    @staticmethod
    def of(settings: Settings) -> Orders:
        data_dir = settings.data_dir
        return Orders(
            settings.outlets, settings.node, str(data_dir), str(settings.sealing.directory(data_dir)),
            [str(path) for path in settings.records.directories(data_dir)], logs.level_name(), settings.log.format,
        )  # fmt: skip

    def outlet(self, settings: OutletSettings) -> Outlet:
        """One of them."""
        data_dir = Path(self.data_dir)
        return Outlet(
            settings, self.node, data_dir, outlets_directory(data_dir), self.directories(),
            KeysOfTheMoment(Path(self.keys_dir)), OutletDisk(),
        )  # fmt: skip

    def directories(self) -> list[Path]:
        return [Path(path) for path in self.journal]


class Wish(msgspec.Struct):
    """`op`: "reset", of the outlet `name` to `to` (`place_named`), or "stop"."""

    op: str
    name: str = ""
    to: str = ""


class Report(msgspec.Struct, omit_defaults=True):
    """Where they stand; `answer`, to a reset: "" when it was done, else why not."""

    outlets: list[OutletStatus]
    answer: str | None = None


class KeysOfTheMoment:
    """Read anew whenever they are asked for, so that rotated ones are found."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def codec(self) -> RecordCodec:
        """Raises CannotDeliver."""
        try:
            ring = KeyRing.open(self._directory, os.environ, create=False)
        except KeysUnusable as error:
            raise CannotDeliver(str(error)) from None
        return RecordCodec(Sealer(ring), LookupTokens(ring.lookup))

    def signing(self) -> SigningKeys:
        """Raises CannotDeliver."""
        try:
            return SigningKeys.open(self._directory, os.environ, create=False)
        except KeysUnusable as error:
            raise CannotDeliver(str(error)) from None


class OutletsLock:
    """Who holds it may move the outlets' places; the kernel lets it go when its holder dies."""

    def __init__(self, directory: Path) -> None:
        """Raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def taken(self) -> bool:
        """Tries to; whether it is ours."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        os.close(self._descriptor)


class Runner:
    """An outlet in a thread of its own."""

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self._wake = threading.Event()
        self._stopping = False
        self._place: Place | None = None  # where it shall go
        self._answer = ""
        self._answered = threading.Event()
        outlet.wanted = self._wake.is_set
        self._thread = threading.Thread(target=self._run, name=outlet.status().name, daemon=True)
        self._thread.start()

    def reset(self, place: Place) -> str:
        """Sends it elsewhere; "" when it is there, else why not."""
        self._answered.clear()
        self._place = place
        self._wake.set()
        if not self._answered.wait(_RESET_SECONDS):
            return "it is busy, and goes there as soon as it can"
        return self._answer

    def stop(self) -> None:
        """Begins to give out what is left."""
        self._stopping = True
        self._wake.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        outlet = self.outlet
        while True:
            self._wake.clear()
            if self._stopping:  # looked at behind the clearing, for it may come at any moment
                break
            place, self._place = self._place, None
            if place is not None:
                try:
                    outlet.reset(place)
                    self._answer = ""
                except OSError as error:
                    self._answer = str(error)
                self._answered.set()
            self._wake.wait(outlet.step())
        outlet.wanted = lambda: False
        outlet.last()


def main() -> int:
    """Until stdin ends."""
    leave_signals_to_control()
    be_modest()
    with open(0, "rb", buffering=0, closefd=False) as stdin:  # no byte more than the line
        first = stdin.readline()
    if not first:
        return 0
    orders = msgspec.json.decode(first, type=Orders)
    logs.configure(orders.log_level, orders.log_format, "outlets")
    try:
        lock = OutletsLock(outlets_directory(Path(orders.data_dir)))
    except OSError as error:
        _log.error("outlets cannot be kept", why=str(error))
        return 1
    while not lock.taken():  # the process before this one gives out what is left
        if select.select([0], [], [], 0)[0]:
            return 0
        time.sleep(_LOCK_SECONDS)
    _serve(orders, [Runner(orders.outlet(one)) for one in orders.outlets])
    return 0


def _serve(orders: Orders, runners: Sequence[Runner]) -> None:
    pending = b""
    while True:
        _report(runners)
        if not select.select([0], [], [], _REPORT_SECONDS)[0]:
            continue
        octets = os.read(0, 65_536)
        if not octets:
            return  # the control process is gone: whoever comes next goes on
        *lines, pending = (pending + octets).split(b"\n")
        for line in lines:
            wish = msgspec.json.decode(line, type=Wish)
            if wish.op == "stop":
                _stop(runners)
                return
            _report(runners, _reset(orders, runners, wish))


def _reset(orders: Orders, runners: Sequence[Runner], wish: Wish) -> str:
    for runner in runners:
        if runner.outlet.status().name == wish.name:
            try:
                return runner.reset(place_named(orders.directories(), wish.to))
            except (ValueError, OSError) as error:
                return str(error)
    return f'there is no outlet "{wish.name}"'


def _stop(runners: Sequence[Runner]) -> None:
    until = time.monotonic() + _LAST_SECONDS
    for runner in runners:
        runner.stop()
    for runner in runners:
        runner.join(max(0.0, until - time.monotonic()))
    _report(runners)


def _report(runners: Sequence[Runner], answer: str | None = None) -> None:
    report = Report([runner.outlet.status() for runner in runners], answer)
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    status = main()
    logs.flush()
    os._exit(status)  # a thread whose disk hangs must not keep it here
