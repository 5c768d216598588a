"""Why an attempt ended: the record's word, and what goes with it on the wire."""

from dataclasses import dataclass
from enum import IntEnum


class Reason(IntEnum):
    """Every outcome of a call. `word(reason)` is what records, metrics and operators read."""

    NORMAL = 1
    # refused by authorization
    UNKNOWN_SOURCE = 10
    UNVERIFIED = 11
    NOT_BOUND = 12
    INCOMPLETE_NUMBER = 13
    EXPIRED = 14
    NOT_A_PARTY = 15
    DIRECTION = 16
    NO_CALLBACK = 17
    BLACKLISTED = 18
    FROZEN = 19
    HOURS = 20
    FREQUENCY = 21
    LIMIT = 22
    VERIFICATION_FAILED = 23
    MALFORMED = 24  # with whatever status fits; 400 stands for all of them
    # refused because of the engine's own state
    OVERLOAD = 30
    DRAINING = 31
    STORE_UNAVAILABLE = 32
    LOOP = 33
    INTERNAL_ERROR = 34
    # set up, but never answered
    CALLEE_BUSY = 40
    CALLEE_REJECTED = 41
    CALLEE_UNREACHABLE = 42
    CALLEE_UNKNOWN = 43
    NO_ANSWER = 44
    NO_RESPONSE = 45
    TRUNK_DOWN = 46
    CANCELLED = 47
    # answered, and ended otherwise than by a party's BYE
    MAX_DURATION = 60
    SESSION_EXPIRED = 61
    NO_ACK = 62
    ENDED_BY_PLATFORM = 63
    BINDING_ENDED = 64
    ENGINE_RESTART = 65


@dataclass(slots=True, frozen=True)
class Answer:
    """`status`: SIP status to the caller (200 where the call had been answered). `cause`: Q.850.
    `disposition`: the record's "answered", "busy", "no_answer", "cancelled", "refused", "failed",
    "interrupted" or "delivered"."""

    status: int
    cause: int
    disposition: str


# What the callee's side answered, and the cause that a BYE carried, go before these.
ANSWER: dict[Reason, Answer] = {
    Reason.NORMAL: Answer(200, 16, "answered"),
    Reason.UNKNOWN_SOURCE: Answer(403, 21, "refused"),
    Reason.UNVERIFIED: Answer(403, 21, "refused"),
    Reason.NOT_BOUND: Answer(404, 1, "refused"),
    Reason.INCOMPLETE_NUMBER: Answer(484, 28, "refused"),
    Reason.EXPIRED: Answer(404, 1, "refused"),
    Reason.NOT_A_PARTY: Answer(404, 1, "refused"),
    Reason.DIRECTION: Answer(403, 21, "refused"),
    Reason.NO_CALLBACK: Answer(404, 1, "refused"),
    Reason.BLACKLISTED: Answer(403, 21, "refused"),
    Reason.FROZEN: Answer(403, 21, "refused"),
    Reason.HOURS: Answer(403, 21, "refused"),
    Reason.FREQUENCY: Answer(403, 21, "refused"),
    Reason.LIMIT: Answer(480, 42, "refused"),
    Reason.VERIFICATION_FAILED: Answer(503, 41, "refused"),
    Reason.MALFORMED: Answer(400, 0, "refused"),
    Reason.OVERLOAD: Answer(503, 42, "refused"),
    Reason.DRAINING: Answer(503, 42, "refused"),
    Reason.STORE_UNAVAILABLE: Answer(503, 41, "refused"),
    Reason.LOOP: Answer(483, 25, "refused"),
    Reason.INTERNAL_ERROR: Answer(500, 41, "failed"),
    Reason.CALLEE_BUSY: Answer(486, 17, "busy"),
    Reason.CALLEE_REJECTED: Answer(603, 21, "failed"),
    Reason.CALLEE_UNREACHABLE: Answer(480, 20, "failed"),
    Reason.CALLEE_UNKNOWN: Answer(404, 1, "failed"),
    Reason.NO_ANSWER: Answer(480, 19, "no_answer"),
    Reason.NO_RESPONSE: Answer(408, 102, "failed"),
    Reason.TRUNK_DOWN: Answer(500, 38, "failed"),
    Reason.CANCELLED: Answer(487, 16, "cancelled"),
    Reason.MAX_DURATION: Answer(200, 102, "answered"),
    Reason.SESSION_EXPIRED: Answer(200, 102, "answered"),
    Reason.NO_ACK: Answer(200, 102, "answered"),
    Reason.ENDED_BY_PLATFORM: Answer(200, 16, "answered"),
    Reason.BINDING_ENDED: Answer(200, 16, "answered"),
    Reason.ENGINE_RESTART: Answer(200, 41, "interrupted"),
}

# The incoming trunk's own limit says "another trunk may do better"; ANSWER[LIMIT] is the tenant's and the
# outgoing trunk's.
INCOMING_LIMIT = Answer(503, 42, "refused")

# Refusals that carry Retry-After.
RETRY_LATER = frozenset(
    {
        Reason.LIMIT,
        Reason.OVERLOAD,
        Reason.DRAINING,
        Reason.STORE_UNAVAILABLE,
        Reason.VERIFICATION_FAILED,
    }
)

_WORDS: dict[Reason, str] = {reason: reason.name.lower() for reason in Reason}


def word(reason: Reason) -> str:
    """The record's and the metrics' word: `not_bound`."""
    return _WORDS[reason]
