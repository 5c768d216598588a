"""RFC 3398's maps, and what a failure of the callee's side is called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.authorization.reason import ANSWER, Reason, word
from engine.calls.causes import cause_of_status, reason_of_failure, status_of_cause
from engine.sip.phrases import phrase

FINAL_FAILURES = st.integers(300, 699)


@pytest.mark.parametrize(
    ("status", "q850", "expected"),
    [
        (486, 0, "callee_busy"),
        (600, 0, "callee_busy"),
        (480, 17, "callee_busy"),
        (503, 17, "callee_busy"),
        (486, 17, "callee_busy"),
        (486, 16, "callee_busy"),
        (603, 0, "callee_rejected"),
        (603, 31, "callee_rejected"),
        (403, 0, "callee_rejected"),
        (488, 0, "callee_rejected"),
        (606, 0, "callee_rejected"),
        (607, 0, "callee_rejected"),
        (480, 21, "callee_rejected"),
        (404, 0, "callee_unknown"),
        (410, 0, "callee_unknown"),
        (484, 0, "callee_unknown"),
        (604, 0, "callee_unknown"),
        (480, 1, "callee_unknown"),
        (480, 28, "callee_unknown"),
        (480, 0, "callee_unreachable"),
        (480, 18, "callee_unreachable"),
        (480, 20, "callee_unreachable"),
        (408, 0, "callee_unreachable"),
        (302, 0, "callee_unreachable"),
        (487, 0, "callee_unreachable"),
        (500, 41, "callee_unreachable"),
        (502, 0, "callee_unreachable"),
        (504, 102, "callee_unreachable"),
        (699, 0, "callee_unreachable"),
        (480, 19, "no_answer"),
    ],
)
def test_reason_of_failure(status: int, q850: int, expected: str) -> None:
    assert word(reason_of_failure(status, q850)) == expected


@given(FINAL_FAILURES, st.integers(-1, 1000))
def test_every_failure_has_a_reason_about_the_callee(status: int, q850: int) -> None:
    assert reason_of_failure(status, q850) in (
        *(Reason.CALLEE_BUSY, Reason.CALLEE_REJECTED, Reason.CALLEE_UNKNOWN, Reason.CALLEE_UNREACHABLE),
        Reason.NO_ANSWER,
    )


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        *[(400, 41), (401, 21), (402, 21), (403, 21), (404, 1), (405, 63), (406, 79), (407, 21), (408, 102)],
        *[
            (410, 22),
            (413, 127),
            (414, 127),
            (415, 79),
            (416, 127),
            (420, 127),
            (421, 127),
            (423, 127),
            (480, 18),
        ],
        *[(481, 41), (482, 25), (483, 25), (484, 28), (485, 1), (486, 17), (500, 41), (501, 79), (502, 38)],
        *[(503, 41), (504, 102), (505, 127), (513, 127), (600, 17), (603, 21), (604, 1)],
        *[(302, 20), (487, 16), (488, 65), (606, 65), (499, 127), (599, 41), (699, 31), (200, 16), (0, 127)],
    ],
)
def test_cause_of_status(status: int, cause: int) -> None:
    assert cause_of_status(status) == cause


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        *[
            (1, 404),
            (2, 404),
            (3, 404),
            (17, 486),
            (18, 408),
            (19, 480),
            (20, 480),
            (21, 403),
            (22, 410),
            (23, 410),
        ],
        *[(26, 404), (27, 502), (28, 484), (29, 501), (31, 480), (34, 503), (38, 503), (41, 503), (42, 503)],
        *[(47, 503), (55, 403), (57, 403), (58, 503), (65, 488), (70, 488), (79, 501), (87, 403), (88, 503)],
        *[(102, 504), (111, 500), (127, 500)],
        *[
            (5, 480),
            (16, 480),
            (44, 503),
            (63, 503),
            (66, 501),
            (95, 500),
            (100, 500),
            (1000, 500),
        ],  # by class
    ],
)
def test_status_of_cause(cause: int, status: int) -> None:
    assert status_of_cause(cause) == status


@given(FINAL_FAILURES)
def test_maps_stay_inside_their_ranges(status: int) -> None:
    assert 1 <= cause_of_status(status) <= 127
    assert 400 <= status_of_cause(cause_of_status(status)) <= 699


def test_a_phrase_tells_nothing_but_its_status() -> None:
    """No reason shares its status with another one under a different phrase."""
    assert {phrase(answer.status) for answer in ANSWER.values()} == {
        *(
            "OK",
            "Bad Request",
            "Not Found",
            "Address Incomplete",
            "Forbidden",
            "Temporarily Unavailable",
            "Service Unavailable",
        ),
        *(
            "Busy Here",
            "Decline",
            "Request Timeout",
            "Server Internal Error",
            "Request Terminated",
            "Too Many Hops",
        ),
    }
