"""The judge finds what does not fit, on either side and in the records."""

from dataclasses import replace

import msgspec
import pytest

from engine.lab.flow import Flow, load_flow
from engine.lab.judge import Verdict, is_of_flow, judge
from engine.lab.sipp import SippResult
from engine.records.query import Record
from tests.flows.stage import SCENARIOS

X = "700100000010001"
# the contract's, by hand
FIELDS = """
schema record_id type node tenant binding_id order_id model direction caller dialled shown callee
setup_time ringing_time answer_time release_time ring_ms talk_ms disposition reason released_by sip_status q850_cause
a_call_id b_call_id in_trunk out_trunk source verification message_parts delivered_time content attempts
""".split()  # noqa: SIM905 — four lines, not thirty-four


@pytest.fixture
def flow() -> Flow:
    return replace(load_flow(SCENARIOS / "axb_a_calls"), calls=2)


def side(calls: int = 2, log: list[str] | None = None) -> SippResult:
    return SippResult(status=0, created=calls, passed=calls, log=log or [])


def callee() -> SippResult:
    return side(log=[f"saw shown={X} callee=1380000010{number}" for number in (1, 2)])


def record(number: int, **changes: object) -> Record:
    """The record of the flow's call, as it should be."""
    good: Record = dict.fromkeys(FIELDS)
    good |= {
        "type": "call",
        "attempts": 1,
        "model": "AXB",
        "direction": "a_to_b",
        "caller": f"+861380000000{number}",
        "dialled": X,
        "shown": X,
        "callee": f"+861380000010{number}",
        "setup_time": "2026-01-01T00:00:00.000Z",
        "ringing_time": "2026-01-01T00:00:00.100Z",
        "answer_time": "2026-01-01T00:00:01.000Z",
        "release_time": "2026-01-01T00:00:02.000Z",
        "talk_ms": 1000,
        "disposition": "answered",
        "reason": "normal",
        "released_by": "caller",
        "sip_status": 200,
        "q850_cause": 16,
        "a_call_id": f"leak-caller-axb_a_calls-{number}-77@127.0.0.11",
        "b_call_id": f"b{number}",
    }
    return good | changes


def verdict_on(flow: Flow, *records: Record) -> Verdict:
    return judge(flow, side(), {"callee": callee()}, [], records)


def test_what_is_right_passes(flow: Flow) -> None:
    verdict = verdict_on(flow, record(1), record(2))
    assert verdict.problems == []
    assert (verdict.passed, dict(verdict.saw), dict(verdict.reasons)) == (2, {X: 2}, {"normal": 2})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"callee": "+8613800000102"}, "callee is '+8613800000102', not '+8613800000101'"),
        ({"shown": None}, "shown is None"),
        ({"attempts": 2}, "attempts is 2"),
        ({"setup_time": "2026-01-01 00:00:00"}, "setup_time is '2026-01-01 00:00:00', no RFC 3339"),
        ({"answer_time": "2026-01-01T00:00:03.000Z"}, "times are out of order"),
        ({"answer_time": None}, "answer_time is None in a call that is answered"),
        ({"release_time": None}, "release_time is null"),
        ({"b_call_id": "leak-caller-axb_a_calls-1-77@127.0.0.11"}, "a Call-ID of its own"),
        ({"extra": 1}, "field extra is unknown"),
    ],
)
def test_a_wrong_record_is_named_with_its_field(flow: Flow, changes: Record, problem: str) -> None:
    verdict = verdict_on(flow, record(1, **changes), record(2))
    assert verdict.passed == 1
    assert any(problem in found for found in verdict.problems)


def test_a_missing_field_is_named(flow: Flow) -> None:
    short = record(1)
    del short["verification"]
    assert "record of call 1: field verification is missing" in verdict_on(flow, short, record(2)).problems


def test_one_record_for_each_call(flow: Flow) -> None:
    assert verdict_on(flow, record(1)).problems == ["record of call 2: there are 0, not one"]
    twice = verdict_on(flow, record(1), record(1), record(2))
    assert twice.problems == ["record of call 1: there are 2, not one"]
    assert verdict_on(flow, record(1), record(2), record(3)).problems == [
        "records of calls that were never made: [3]"
    ]


def test_a_side_that_failed_fails_the_flow(flow: Flow) -> None:
    failed = SippResult(status=1, created=2, passed=1, failed=1, errors=["Aborting call", "Aborting call"])
    verdict = judge(flow, failed, {"callee": callee()}, [], [record(1), record(2)])
    assert verdict.passed == 1
    assert verdict.problems == [
        "caller: SIPp's exit status is 1, 1 calls failed",
        "caller: Aborting call (2 times)",
    ]


def test_remarks_of_a_side_that_passed_are_none(flow: Flow) -> None:
    caller = replace(side(), errors=["Dead call, received 'SIP/2.0 200 OK"])
    assert judge(flow, caller, {"callee": callee()}, [], [record(1), record(2)]).problems == []


