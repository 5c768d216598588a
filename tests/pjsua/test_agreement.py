"""The comparison of phones and records finds every lie of either."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.pjsua.agreement import Agreement, agreement
from tests.pjsua.phones import CallView
from tests.pjsua.random_calls import PhoneSeen, RandomRun
from tests.pjsua.wire import WireMessage

BEGAN = 1_800_000_000.0


def said(after_s: float, sent: bool, call: str, first: str, cseq: str = "1 INVITE") -> WireMessage:
    return WireMessage(BEGAN + after_s, sent, f"{first}\nCall-ID: {call}\nCSeq: {cseq}\n")


def moment(after_s: float) -> str:
    return datetime.fromtimestamp(BEGAN + after_s, UTC).isoformat()


def view(call: str, incoming: bool, *states: str) -> CallView:
    return CallView(
        call, call, incoming="INVITE" if incoming else "", states=[(state, BEGAN) for state in states]
    )


def answered_run() -> RandomRun:
    """One call of ten seconds that the caller hung up."""
    states = "early", "confirmed", "disconnected"
    caller = [
        said(0, True, "a", "INVITE sip:x SIP/2.0"),
        said(1, False, "a", "SIP/2.0 200 OK"),
        said(11, True, "a", "BYE sip:x SIP/2.0", "2 BYE"),
        said(11, False, "a", "SIP/2.0 200 OK", "2 BYE"),
    ]
    callee = [
        said(0, False, "b", "INVITE sip:y SIP/2.0"),
        said(1, True, "b", "SIP/2.0 200 OK"),
        said(11, False, "b", "BYE sip:y SIP/2.0", "2 BYE"),
        said(11, True, "b", "SIP/2.0 200 OK", "2 BYE"),
    ]
    record = {
        "a_call_id": "a",
        "b_call_id": "b",
        "answer_time": moment(1),
        "release_time": moment(11),
        "talk_ms": 10_000,
        "disposition": "answered",
        "reason": "normal",
        "q850_cause": 16,
        "released_by": "caller",
        "sip_status": 200,
    }
    return RandomRun(
        phones=[
            PhoneSeen("1", [view("a", False, *states)], caller),
            PhoneSeen("2", [view("b", True, *states)], callee),
        ],
        records=[record],
        sent_by_engine=[(message.at, message.text) for message in caller + callee if not message.sent],
        left=[],
        leaks=[],
        lost=0,
        read=8,
    )


def refused_run(status: int, reason: str, released_by: str) -> RandomRun:
    """One call that the callee refused, or that the caller gave up."""
    caller = [
        said(0, True, "a", "INVITE sip:x SIP/2.0"),
        said(2, False, "a", f"SIP/2.0 {status} No"),
    ]
    callee = [
        said(0, False, "b", "INVITE sip:y SIP/2.0"),
        said(2, True, "b", f"SIP/2.0 {status} No"),
    ]
    if released_by == "caller":
        caller.insert(1, said(2, True, "a", "CANCEL sip:x SIP/2.0", "1 CANCEL"))
    record = {
        "a_call_id": "a",
        "b_call_id": "b",
        "answer_time": None,
        "release_time": moment(2),
        "talk_ms": None,
        "disposition": "failed",
        "reason": reason,
        "q850_cause": 16,
        "released_by": released_by,
        "sip_status": status,
    }
    return RandomRun(
        phones=[
            PhoneSeen("1", [view("a", False, "early", "disconnected")], caller),
            PhoneSeen("2", [view("b", True, "early", "disconnected")], callee),
        ],
        records=[record],
        sent_by_engine=[],
        left=[],
        leaks=[],
        lost=0,
        read=4,
    )


def of(run: RandomRun) -> Agreement:
    return agreement(run, 1)


def later(run: RandomRun, phone: int, message: int, by_s: float) -> None:
    wire = run.phones[phone].wire
    wire[message] = WireMessage(wire[message].at + by_s, wire[message].sent, wire[message].text)


def test_all_agree() -> None:
    assert of(answered_run()).problems == []
    assert of(refused_run(486, "callee_busy", "callee")).problems == []
    assert of(refused_run(487, "cancelled", "caller")).problems == []
    assert of(answered_run()).reasons == {"normal": 1}


@pytest.mark.parametrize(
    "lie",
    [
        {"released_by": "callee"},
        {"released_by": "platform"},
        {"reason": "no_ack"},
        {"disposition": "interrupted"},
        {"talk_ms": 11_100},
        {"talk_ms": 8_900},
        {"answer_time": None},
        {"b_call_id": "another"},
        {"a_call_id": "another"},
    ],
)
def test_a_wrong_record_of_an_answered_call_is_found(lie: dict[str, Any]) -> None:
    run = answered_run()
    run.records[0].update(lie)
    assert of(run).problems


@pytest.mark.parametrize(
    "lie",
    [{"sip_status": 480}, {"reason": "cancelled"}, {"released_by": "caller"}, {"answer_time": moment(1)}],
)
def test_a_wrong_record_of_a_refused_call_is_found(lie: dict[str, Any]) -> None:
    run = refused_run(486, "callee_busy", "callee")
    run.records[0].update(lie)
    assert of(run).problems


def test_a_cancelled_call_that_nobody_cancelled_is_found() -> None:
    run = refused_run(487, "cancelled", "caller")
    del run.phones[0].wire[1]
    assert of(run).problems


def test_a_phone_that_was_left_in_the_call_is_found() -> None:
    run = answered_run()
    del run.phones[1].wire[2:]
    assert of(run).problems
    run = answered_run()
    run.phones[1].calls[0].states.pop()
    assert of(run).problems


def test_a_phone_that_showed_no_answer_is_found_unless_its_user_had_left() -> None:
    run = answered_run()
    states = run.phones[0].calls[0].states
    states[1:] = [("disconnected", BEGAN + 11)]
    assert of(run).problems
    states[1:] = [("disconnected", BEGAN + 0.5)]
    assert of(run).problems == []


@pytest.mark.parametrize("records", [0, 2])
def test_there_is_one_record_for_each_call(records: int) -> None:
    run = answered_run()
    run.records *= records
    assert of(run).problems


def test_calls_that_nobody_made_or_the_engine_still_has_are_found() -> None:
    run = answered_run()
    run.left = [{"call": "1"}]
    assert len(of(run).problems) == 1
    assert len(agreement(answered_run(), 2).problems) == 1
    run = answered_run()
    run.leaks = ["a number"]
    assert len(of(run).problems) == 1


def test_lost_copies_explain_a_longer_call_and_nothing_else_does() -> None:
    run = answered_run()
    later(run, 1, 2, 1.5)  # the engine's BYE reached the callee late
    assert of(run).problems
    text = run.phones[1].wire[2].text
    run.sent_by_engine += [(BEGAN + 11.5, text), (BEGAN + 12.5, text)]  # for it was lost twice
    agreed = of(run)
    assert (agreed.problems, agreed.late) == ([], 1)
    later(run, 1, 2, 1.2)
    run.sent_by_engine.append((BEGAN + 14.5, text))  # a copy after the one that arrived explains nothing
    assert of(run).problems


def test_copies_of_the_phone_s_own_count_until_the_engine_heard_one() -> None:
    run = answered_run()
    run.records[0].update(talk_ms=11_500, release_time=moment(12.5))
    later(run, 1, 2, 1.5)
    assert of(run).problems
    bye = run.phones[0].wire[2].text
    run.phones[0].wire[3:3] = [WireMessage(BEGAN + at, True, bye) for at in (11.5, 12.5)]
    assert of(run).problems == []
