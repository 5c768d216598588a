"""Journals as version 0.1.0 wrote them."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable
from pathlib import Path

import msgspec

from engine.calls.record import CallRecord, EntryKind
from engine.records.sealed_record import FIELDS
from engine.sealing.cipher import Sealer
from engine.sealing.tokens import LookupTokens
from tests.records.samples import RING

FIRST = "journal-20260131-080000.000.ndjson"
SECOND = "journal-20260131-090000.000.ndjson"

_SECRET = ("caller", "callee", "dialled", "order_id", "a_call_id", "b_call_id", "content")


def old_line(record: CallRecord, kind: EntryKind = EntryKind.END) -> bytes:
    tokens = LookupTokens(RING.lookup)
    clear: dict[str, object] = {"v": 1, "entry": "start" if kind == EntryKind.START else "record"}
    clear |= {name: getattr(record, name) for name in ("schema", "record_id", "type", "node")}
    clear["tokens"] = (
        record.caller and tokens.real(record.caller.removeprefix("+")),
        record.callee and tokens.real(record.callee.removeprefix("+")),
        record.dialled and tokens.number(record.dialled),
    )
    for name in FIELDS:
        value = getattr(record, name)
        if name not in clear and name not in _SECRET and value is not None:
            clear[name] = value
    context = msgspec.json.encode(clear)
    secret = msgspec.msgpack.encode([getattr(record, name) for name in _SECRET])
    sealed = b2a_base64(Sealer(RING).seal(secret, context), newline=False)
    return context[:-1] + b',"sealed":"' + sealed + b'"}\n'


def write_old(path: Path, entries: Iterable[CallRecord | bytes]) -> None:
    with path.open("ab") as file:
        for entry in entries:
            file.write(entry if isinstance(entry, bytes) else old_line(entry))
