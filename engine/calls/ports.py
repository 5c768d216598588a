"""What the calls ask of the world. The driver hands in what carries it out; nothing here waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.calls.record import CallRecord, EntryKind
from engine.numbering.binding import Found
from engine.numbering.numbers import MaskedNumber, RealNumber
from engine.sip.dialog import Dialog
from engine.sip.endpoint import Tally


class BindingsUnavailable(Exception):
    """The binding table cannot be asked: the call is refused as `store_unavailable`, never let through."""


class LookUpLater:
    """An answer that is on its way. The store calls `then` exactly once, with None when it cannot say."""

    __slots__ = ("then",)

    def __init__(self) -> None:
        self.then: Callable[[Found | None, float], None]  # (found, now), set by who asked


class Bindings(Protocol):
    def look_up(self, number: MaskedNumber, caller: RealNumber) -> Found | LookUpLater:
        """Who stands behind `number` for `caller`, at once or later. Raises BindingsUnavailable."""
        ...


class LastCallers(Protocol):
    def remember(self, binding_id: str, caller: RealNumber, utc: float) -> None:
        """Makes `caller` the one whom a call-back on this binding reaches; `utc` in unix seconds."""
        ...


class Records(Protocol):
    @property
    def accepting(self) -> bool:
        """False while entries cannot be kept: then no new call may begin."""
        ...

    def write(self, kind: EntryKind, record: CallRecord, legs: tuple[Dialog, Dialog] | None = None) -> None:
        """Keeps an entry as the record stands now. It reaches the kernel before anything that is put into
        the outbox in the same wake-up leaves. `legs`, of a START: the caller's and the callee's dialog."""
        ...


class Clock(Protocol):
    def utc_ms(self) -> int:
        """Wall clock, milliseconds since the epoch, UTC."""
        ...


class Faults(Protocol):
    def report(self, where: str, error: Exception) -> None:
        """A fault of ours, with its traceback at hand; numbers are masked by the logger."""
        ...


class CallTally(Tally, Protocol):
    def call_ended(self, model: str, disposition: str, reason: str) -> None: ...
    def observe_pdd(self, seconds: float) -> None: ...
    def observe_setup(self, seconds: float) -> None: ...
    def observe_failure(self, seconds: float) -> None: ...
    def observe_talk(self, seconds: float) -> None: ...
    def overload(self, cause: str) -> None: ...


class Watcher(Protocol):
    """Hears of calls as they begin, to know whose a message is. It neither raises nor waits.

    The record goes on being filled; its release time is set when the call has ended.
    """

    def begun(self, record: CallRecord) -> None:
        """An attempt; the caller's leg is `record.a_call_id`."""
        ...

    def dialled(self, record: CallRecord, call_id: str) -> None:
        """Its callee's leg at one next hop; the INVITE has not left yet."""
        ...
