"""What legs tell their call, in words that belong to neither leg's protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from engine.calls.hiding import Crossing


class Event(IntEnum):
    ADMITTED = 0  # the decision: there is somebody to ring
    REFUSED = 1  # the decision: no
    PROGRESS = 2  # the callee's side rings or sends early media
    ANSWER = 3  # the callee's side took the call
    FAILURE = 4  # the callee's side did not take it
    HOP_LOST = 5  # this next hop can't, another may
    LAST_HOP_LOST = 6  # this next hop can't, and there is no other
    NO_RESPONSE = 7  # the callee's side never answered at all
    GIVEN_UP = 8  # the caller does not want any more: CANCEL, or BYE before the answer
    RING_TIMEOUT = 9
    REMIND = 10  # it has been ringing for another minute
    CONFIRMED = 11  # the caller's ACK came
    RELEASED = 12  # either side hung up: BYE
    UNACKNOWLEDGED = 13  # a reliable provisional response got no PRACK (RFC 3262 3)
    PLATFORM_ENDED = 14  # the engine ends it: no ACK, longest talk time, an operator, a leg that is gone


@dataclass(slots=True)
class CallEvent:
    """`by_caller` tells the side where a side matters; `status` is the SIP status that a failure or progress
    had there; `early` tells the callee's early dialogs apart; `reason` is the record's, for PLATFORM_ENDED; `rseq` is
    that of a reliable provisional response, 0 for an unreliable one."""

    kind: Event
    crossing: Crossing = field(default_factory=Crossing)
    status: int = 0
    by_caller: bool = False
    early: str = ""
    reason: int = 0
    rseq: int = 0
