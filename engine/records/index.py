"""The index of a closed segment, `segment-N.index`: which of its records a query may want, and where they are.

For each END entry, in order: its place (frame offset, number in the frame), setup time, tenant and reason. For caller,
callee, dialled, shown and order id each: 8 bytes of the look-up token, sorted, with the row that it belongs to. An
index tells who holds no look-up key no more than the segment beside it, and it only ever names candidates: whoever
reads a record looks at the record itself. Without an index, or with one that is damaged or not of these bytes, the
segment is read from end to end.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from engine.records.frames import CHAIN_BYTES, Frame, Kind
from engine.records.index_file import IndexFile, IndexUnusable, index_bytes
from engine.records.reading import nothing_behind
from engine.records.sealed_record import BrokenLine, Line, RecordCodec

NUMBERS: Final = ("caller", "callee", "dialled", "shown", "order")  # columns that are looked up
_KEY_BYTES: Final = 8
_NEVER: Final = -(1 << 63)  # the setup time of a record that has none


class Place(NamedTuple):
    """Where an entry is in its segment: offset of the frame, number in the frame."""

    offset: int
    entry: int


@dataclass(slots=True)
class Search:
    """What rows are looked for; all of it must fit. `tokens` by column of NUMBERS; times as in `query.Wanted`."""

    tokens: dict[str, bytes] = field(default_factory=dict)
    tenant: str | None = None
    reason: str | None = None
    since: int | None = None
    until: int | None = None


class _About(msgspec.Struct):
    """`size`: bytes of the segment up to the end of its last frame, whose chain value is `chain`."""

    segment: int
    size: int
    chain: str
    orders: bool  # whether the order ids are all in it; not where a record could not be opened
    tenants: list[str | None]
    reasons: list[str | None]


class IndexBuilder:
    """Takes the frames of one segment in order, then gives the index of it."""

    def __init__(self, segment: int, codec: RecordCodec) -> None:
        self._segment = segment
        self._codec = codec
        self._offsets, self._entries = array("Q"), array("I")
        self._setups = array("q")
        self._tenants, self._reasons = _Words(), _Words()
        self._keys: dict[str, list[tuple[int, int]]] = {name: [] for name in NUMBERS}
        self._orders = True

    def add(self, frame: Frame) -> None:
        """Raises BrokenLine for an entry that cannot be read: there can be no index then."""
        for index, (kind, data) in enumerate(frame.entries):
            if kind == Kind.END:
                self._add(self._codec.parse(data), frame.offset, index)

    def _add(self, line: Line, offset: int, entry: int) -> None:
        row = len(self._offsets)
        clear = line.clear
        self._offsets.append(offset)
        self._entries.append(entry)
        self._setups.append(_NEVER if clear.setup_time is None else clear.setup_time)
        self._tenants.add(clear.tenant)
        self._reasons.add(clear.reason)
        shown = None if clear.shown is None else self._codec.dialled_token(clear.shown)
        for name, token in zip(NUMBERS, (*clear.tokens, shown, self._order(line)), strict=True):
            if token is not None:
                self._keys[name].append((key_of(token), row))

    def _order(self, line: Line) -> bytes | None:
        try:
            order_id = self._codec.order_id(line)
        except BrokenLine:
            self._orders = False  # sealed by a key that is not here any more, perhaps
            return None
        return None if order_id is None else order_token(self._codec, order_id)

    def content(self, size: int, chain: bytes) -> bytes:
        """What is to be written; `size` and `chain` of the last frame."""
        columns = {
            "offset": self._offsets,
            "entry": self._entries,
            "setup": self._setups,
            "tenant": self._tenants.column,
            "reason": self._reasons.column,
        }
        for name, pairs in self._keys.items():
            pairs.sort()
            columns[f"{name}_key"] = array("Q", [key for key, _ in pairs])
            columns[f"{name}_row"] = array("I", [row for _, row in pairs])
        about = _About(
            self._segment, size, chain.hex(), self._orders, self._tenants.words, self._reasons.words
        )
        return index_bytes(columns, about)


class SegmentIndex:
    """An index that belongs to the segment beside it. Every method raises IndexUnusable."""

    def __init__(self, segment: Path, file: BinaryIO, number: int) -> None:
        """`file`: the segment, open."""
        self._file = IndexFile(index_path(segment))
        try:
            self.about = about = msgspec.convert(self._file.about, _About)
        except msgspec.ValidationError as error:
            raise IndexUnusable(str(error)) from None
        file.seek(max(0, about.size - CHAIN_BYTES))
        if about.segment != number or file.read(CHAIN_BYTES).hex() != about.chain:
            raise IndexUnusable("not of what stands in this segment")
        if not nothing_behind(file, about.size):
            raise IndexUnusable("of what this segment was before it grew")
        self._offsets, self._entries = self._file.column("offset"), self._file.column("entry")

    def __len__(self) -> int:
        return len(self._offsets)

    def candidates(self, search: Search) -> list[Place]:
        """The records that may be wanted, in order; all that are wanted are among them."""
        if "order" in search.tokens and not self.about.orders:
            raise IndexUnusable("not all of its records could be opened")
        rows = self._rows(search.tokens)
        for column, words, wanted in (
            ("tenant", self.about.tenants, search.tenant),
            ("reason", self.about.reasons, search.reason),
        ):
            if wanted is not None:
                if wanted not in words:
                    return []
                word = words.index(wanted)
                values = self._file.column(column).all()
                rows = [row for row in rows if values[row] == word]
        if search.since is not None or search.until is not None:
            since = _NEVER + 1 if search.since is None else search.since
            setups = self._file.column("setup").all()
            rows = [row for row in rows if setups[row] >= since]
            if (until := search.until) is not None:
                rows = [row for row in rows if setups[row] < until]
        offsets, entries = self._offsets, self._entries
        return [Place(offsets[row], entries[row]) for row in rows]

    def prove(self) -> None:
        """Every byte of it."""
        self._file.prove()

    def _rows(self, tokens: dict[str, bytes]) -> Iterable[int]:
        found: set[int] | None = None
        for name, token in tokens.items():
            places = self._file.column(f"{name}_key").places_of(key_of(token))
            column = self._file.column(f"{name}_row")
            rows = {column[place] for place in places}
            found = rows if found is None else found & rows
            if not found:
                return []
        return range(len(self)) if found is None else sorted(found)


def index_path(segment: Path) -> Path:
    """Where the index of a segment lies."""
    return segment.with_suffix(".index")


def order_token(codec: RecordCodec, order_id: str) -> bytes:
    """The look-up token of an order id: with a space in it, so that it is no number's."""
    return codec.dialled_token(f"order {order_id}")


def key_of(token: bytes) -> int:
    """What stands in the index for a look-up token."""
    return int.from_bytes(token[:_KEY_BYTES], "big")


class _Words:
    """A column of words of which there are few."""

    def __init__(self) -> None:
        self.words: list[str | None] = []
        self.column = array("I")
        self._numbers: dict[str | None, int] = {}

    def add(self, word: str | None) -> None:
        number = self._numbers.get(word)
        if number is None:
            number = self._numbers[word] = len(self.words)
            self.words.append(word)
        self.column.append(number)
