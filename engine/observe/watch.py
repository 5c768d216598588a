"""The tap of the driver and the watcher of the calls in one: which call a message belongs to, and who wants it.

It stands in the driver and on the board only while somebody wants to see messages; without it a message costs one
test for None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from engine.observe.capture import Capture, FarEnd
from engine.observe.trace import CallRecord, Trace

_CALL_ID = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_FIRST_LINE = re.compile(rb"[^\r\n]*\bSIP/2\.0\b")


class Faults(Protocol):
    def report(self, where: str, error: Exception) -> None: ...


Far = TypeVar("Far", bound=FarEnd)


class Watch:
    """`clock` gives microseconds since the epoch. What goes wrong here is told to `faults` and stays here."""

    def __init__(
        self, capture: Capture | None, trace: Trace, clock: Callable[[], int], faults: Faults
    ) -> None:
        self._capture = capture
        self._trace = trace
        self._clock = clock
        self._faults = faults

    # --- of the driver ---

    def received(self, messages: list[tuple[bytes, Far]]) -> None:
        self._see([(far, data) for data, far in messages], True)

    def sent(self, messages: list[tuple[Far, bytes]]) -> None:
        self._see(messages, False)

    # --- of the board ---

    def begun(self, record: CallRecord) -> None:
        try:
            if self._capture is not None:
                self._capture.begun(record, record.a_call_id or "")
            self._trace.begun(record)
        except Exception as error:
            self._faults.report("watch", error)

    def dialled(self, record: CallRecord, call_id: str) -> None:
        try:
            if self._capture is not None:
                self._capture.dialled(record, record.a_call_id or "", call_id)
            self._trace.dialled(record, call_id)
        except Exception as error:
            self._faults.report("watch", error)

    # --- within ---

    def _see(self, messages: Iterable[tuple[FarEnd, bytes]], incoming: bool) -> None:
        try:
            at = self._clock()
            capture, trace = self._capture, self._trace
            for far, data in messages:
                if _FIRST_LINE.match(data) is None:
                    continue  # a keep-alive, or rubbish
                call_id = call_id_of(data)
                if capture is not None:
                    capture.offer(at, incoming, far, data, call_id)
                trace.see(at, incoming, far, data, call_id)
            if capture is not None:
                capture.flush()
        except Exception as error:
            self._faults.report("watch", error)


def call_id_of(data: bytes) -> str:
    """As the parser reads it; "" when there is none."""
    found = _CALL_ID.search(data)
    return "" if found is None else found[1].decode("utf-8", "surrogateescape").strip()
