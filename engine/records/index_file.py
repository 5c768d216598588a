"""A file of columns that is read in place, block by block, and proves each block that is read.

    head     magic "M700IDX" and the format version (1 byte), length of the description (4 bytes, little-endian),
             the description, BLAKE2b-256 of all that
    zeros    to the next multiple of 4,096
    blocks   of 4,096 bytes, the last one may be shorter: the columns, one behind the other, each value 4 or 8 bytes in
             the byte order of the machine that made it (the description names it), each column at a multiple of 8
    digests  BLAKE2b-128 of each block; the description has the BLAKE2b-256 of all of them

So a damaged file is noticed before it gives a wrong answer, and an answer costs the blocks that it is in.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

_MAGIC: Final = b"M700IDX\x01"
_START: Final = struct.Struct("<8sI")
_BLOCK: Final = 4096
_DIGEST: Final = 16
_ROOT: Final = 32
ColumnType: TypeAlias = Literal["I", "Q", "q"]  # as `array` names them

_WIDTHS: Final[dict[ColumnType, int]] = {"I": 4, "Q": 8, "q": 8}


class IndexUnusable(ValueError):
    """It is missing, damaged, or of another machine or version; the text says which."""


class _Head(msgspec.Struct):
    order: str  # of the bytes: "little" or "big"
    columns: dict[str, tuple[ColumnType, int, int]]  # type, offset of the first value, how many
    digests: str
    about: Any


class Column:
    """Integers of one kind, read where they lie."""

    __slots__ = ("_blocks", "_first", "_values", "_width")

    def __init__(self, blocks: _Blocks, kind: ColumnType, offset: int, count: int) -> None:
        self._width = _WIDTHS[kind]
        self._blocks = blocks
        self._first = offset
        self._values = blocks.body[offset : offset + count * self._width].cast(kind)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> int:
        """Raises IndexUnusable."""
        self._blocks.prove((self._first + index * self._width) // _BLOCK)
        return self._values[index]

    def all(self) -> memoryview[int]:
        """Every value, proven. Raises IndexUnusable."""
        end = self._first + len(self._values) * self._width
        for block in range(self._first // _BLOCK, (end + _BLOCK - 1) // _BLOCK):
            self._blocks.prove(block)
        return self._values

    def places_of(self, value: int) -> range:
        """Where a value stands in a column that is sorted. Raises IndexUnusable."""
        first = bisect_left(self, value)
        return range(first, bisect_right(self, value, lo=first))


class IndexFile:
    """An open file: `about`, what it says of itself, and its columns."""

    def __init__(self, path: Path) -> None:
        """Raises IndexUnusable."""
        try:
            with path.open("rb") as file:
                self._content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            raise IndexUnusable(f"{path}: {getattr(error, 'strerror', None) or error}") from None
        try:
            self._read()
        except (struct.error, msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:
            raise IndexUnusable(f"{path}: {error}") from None

    def _read(self) -> None:
        content = self._content
        magic, length = _START.unpack_from(content)
        if magic != _MAGIC:
            raise ValueError("not the format that is read here")
        head_end = _START.size + length
        root = bytes(content[head_end : head_end + _ROOT])
        if root != blake2b(content[:head_end], digest_size=_ROOT).digest():
            raise ValueError("its head is damaged")
        head = msgspec.json.decode(content[_START.size : head_end], type=_Head)
        if head.order != sys.byteorder:
            raise ValueError("of a machine with another byte order")
        begin = _padded(head_end + _ROOT, _BLOCK)
        size = max(
            (offset + count * _WIDTHS[kind] for kind, offset, count in head.columns.values()), default=0
        )
        size = _padded(size, 8)
        digests = bytes(content[begin + size :])
        if head.digests != blake2b(digests, digest_size=_ROOT).hexdigest():
            raise ValueError("its end is damaged or missing")
        if any(content[head_end + _ROOT : begin]):
            raise ValueError("its head is damaged")
        self._blocks = _Blocks(content[begin : begin + size], digests)
        self._columns = {name: Column(self._blocks, *place) for name, place in head.columns.items()}
        self.about = head.about

    def column(self, name: str) -> Column:
        """Raises IndexUnusable."""
        column = self._columns.get(name)
        if column is None:
            raise IndexUnusable(f"there is no column {name}")
        return column

    def prove(self) -> None:
        """Every byte of it. Raises IndexUnusable."""
        for block in range(self._blocks.count):
            self._blocks.prove(block)


def index_bytes(columns: Mapping[str, array[int]], about: object) -> bytes:
    """The content of a file. `about`: whatever JSON can hold."""
    pieces: list[bytes] = []
    places: dict[str, tuple[ColumnType, int, int]] = {}
    offset = 0
    for name, values in columns.items():
        assert values.itemsize == _WIDTHS[cast(ColumnType, values.typecode)]
        octets = values.tobytes()
        places[name] = (cast(ColumnType, values.typecode), offset, len(values))
        pieces.append(octets.ljust(_padded(len(octets), 8), b"\0"))
        offset += len(pieces[-1])
    body = b"".join(pieces)
    digests = b"".join(
        blake2b(body[start : start + _BLOCK], digest_size=_DIGEST).digest()
        for start in range(0, len(body), _BLOCK)
    )
    proof = blake2b(digests, digest_size=_ROOT).hexdigest()
    described = msgspec.json.encode(_Head(sys.byteorder, places, proof, about))
    head = _START.pack(_MAGIC, len(described)) + described
    head += blake2b(head, digest_size=_ROOT).digest()
    return head.ljust(_padded(len(head), _BLOCK), b"\0") + body + digests


def put_in_place(path: Path, content: bytes) -> None:
    """Writes a file that appears complete and on the disk, or not at all, in the place of any before. Raises
    OSError."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class _Blocks:
    """The body, and which of its blocks have been proven."""

    def __init__(self, body: memoryview, digests: bytes) -> None:
        self.body = body
        self.count = (len(body) + _BLOCK - 1) // _BLOCK
        if len(digests) != self.count * _DIGEST:
            raise ValueError("its end is damaged or missing")
        self._digests = digests
        self._proven = bytearray(self.count)

    def prove(self, block: int) -> None:
        if self._proven[block]:
            return
        octets = self.body[block * _BLOCK : (block + 1) * _BLOCK]
        expected = self._digests[block * _DIGEST : (block + 1) * _DIGEST]
        if blake2b(octets, digest_size=_DIGEST).digest() != expected:
            raise IndexUnusable(f"block {block} is damaged")
        self._proven[block] = 1


def _padded(length: int, to: int) -> int:
    return -(-length // to) * to
