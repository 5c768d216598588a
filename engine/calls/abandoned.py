"""Calls that an engine before this one left behind when it died: nobody may be left talking, and paying, into them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from engine.calls.header_lines import reason_line
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


class AbandonedLegs(Timed):
    """Sends each of them a BYE with `cause` (Q.850), `per_second` at most, so that a restart is no flood. Whoever was
    gone already answers 481; no answer changes anything."""

    def __init__(
        self, endpoint: Endpoint, legs: Iterable[AbandonedLeg], cause: int, per_second: int, now: float
    ) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._legs = deque(legs)
        self._headers = reason_line(cause)
        self._per_second = per_second
        self._begun = now
        self.parted = 0  # BYEs that have been sent
        if self._legs:
            endpoint.wheel.schedule(self, now + _STEP_S)

    @property
    def left(self) -> int:
        """How many have to be told yet."""
        return len(self._legs)

    def finish(self, now: float) -> None:
        """Tells those that are left at once: there is no later."""
        while self._legs:
            self._part(self._legs.popleft(), now)

    def wake(self, now: float) -> None:
        due = int((now - self._begun) * self._per_second)
        while self._legs and self.parted < due:
            self._part(self._legs.popleft(), now)
        if self._legs:
            self._endpoint.wheel.schedule(self, now + _STEP_S)

    def _part(self, leg: AbandonedLeg, now: float) -> None:
        # Connections did not outlive the engine, and have no number any more.
        local = leg.socket if leg.transport == "udp" else 0
        self.parted += 1
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
