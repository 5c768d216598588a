"""What is written about a call: the call detail record and the two kinds of journal entry.

The record is filled while the call lives and written twice: when the call is about to be answered (START,
so that an engine that dies leaves proof of it) and when everything is known (END), with one `record_id`.
"""

from dataclasses import dataclass
from enum import IntEnum

RECORD_SCHEMA = 1


class EntryKind(IntEnum):
    """START: the call is being answered, the rest is to come. END: the record, one for each attempt."""

    START = 0
    END = 1


@dataclass(slots=True)
class CallRecord:
    """One attempt; the contract's fields by name and order, None where one does not apply.

    Times are milliseconds since the epoch, UTC, `ring_ms` and `talk_ms` milliseconds. `caller` and
    `callee` are E.164 with `+`; `dialled` and `shown` are digits. Words (`type`, `model`, `direction`,
    `disposition`, `reason`, `released_by`) are spelt as the contract spells them.
    """

    schema: int = RECORD_SCHEMA
    record_id: str = ""
    type: str = "call"
    node: str = ""
    tenant: str | None = None
    binding_id: str | None = None
    order_id: str | None = None
    model: str | None = None
    direction: str | None = None
    caller: str | None = None
    dialled: str | None = None
    shown: str | None = None
    callee: str | None = None
    setup_time: int | None = None
    ringing_time: int | None = None
    answer_time: int | None = None
    release_time: int | None = None
    ring_ms: int | None = None
    talk_ms: int | None = None
    disposition: str | None = None
    reason: str | None = None
    released_by: str | None = None
    sip_status: int | None = None
    q850_cause: int | None = None
    a_call_id: str | None = None
    b_call_id: str | None = None
    in_trunk: str | None = None
    out_trunk: str | None = None
    source: str | None = None
    verification: str | None = None
    message_parts: int | None = None
    delivered_time: int | None = None
    content: str | None = None
    attempts: int = 1

    def close(self, release_time: int) -> None:
        """Sets the release time and the spans: ringing until answered or given up, talk since the answer."""
        self.release_time = release_time
        if self.ringing_time is not None:
            rang_until = release_time if self.answer_time is None else self.answer_time
            self.ring_ms = max(0, rang_until - self.ringing_time)
        if self.answer_time is not None:
            self.talk_ms = max(0, release_time - self.answer_time)
