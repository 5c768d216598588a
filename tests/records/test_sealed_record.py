"""A record as an entry: everything comes back, nothing can be read or changed on the way."""

import re
import timeit
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calls.record import CallRecord, EntryKind
from engine.calls.rfc3339 import format_time
from engine.records.sealed_record import FIELDS, BrokenLine, RecordCodec
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens
from tests.records.old_lines import old_line
from tests.records.samples import ANSWERED, CODEC, record

TIMES = ("setup_time", "ringing_time", "answer_time", "release_time", "delivered_time")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
records = st.builds(
    CallRecord,
    **{
        name: (
            st.none() | st.integers(0, 4_000_000_000_000)
            if name in TIMES
            else st.integers(0, 2**40)
            if name in ("schema", "attempts")
            else st.none() | st.integers(0, 2**40)
            if name in ("ring_ms", "talk_ms", "sip_status", "q850_cause", "message_parts")
            else TEXT
            if name in ("record_id", "type", "node")
            else st.none() | TEXT
        )
        for name in FIELDS
    },
)


def as_read(record: CallRecord) -> dict[str, object]:
    """What a reader of the record must see."""
    fields = asdict(record)
    for name in TIMES:
        if fields[name] is not None:
            fields[name] = format_time(fields[name])
    return fields


@given(records, st.sampled_from(EntryKind))
def test_every_field_comes_back_in_order(drawn: CallRecord, kind: EntryKind) -> None:
    parsed = CODEC.parse(CODEC.encode(kind, drawn))
    assert parsed.kind == kind
    opened = CODEC.open(parsed)
    assert opened == as_read(drawn)
    assert tuple(opened) == FIELDS


@given(records, st.sampled_from(EntryKind))
def test_a_line_of_version_1_is_still_read(drawn: CallRecord, kind: EntryKind) -> None:
    parsed = CODEC.parse(old_line(drawn, kind))
    assert parsed.kind == kind
    assert CODEC.open(parsed) == as_read(drawn)


def test_an_entry_says_in_clear_what_it_is() -> None:
    clear = CODEC.parse(CODEC.encode(EntryKind.END, ANSWERED)).clear
    assert (clear.v, clear.entry, clear.reason, clear.shown) == (2, "record", "normal", "700123456789012")
    assert CODEC.parse(CODEC.encode(EntryKind.START, ANSWERED)).clear.entry == "start"
    assert len(clear.tokens) == 3
    hidden = {"caller", "callee", "dialled", "a_call_id", "b_call_id", "content", "order_id"}
    assert not hidden & set(clear.__struct_fields__)


@given(records, st.data())
def test_any_changed_byte_is_noticed(drawn: CallRecord, data: st.DataObject) -> None:
    line = bytearray(CODEC.encode(EntryKind.END, drawn))
    place = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[place]))
    line[place] = byte
    with pytest.raises(BrokenLine):
        CODEC.open(CODEC.parse(bytes(line)))


def test_a_change_that_means_the_same_is_noticed_too() -> None:
    lines = [old_line(record(1, content="1" * length)) for length in (1, 2, 3)]
    line = next(line for line in lines if line.endswith(b'="}\n'))
    place = len(line.rstrip(b'="}\n')) - 1  # the last character of base64 has bits to spare
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    changed = alphabet[alphabet.index(line[place]) ^ 1]
    with pytest.raises(BrokenLine, match="last character"):
        CODEC.parse(line[:place] + bytes((changed,)) + line[place + 1 :])


@given(records, st.data())
def test_a_torn_entry_is_broken(drawn: CallRecord, data: st.DataObject) -> None:
    entry = CODEC.encode(EntryKind.END, drawn)
    with pytest.raises(BrokenLine):
        CODEC.open(CODEC.parse(entry[: data.draw(st.integers(0, len(entry) - 1))]))
    line = old_line(drawn)
    with pytest.raises(BrokenLine):
        CODEC.parse(line[: data.draw(st.integers(0, len(line) - 1))])


@given(st.binary(max_size=100))
def test_any_bytes_are_broken_and_never_an_error(noise: bytes) -> None:
    for line in (noise, b'{"v":1,"sealed":"' + noise + b'"}\n', noise + b',"sealed":"AAAA"}\n'):
        with pytest.raises(BrokenLine):
            CODEC.open(CODEC.parse(line))


def test_secrets_of_one_record_do_not_open_in_another() -> None:
    one = CODEC.encode(EntryKind.END, record(1))
    other = CODEC.encode(EntryKind.END, record(2))
    mixed = one[: len(one) - len(CODEC.parse(one).sealed)] + CODEC.parse(other).sealed
    with pytest.raises(BrokenLine, match="does not open"):
        CODEC.open(CODEC.parse(mixed))


def test_another_version_is_refused() -> None:
    entry = CODEC.encode(EntryKind.END, ANSWERED)
    with pytest.raises(BrokenLine, match="version 3"):
        CODEC.parse(b"\x03" + entry[1:])
    with pytest.raises(BrokenLine, match="'other!'"):
        CODEC.parse(entry.replace(b"record", b"other!", 1))
    line = old_line(ANSWERED)
    with pytest.raises(BrokenLine, match="version 2"):
        CODEC.parse(line.replace(b'"v":1', b'"v":2', 1))
    with pytest.raises(BrokenLine, match="'other'"):
        CODEC.parse(line.replace(b'"entry":"record"', b'"entry":"other"', 1))


def test_other_keys_open_nothing() -> None:
    other = RecordCodec(Sealer(KeyRing({1: b"x" * 32}, 1, b"")), LookupTokens(b"x" * 32))
    parsed = other.parse(CODEC.encode(EntryKind.END, ANSWERED))
    with pytest.raises(BrokenLine, match="does not open"):
        other.open(parsed)


def test_a_peers_text_that_is_no_unicode_is_recorded_all_the_same() -> None:
    odd = record(1, a_call_id="call\udcff@host", tenant="t\ud800")
    opened = CODEC.open(CODEC.parse(CODEC.encode(EntryKind.END, odd)))
    assert (opened["a_call_id"], opened["tenant"]) == ("call?@host", "t?")
    assert opened["caller"] == odd.caller
    assert opened["setup_time"] == "2026-01-31T08:00:01.250Z"


def test_tokens_are_those_that_a_search_makes() -> None:
    tokens = CODEC.parse(CODEC.encode(EntryKind.END, ANSWERED)).clear.tokens
    assert tokens == (
        CODEC.caller_token("8613800000001"),
        CODEC.caller_token("8613900000002"),
        CODEC.dialled_token("700123456789012"),
    )
    nobody = CallRecord(record_id="1")
    assert CODEC.parse(CODEC.encode(EntryKind.END, nobody)).clear.tokens == (None, None, None)


def test_no_secret_is_seen_in_a_line() -> None:
    line = CODEC.encode(
        EntryKind.END,
        record(1, order_id="for 13700000003", dialled="13700000004", content="call 13700000005"),
    )
    assert not re.search(rb"13[789]0000000[0-9]|order|99887|2344|fjsdk", line)


def test_a_record_is_sealed_in_microseconds() -> None:
    rounds = 2000
    taken = (
        min(timeit.repeat(lambda: CODEC.encode(EntryKind.END, ANSWERED), number=rounds, repeat=5)) / rounds
    )
    assert taken < 60e-6  # 6 µs on a quiet machine
