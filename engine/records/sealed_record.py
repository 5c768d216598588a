"""A call record as one line of the journal, and back.

A line is a JSON object: `v`, `entry` ("start" or "record"), the fields that tell nobody's number in clear
(those that are null left out), `tokens` (of caller, callee and dialled, for the search) and, last,
`sealed`: everything else. What stands before `sealed` is its context, so a line of which any byte was
changed does not open.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from dataclasses import fields, replace

import msgspec

from engine.calls.record import CallRecord, EntryKind
from engine.calls.rfc3339 import format_time
from engine.records.ports import Sealing, Tokens

LINE_VERSION = 1
FIELDS = tuple(field.name for field in fields(CallRecord))  # the contract's, in its order

_ENTRY_WORDS = {EntryKind.START: "start", EntryKind.END: "record"}
_TIMES = frozenset(("setup_time", "ringing_time", "answer_time", "release_time", "delivered_time"))
_SEALED_MARK = b',"sealed":"'
_LINE_END = b'"}\n'


class BrokenLine(ValueError):
    """A line that cannot be read: torn, damaged, of another version, or sealed by a key that is not here."""


class ClearPart(msgspec.Struct, omit_defaults=True, gc=False):
    """What of a record lies on disk as it is; names as in the contract."""

    v: int
    entry: str
    schema: int
    record_id: str
    type: str
    node: str
    tokens: tuple[bytes | None, bytes | None, bytes | None]  # caller, callee, dialled
    tenant: str | None = None
    binding_id: str | None = None
    model: str | None = None
    direction: str | None = None
    shown: str | None = None
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
    in_trunk: str | None = None
    out_trunk: str | None = None
    source: str | None = None
    verification: str | None = None
    message_parts: int | None = None
    delivered_time: int | None = None
    attempts: int = 1


class _SecretPart(msgspec.Struct, array_like=True, gc=False):
    """Numbers, and texts in which somebody may have written one. Fields are only ever added at the end."""

    caller: str | None
    callee: str | None
    dialled: str | None
    order_id: str | None
    a_call_id: str | None
    b_call_id: str | None
    content: str | None


_encode_clear = msgspec.json.Encoder().encode
_decode_clear = msgspec.json.Decoder(ClearPart).decode
_encode_secret = msgspec.msgpack.Encoder().encode
_decode_secret = msgspec.msgpack.Decoder(_SecretPart).decode


class Line(msgspec.Struct, gc=False):
    """A line that has been read but not opened."""

    clear: ClearPart
    context: bytes
    sealed: bytes

    @property
    def kind(self) -> EntryKind:
        """Which of the two entries it is."""
        return EntryKind.START if self.clear.entry == "start" else EntryKind.END


class RecordCodec:
    """Turns records into lines and lines into records, with the keys that it is given."""

    __slots__ = ("_number", "_open", "_real", "_seal")

    def __init__(self, sealing: Sealing, tokens: Tokens) -> None:
        self._seal = sealing.seal
        self._open = sealing.open
        self._real = tokens.real
        self._number = tokens.number

    def encode(self, kind: EntryKind, record: CallRecord) -> bytes:
        """The line, its line feed included."""
        try:
            return self._line(kind, record)
        except UnicodeEncodeError:
            return self._line(kind, _encodable(record))  # what a peer calls an id need not be UTF-8

    def parse(self, line: bytes) -> Line:
        """A complete line without its secrets; raises BrokenLine."""
        mark = line.rfind(_SEALED_MARK)
        if mark < 0 or not line.endswith(_LINE_END):
            raise BrokenLine("the line is torn")
        context = line[:mark] + b"}"
        try:
            clear = _decode_clear(context)
            text = line[mark + len(_SEALED_MARK) : -len(_LINE_END)]
            sealed = a2b_base64(text, strict_mode=True)
        except (msgspec.DecodeError, Base64Error, UnicodeDecodeError) as error:
            raise BrokenLine(f"the line is damaged: {error}") from None
        if b2a_base64(sealed, newline=False) != text:
            raise BrokenLine("the line is damaged: its last character was changed")
        if clear.v != LINE_VERSION or clear.entry not in ("start", "record"):
            raise BrokenLine(f"a line of version {clear.v}, entry {clear.entry!r}, is not known here")
        return Line(clear, context, sealed)

    def open(self, line: Line) -> dict[str, object]:
        """The record, every field of the contract in its order; times in RFC 3339. Raises BrokenLine."""
        try:
            secret = _decode_secret(self._open(line.sealed, line.context))
            opened: dict[str, object] = {}
            for name in FIELDS:
                value = getattr(line.clear, name) if name in _CLEAR else getattr(secret, name)
                opened[name] = format_time(value) if name in _TIMES and value is not None else value
        except (ValueError, OverflowError) as error:
            raise BrokenLine(f"the record does not open: {error}") from None
        return opened

    def caller_token(self, digits: str) -> bytes:
        """What stands in `tokens` for a caller or callee (`RealNumber.digits`)."""
        return self._real(digits)

    def dialled_token(self, digits: str) -> bytes:
        """What stands in `tokens` for what was dialled (`Dialled.digits`)."""
        return self._number(digits)

    def _line(self, kind: EntryKind, record: CallRecord) -> bytes:
        caller = record.caller
        callee = record.callee
        dialled = record.dialled
        clear = _encode_clear(
            ClearPart(
                LINE_VERSION,
                _ENTRY_WORDS[kind],
                record.schema,
                record.record_id,
                record.type,
                record.node,
                (
                    None if caller is None else self._real(caller.removeprefix("+")),
                    None if callee is None else self._real(callee.removeprefix("+")),
                    None if dialled is None else self._number(dialled),
                ),
                record.tenant,
                record.binding_id,
                record.model,
                record.direction,
                record.shown,
                record.setup_time,
                record.ringing_time,
                record.answer_time,
                record.release_time,
                record.ring_ms,
                record.talk_ms,
                record.disposition,
                record.reason,
                record.released_by,
                record.sip_status,
                record.q850_cause,
                record.in_trunk,
                record.out_trunk,
                record.source,
                record.verification,
                record.message_parts,
                record.delivered_time,
                record.attempts,
            )
        )
        secret = _encode_secret(
            _SecretPart(
                caller,
                callee,
                dialled,
                record.order_id,
                record.a_call_id,
                record.b_call_id,
                record.content,
            )
        )
        sealed = b2a_base64(self._seal(secret, clear), newline=False)
        return b"".join((clear[:-1], _SEALED_MARK, sealed, _LINE_END))


_CLEAR = frozenset(ClearPart.__struct_fields__)


def _encodable(record: CallRecord) -> CallRecord:
    """The record with `?` for whatever has no UTF-8."""
    repaired = {
        name: value.encode("utf-8", "replace").decode("utf-8")
        for name in FIELDS
        if isinstance(value := getattr(record, name), str)
    }
    return replace(record, **repaired)  # type: ignore[arg-type]
