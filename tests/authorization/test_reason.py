"""The outcomes of contract.md, row by row."""

import pytest

from engine.authorization.reason import ANSWER, INCOMING_LIMIT, RETRY_LATER, Reason, word

# the contract's table: status, Q.850 cause, words
ROWS = [
    (200, 16, "normal"),
    (400, 0, "malformed"),
    (404, 1, "not_bound expired not_a_party no_callback callee_unknown"),
    (484, 28, "incomplete_number"),
    (403, 21, "direction blacklisted frozen hours unverified frequency unknown_source"),
    (480, 42, "limit"),
    (503, 42, "overload draining"),
    (503, 41, "store_unavailable verification_failed"),
    (486, 17, "callee_busy"),
    (603, 21, "callee_rejected"),
    (480, 20, "callee_unreachable"),
    (480, 19, "no_answer"),
    (408, 102, "no_response"),
    (500, 38, "trunk_down"),
    (487, 16, "cancelled"),
    (200, 102, "max_duration session_expired no_ack"),
    (200, 16, "ended_by_platform binding_ended"),
    (483, 25, "loop"),
    (500, 41, "internal_error"),
    (200, 41, "engine_restart"),
]
WORDS = {name: (status, cause) for status, cause, names in ROWS for name in names.split()}


@pytest.mark.parametrize("reason", Reason)
def test_answers(reason: Reason) -> None:
    assert (ANSWER[reason].status, ANSWER[reason].cause) == WORDS[word(reason)]
    assert word(reason) == reason.name.lower()


def test_every_word_of_the_contract_is_there() -> None:
    assert {word(reason) for reason in Reason} == set(WORDS)
    assert len(ANSWER) == len(WORDS)


def test_dispositions() -> None:
    by_disposition: dict[str, set[str]] = {}
    for reason, answer in ANSWER.items():
        by_disposition.setdefault(answer.disposition, set()).add(word(reason))
    assert by_disposition.pop("refused") == {
        *(
            "unknown_source",
            "unverified",
            "not_bound",
            "incomplete_number",
            "expired",
            "not_a_party",
            "direction",
        ),
        *(
            "no_callback",
            "blacklisted",
            "frozen",
            "hours",
            "frequency",
            "limit",
            "verification_failed",
            "malformed",
            "overload",
        ),
        *("draining", "store_unavailable", "loop"),
    }
    assert by_disposition == {
        "answered": {
            *("normal", "max_duration", "session_expired", "no_ack", "ended_by_platform", "binding_ended"),
        },
        "busy": {"callee_busy"},
        "no_answer": {"no_answer"},
        "cancelled": {"cancelled"},
        "interrupted": {"engine_restart"},
        "failed": {
            *(
                "callee_rejected",
                "callee_unreachable",
                "callee_unknown",
                "no_response",
                "trunk_down",
                "internal_error",
            ),
        },
    }


def test_retry_after_goes_with_what_passes() -> None:
    assert {reason for reason, answer in ANSWER.items() if answer.status == 503} < RETRY_LATER
    assert RETRY_LATER - {reason for reason in Reason if ANSWER[reason].status == 503} == {Reason.LIMIT}
    assert (INCOMING_LIMIT.status, INCOMING_LIMIT.cause) == (503, 42)