def test_a_side_that_had_to_be_ended_fails_the_flow(flow: Flow) -> None:
    hung = SippResult(status=None, created=2, passed=1)
    verdict = judge(flow, side(), {"callee": hung}, [], [record(1), record(2)])
    assert "callee: SIPp had to be ended after 1 of 2 calls" in verdict.problems


def test_the_wrong_phone_or_the_wrong_number_is_seen(flow: Flow) -> None:
    wrong = side(log=[f"saw shown={X} callee=13800000101", f"saw shown={X} callee=13800000109"])
    verdict = judge(flow, side(), {"callee": wrong}, [], [record(1), record(2)])
    assert f"callee: 13800000109 rang 1 times too often, showing {X}" in verdict.problems
    assert f"callee: 13800000102 should have rung 1 times more, showing {X}" in verdict.problems


def test_nothing_may_reach_the_callee_of_a_refused_call() -> None:
    flow = replace(load_flow(SCENARIOS / "one_way"), calls=1)
    verdict = judge(flow, side(1), {}, [b"INVITE sip:1 SIP/2.0\r\nVia: x"], [])
    assert verdict.passed == 0
    assert "1 messages reached the callee's side, first: INVITE sip:1 SIP/2.0" in verdict.problems


def test_an_empty_column_is_null() -> None:
    flow = replace(load_flow(SCENARIOS / "one_way"), calls=1)
    refused = record(
        1,
        a_call_id="leak-caller-one_way-1-77@127.0.0.11",
        caller="+8613800000152",
        dialled="700100000010052",
        callee=None,
        b_call_id=None,
        answer_time=None,
        talk_ms=None,
        disposition="refused",
        reason="direction",
        sip_status=403,
        q850_cause=21,
    )
    assert judge(flow, side(1), {}, [], [refused]).problems == []
    called = refused | {"callee": "+8613800000052", "b_call_id": "b"}
    assert judge(flow, side(1), {}, [], [called]).problems == [
        "record of call 1: callee is '+8613800000052', not None"
    ]


def test_a_flood_of_problems_is_cut_short(flow: Flow) -> None:
    many = replace(flow, calls=40)
    problems = judge(many, side(40), {}, [], []).problems
    assert len(problems) == 13
    assert problems[-1] == "and 28 more like these"


def test_a_call_that_reaches_nobody_is_not_missed_at_the_callee(flow: Flow) -> None:
    rows = (flow.table.rows[0], (*flow.table.rows[1][:2], "", ""))
    half = replace(flow, table=replace(flow.table, rows=rows))
    rang = replace(side(1), log=[f"saw shown={X} callee=13800000101"])
    refused = record(2, callee=None, shown=None, b_call_id=None)
    verdict = judge(half, side(), {"callee": rang}, [], [record(1), refused])
    assert (verdict.problems, verdict.passed) == ([], 2)


def test_every_place_of_the_callees_side_is_looked_at(flow: Flow) -> None:
    callees = {"callee": callee(), "uas_5092": replace(callee(), status=1, passed=1, failed=1)}
    verdict = judge(flow, side(), callees, [], [record(1), record(2)])
    assert verdict.problems == ["uas_5092: SIPp's exit status is 1, 1 calls failed"]
    assert verdict.passed == 1


def test_what_leaves_no_record_must_leave_none(flow: Flow) -> None:
    silent = replace(flow, file=msgspec.structs.replace(flow.file, recorded=False))
    assert judge(silent, side(), {"callee": callee()}, [], []).problems == []
    verdict = judge(silent, side(), {"callee": callee()}, [], [record(1)])
    assert verdict.problems == ["there are 1 records of calls that leave none"]


def test_only_records_of_the_flow_are_its_own(flow: Flow) -> None:
    assert is_of_flow(record(1), flow)
    assert not is_of_flow(record(1, a_call_id="leak-caller-axb_a_calls-too-1-77@127.0.0.11"), flow)


def test_what_is_summed_up_is_counted_by_reason(flow: Flow) -> None:
    summed = replace(flow, file=msgspec.structs.replace(flow.file, summed={"malformed": 3}))
    sums = [record(0, a_call_id=None, reason="malformed", attempts=number) for number in (1, 2)]
    verdict = judge(summed, side(), {"callee": callee()}, [], [record(1), *sums, record(2)])
    assert (verdict.problems, verdict.passed) == ([], 2)
    assert dict(verdict.reasons) == {"normal": 2, "malformed": 3}
    assert verdict_on(summed, record(1), record(2), sums[0]).problems == [
        "summed up are {'malformed': 1}, not {'malformed': 3}"
    ]
    assert verdict_on(flow, record(1), record(2), sums[0]).passed == 0
