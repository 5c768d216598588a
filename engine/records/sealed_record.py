"""A call record as one entry of the journal, and back.

An entry is: version (1 byte, 2), length of the clear part (4, big-endian), the clear part, the sealed part. The clear
part is a MessagePack array (`ClearPart`): the fields that tell nobody's number in clear, and tokens of caller, callee
and dialled, for the search. The sealed part (`engine.sealing.cipher`) is everything else, in a START entry also what a
restarted engine needs to hang up both legs. The clear part is its context, so an entry of which any byte was changed
does not open.

Version 1 was a line of JSON with `v`, `entry`, the clear fields and, last, `sealed` in base64; it is still read.
"""

from __future__ import annotations

import struct
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from dataclasses import fields, replace

import msgspec

from engine.calls.abandoned import AbandonedLeg
from engine.calls.record import CallRecord, EntryKind
from engine.calls.rfc3339 import format_time
from engine.records.ports import Sealing, Tokens
from engine.sip.dialog import Dialog

ENTRY_VERSION = 2
LINE_VERSION = 1
FIELDS = tuple(field.name for field in fields(CallRecord))  # the contract's, in its order

_ENTRY_WORDS = {EntryKind.START: "start", EntryKind.END: "record"}
_TIMES = frozenset(("setup_time", "ringing_time", "answer_time", "release_time", "delivered_time"))
_SEALED_MARK = b',"sealed":"'
_LINE_END = b'"}\n'


class BrokenLine(ValueError):
    """An entry that cannot be read: torn, damaged, of another version, or sealed by a key that is not here."""


class ClearPart(msgspec.Struct, array_like=True, gc=False):
    """What of a record lies on disk as it is; names as in the contract. Fields are only ever added at the end."""

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


class _Leg(msgspec.Struct, array_like=True, gc=False):
    """Of `AbandonedLeg`, what stands nowhere else in the record."""

    local: str
    remote: str
    remote_target: str
    routes: list[str]
    local_cseq: int
    transport: str
    host: str
    port: int
    socket: int
    trunk: str


class _SecretPart(msgspec.Struct, array_like=True, gc=False):
    """Numbers, and texts in which somebody may have written one. Fields are only ever added at the end."""

    caller: str | None
    callee: str | None
    dialled: str | None
    order_id: str | None
    a_call_id: str | None
    b_call_id: str | None
    content: str | None
    legs: tuple[_Leg, _Leg] | None = None


class _Named(ClearPart, array_like=False, gc=False):
    """The clear part of a line of version 1."""


_encode_clear = msgspec.msgpack.Encoder().encode
_decode_clear = msgspec.msgpack.Decoder(ClearPart).decode
_decode_line = msgspec.json.Decoder(_Named).decode
_encode_secret = msgspec.msgpack.Encoder().encode
_decode_secret = msgspec.msgpack.Decoder(_SecretPart).decode
_HEAD = struct.Struct(">BI")


class Line(msgspec.Struct, gc=False):
    """An entry that has been read but not opened."""

    clear: ClearPart
    context: bytes
    sealed: bytes

    @property
    def kind(self) -> EntryKind:
        """Which of the two entries it is."""
        return EntryKind.START if self.clear.entry == "start" else EntryKind.END


