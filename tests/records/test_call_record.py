"""The record has the contract's fields, and its spans follow from its times."""

import pytest

from engine.calls.record import RECORD_SCHEMA, CallRecord
from engine.records.sealed_record import FIELDS

CONTRACT = (
    "schema record_id type node tenant binding_id order_id model direction caller dialled shown callee setup_time "
    "ringing_time answer_time release_time ring_ms talk_ms disposition reason released_by sip_status q850_cause "
    "a_call_id b_call_id in_trunk out_trunk source verification message_parts delivered_time content attempts"
)


def test_fields_are_those_of_the_contract_in_its_order() -> None:
    assert " ".join(FIELDS) == CONTRACT


def test_a_record_begins_as_one_attempt_of_a_call() -> None:
    record = CallRecord()
    assert (record.schema, record.type, record.attempts) == (RECORD_SCHEMA, "call", 1)


@pytest.mark.parametrize(
    ("ringing", "answered", "ring_ms", "talk_ms"),
    [
        (None, None, None, None),
        (1000, None, 9000, None),
        (1000, 4000, 3000, 6000),
        (None, 4000, None, 6000),
        (11_000, 12_000, 1000, 0),  # the wall clock was set back in the middle
    ],
)
def test_closing_fills_the_spans_in(
    ringing: int | None, answered: int | None, ring_ms: int | None, talk_ms: int | None
) -> None:
    record = CallRecord(ringing_time=ringing, answer_time=answered)
    record.close(10_000)
    assert (record.release_time, record.ring_ms, record.talk_ms) == (10_000, ring_ms, talk_ms)
