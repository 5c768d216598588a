"""Calls that an engine before this one left behind when it died: nobody may be left talking, and paying, into them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from engine.authorization.reason import ANSWER, Reason
from engine.calls.header_lines import reason_line
from engine.calls.ports import CallTally, Records
from engine.calls.record import CallRecord, EntryKind
from engine.sip.dialog import Dialog
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow
from engine.sip.timers import Timed
from engine.sip.transactions.transaction import UNHEARD

# Further than any CSeq that the dead engine can have reached by refreshing the session (RFC 3261 12.2.1.1: it only
# has to grow).
_CSEQ_AHEAD: Final = 1000
_STEP_S: Final = 0.02


@dataclass(slots=True)
class AbandonedLeg:
    """What a BYE needs to know of a dialog (`engine.sip.dialog.Dialog`); `host` to `trunk` are its flow's."""

    call_id: str
    local: str
    remote: str
    remote_target: str
    routes: list[str]
    local_cseq: int
    transport: str
    host: str
    port: int
    socket: int
    trunk: str


@dataclass(slots=True)
class AbandonedCall:
    """`record` is closed: it is what is known of the call's end."""

    record: CallRecord
    legs: list[AbandonedLeg]


class AbandonedCalls(Timed):
    """Sends each leg a BYE with the cause of `Reason.ENGINE_RESTART`, `per_second` at most, so that a restart is no
    flood, and then writes the call's END. Whoever was gone already answers 481; no answer changes anything.

    The END comes after the BYEs, for who dies between them: the next engine finds the call without an END and says BYE
    once more, which does no harm; the other way round nobody would ever say it.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        records: Records,
        tally: CallTally,
        calls: Iterable[AbandonedCall],
        per_second: int,
        now: float,
    ) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._records = records
        self._tally = tally
        self._calls = deque(calls)
        self._told: list[AbandonedCall] = []  # in the wake-up before, so that their BYEs have left
        self._headers = reason_line(ANSWER[Reason.ENGINE_RESTART].cause)
        self._per_second = per_second
        self._begun = now
        self._sent = 0
        self._wait(now)

    @property
    def left(self) -> int:
        """How many have no END yet."""
        return len(self._calls) + len(self._told)

    def hurry(self, now: float) -> None:
        """Tells those that are left at once: there is no later. `wake` is to follow when the BYEs have left."""
        while self._calls:
            self._tell(self._calls.popleft(), now)

    def wake(self, now: float) -> None:
        told, self._told = self._told, []
        for call in told:
            record = call.record
            self._records.write(EntryKind.END, record)
            self._tally.call_ended(record.model or "none", record.disposition or "", record.reason or "")
        due = int((now - self._begun) * self._per_second)
        while self._calls and self._sent < due:
            self._tell(self._calls.popleft(), now)
        self._wait(now)

    def _wait(self, now: float) -> None:
        if self._calls or self._told:
            self._endpoint.wheel.schedule(self, now + _STEP_S)

    def _tell(self, call: AbandonedCall, now: float) -> None:
        for leg in call.legs:
            self._part(leg, now)
        self._sent += len(call.legs)
        self._told.append(call)

    def _part(self, leg: AbandonedLeg, now: float) -> None:
        # Connections did not outlive the engine, and have no number any more.
        local = leg.socket if leg.transport == "udp" else 0
        flow = Flow(leg.transport, leg.host, leg.port, local, leg.trunk)
        dialog = Dialog(
            call_id=leg.call_id,
            local=leg.local,
            remote=leg.remote,
            local_tag="",
            remote_tag="",
            remote_target=leg.remote_target,
            routes=leg.routes,
            local_cseq=leg.local_cseq + _CSEQ_AHEAD,
            remote_cseq=-1,
            flow=flow,
            target_flow=flow,
        )
        self._endpoint.send_request(dialog.request("BYE", self._headers), flow, UNHEARD, now)