class RecordCodec:
    """Turns records into entries and entries into records, with the keys that it is given."""

    __slots__ = ("_number", "_open", "_real", "_seal", "_tokens")

    def __init__(self, sealing: Sealing, tokens: Tokens) -> None:
        self._seal = sealing.seal
        self._open = sealing.open
        self._real = tokens.real
        self._number = tokens.number
        # Of calls that began and have not ended, by record id: what they cost is spent once a call.
        self._tokens: dict[str, tuple[bytes | None, bytes | None, bytes | None]] = {}

    def encode(self, kind: EntryKind, record: CallRecord, legs: tuple[Dialog, Dialog] | None = None) -> bytes:
        """The entry's data. `legs`: the caller's and the callee's dialog as they are at the answer."""
        sealed_legs = None if legs is None else (_leg(legs[0]), _leg(legs[1]))
        try:
            return self._entry(kind, record, sealed_legs)
        except UnicodeEncodeError:  # what a peer calls an id need not be UTF-8
            if sealed_legs is not None:
                sealed_legs = (_encodable_leg(sealed_legs[0]), _encodable_leg(sealed_legs[1]))
            return self._entry(kind, _encodable(record), sealed_legs)

    def parse(self, data: bytes) -> Line:
        """An entry, or a complete line of version 1, without its secrets; raises BrokenLine."""
        if data.startswith(b"{"):
            return _parse_line(data)
        try:
            version, length = _HEAD.unpack_from(data)
            context = data[_HEAD.size : _HEAD.size + length]
            clear = _decode_clear(context)
        except (struct.error, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BrokenLine(f"the entry is damaged: {error}") from None
        if version != ENTRY_VERSION or clear.v != ENTRY_VERSION or clear.entry not in ("start", "record"):
            raise BrokenLine(f"an entry of version {version}, {clear.entry!r}, is not known here")
        return Line(clear, context, data[_HEAD.size + length :])

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

    def order_id(self, line: Line) -> str | None:
        """Of the sealed part this only: a third of the price of `open`. Raises BrokenLine."""
        try:
            order_id: str | None = _decode_secret(self._open(line.sealed, line.context)).order_id
        except ValueError as error:
            raise BrokenLine(f"the record does not open: {error}") from None
        return order_id

    def reopen(self, line: Line) -> tuple[CallRecord, list[AbandonedLeg]]:
        """The record of a call that has not ended, to be ended now, and its legs, the caller's first; none where the
        entry has none. Raises BrokenLine."""
        try:
            secret = _decode_secret(self._open(line.sealed, line.context))
        except ValueError as error:
            raise BrokenLine(f"the record does not open: {error}") from None
        record = CallRecord(
            **{name: getattr(line.clear if name in _CLEAR else secret, name) for name in FIELDS}
        )
        legs = (
            [] if secret.legs is None else zip(secret.legs, (record.a_call_id, record.b_call_id), strict=True)
        )
        return record, [
            AbandonedLeg(
                call_id or "", leg.local, leg.remote, leg.remote_target, leg.routes, leg.local_cseq, leg.transport,
                leg.host, leg.port, leg.socket, leg.trunk,
            )
            for leg, call_id in legs
        ]  # fmt: skip

    def caller_token(self, digits: str) -> bytes:
        """What stands in `tokens` for a caller or callee (`RealNumber.digits`)."""
        return self._real(digits)

    def dialled_token(self, digits: str) -> bytes:
        """What stands in `tokens` for what was dialled (`Dialled.digits`)."""
        return self._number(digits)

    def _entry(self, kind: EntryKind, record: CallRecord, legs: tuple[_Leg, _Leg] | None) -> bytes:
        caller = record.caller
        callee = record.callee
        dialled = record.dialled
        tokens = self._tokens.pop(record.record_id, None)
        if tokens is None:
            tokens = (
                None if caller is None else self._real(caller.removeprefix("+")),
                None if callee is None else self._real(callee.removeprefix("+")),
                None if dialled is None else self._number(dialled),
            )
        if legs is not None:
            self._tokens[record.record_id] = tokens
        clear = _encode_clear(
            ClearPart(
                ENTRY_VERSION,
                _ENTRY_WORDS[kind],
                record.schema,
                record.record_id,
                record.type,
                record.node,
                tokens,
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
                legs,
            )
        )
        return _HEAD.pack(ENTRY_VERSION, len(clear)) + clear + self._seal(secret, clear)


_CLEAR = frozenset(ClearPart.__struct_fields__)


def _parse_line(line: bytes) -> Line:
    """A line of version 1."""
    mark = line.rfind(_SEALED_MARK)
    if mark < 0 or not line.endswith(_LINE_END):
        raise BrokenLine("the line is torn")
    context = line[:mark] + b"}"
    try:
        clear = _decode_line(context)
        text = line[mark + len(_SEALED_MARK) : -len(_LINE_END)]
        sealed = a2b_base64(text, strict_mode=True)
    except (msgspec.DecodeError, Base64Error, UnicodeDecodeError) as error:
        raise BrokenLine(f"the line is damaged: {error}") from None
    if b2a_base64(sealed, newline=False) != text:
        raise BrokenLine("the line is damaged: its last character was changed")
    if clear.v != LINE_VERSION or clear.entry not in ("start", "record"):
        raise BrokenLine(f"a line of version {clear.v}, entry {clear.entry!r}, is not known here")
    return Line(clear, context, sealed)


def _leg(dialog: Dialog) -> _Leg:
    flow = dialog.target_flow
    return _Leg(
        dialog.local,
        dialog.remote,
        dialog.remote_target,
        dialog.routes,
        dialog.local_cseq,
        flow.transport,
        flow.host,
        flow.port,
        flow.local,
        flow.trunk,
    )


def _encodable_leg(leg: _Leg) -> _Leg:
    return msgspec.structs.replace(
        leg,
        local=_repaired(leg.local),
        remote=_repaired(leg.remote),
        remote_target=_repaired(leg.remote_target),
        routes=[_repaired(route) for route in leg.routes],
    )


def _encodable(record: CallRecord) -> CallRecord:
    """The record with `?` for whatever has no UTF-8."""
    repaired = {name: _repaired(value) for name in FIELDS if isinstance(value := getattr(record, name), str)}
    return replace(record, **repaired)  # type: ignore[arg-type]


def _repaired(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
