"""The call record: the contract's fields in the contract's order, and its spans."""

from dataclasses import fields

import pytest

from engine.calls.record import CallRecord

CONTRACT = """
schema record_id type node tenant binding_id order_id model direction caller dialled shown callee setup_time
ringing_time answer_time release_time ring_ms talk_ms disposition reason released_by sip_status q850_cause a_call_id
b_call_id in_trunk out_trunk source verification message_parts delivered_time content attempts
"""


def test_the_fields_are_the_contracts() -> None:
    assert [field.name for field in fields(CallRecord)] == CONTRACT.split()


@pytest.mark.parametrize(
    ("ringing", "answer", "release", "ring_ms", "talk_ms"),
    [
        (None, None, 5000, None, None),
        (1000, None, 5000, 4000, None),
        (1000, 3000, 5000, 2000, 2000),
        (None, 3000, 5000, None, 2000),
        (1000, 3000, 2000, 2000, 0),  # a wall clock that was set back makes no negative spans
        (3000, 1000, 1500, 0, 500),
    ],
)
def test_spans(
    ringing: int | None, answer: int | None, release: int, ring_ms: int | None, talk_ms: int | None
) -> None:
    record = CallRecord(setup_time=500, ringing_time=ringing, answer_time=answer)
    record.close(release)
    assert (record.release_time, record.ring_ms, record.talk_ms) == (release, ring_ms, talk_ms)
