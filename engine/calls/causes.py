"""SIP status codes, Q.850 causes and what they say about the callee (RFC 3398, RFC 3261 section 21, ITU-T
Q.850)."""

from engine.authorization.reason import Reason

NORMAL_CLEARING = 16

# RFC 3398 section 8.2.6.1. It leaves 487 (we use it for a caller who gave up) and 488 and 606 (by Warning,
# which never crosses) open: those two get the cause that section 7.2.4.1 maps to 488. 433, 607 and 608 are
# younger: rejections.
CAUSE_OF_STATUS: dict[int, int] = {
    400: 41, 401: 21, 402: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22, 413: 127,
    414: 127, 415: 79, 416: 127, 420: 127, 421: 127, 423: 127, 433: 21, 480: 18, 481: 41, 482: 25, 483: 25,
    484: 28, 485: 1, 486: 17, 487: 16, 488: 65, 500: 41, 501: 79, 502: 38, 503: 41, 504: 102, 505: 127,
    513: 127, 600: 17, 603: 21, 604: 1, 606: 65, 607: 21, 608: 21,
}  # fmt: skip

# RFC 3398 section 7.2.4.1.
STATUS_OF_CAUSE: dict[int, int] = {
    1: 404, 2: 404, 3: 404, 17: 486, 18: 408, 19: 480, 20: 480, 21: 403, 22: 410, 23: 410, 26: 404, 27: 502,
    28: 484, 29: 501, 31: 480, 34: 503, 38: 503, 41: 503, 42: 503, 47: 503, 55: 403, 57: 403, 58: 503,
    65: 488, 70: 488, 79: 501, 87: 403, 88: 503, 102: 504, 111: 500, 127: 500,
}  # fmt: skip

# By the class of a status that the table does not name: redirection ends as "subscriber absent".
_CAUSE_OF_CLASS: dict[int, int] = {2: 16, 3: 20, 4: 127, 5: 41, 6: 31}

# What a cause says about the callee. Those that are not here (16, 31, 41, 127 …) say nothing that a status
# does not.
_REASON_OF_CAUSE: dict[int, Reason] = {
    1: Reason.CALLEE_UNKNOWN,
    17: Reason.CALLEE_BUSY,
    18: Reason.CALLEE_UNREACHABLE,
    19: Reason.NO_ANSWER,
    20: Reason.CALLEE_UNREACHABLE,
    21: Reason.CALLEE_REJECTED,
    22: Reason.CALLEE_UNKNOWN,
    27: Reason.CALLEE_UNREACHABLE,
    28: Reason.CALLEE_UNKNOWN,
    55: Reason.CALLEE_REJECTED,
    87: Reason.CALLEE_REJECTED,
}

_REASON_OF_STATUS: dict[int, Reason] = {
    402: Reason.CALLEE_REJECTED,
    403: Reason.CALLEE_REJECTED,
    404: Reason.CALLEE_UNKNOWN,
    406: Reason.CALLEE_REJECTED,
    410: Reason.CALLEE_UNKNOWN,
    415: Reason.CALLEE_REJECTED,
    433: Reason.CALLEE_REJECTED,
    484: Reason.CALLEE_UNKNOWN,
    485: Reason.CALLEE_UNKNOWN,
    486: Reason.CALLEE_BUSY,
    488: Reason.CALLEE_REJECTED,
    600: Reason.CALLEE_BUSY,
    603: Reason.CALLEE_REJECTED,
    604: Reason.CALLEE_UNKNOWN,
    606: Reason.CALLEE_REJECTED,
    607: Reason.CALLEE_REJECTED,
    608: Reason.CALLEE_REJECTED,
}


def reason_of_failure(status: int, q850: int) -> Reason:
    """Why the callee's side did not take the call: its final status, and the Q.850 cause of its Reason header
    (0: none).

    The cause is what the telephone network itself said, the status a gateway's approximation of it (RFC
    3398), so a cause that speaks of the callee goes first.
    """
    said = _REASON_OF_CAUSE.get(q850)
    if said is not None:
        return said
    return _REASON_OF_STATUS.get(status, Reason.CALLEE_UNREACHABLE)


def cause_of_status(status: int) -> int:
    """The Q.850 cause for a SIP status."""
    cause = CAUSE_OF_STATUS.get(status)
    return cause if cause is not None else _CAUSE_OF_CLASS.get(status // 100, 127)


def status_of_cause(q850: int) -> int:
    """The SIP status for a Q.850 cause; a cause that RFC 3398 does not name gets its class's (Q.850 section
    2.2.5)."""
    status = STATUS_OF_CAUSE.get(q850)
    if status is not None:
        return status
    if q850 < 32:
        return 480
    if q850 < 64:
        return 503
    return 501 if q850 < 80 else 500
