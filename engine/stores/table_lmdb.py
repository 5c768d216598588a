"""The binding table as calls ask it: memory-mapped, found by token, one binding opened per call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import msgspec

from engine.calls.ports import BindingsUnavailable
from engine.numbering.binding import Found, Model, NumberBinding
from engine.numbering.numbers import MaskedNumber, RealNumber
from engine.stores import binding_codec, generations
from engine.stores.generations import Generation
from engine.stores.ports import Sealing, Tokens

LastCaller = Callable[[str], RealNumber | None]  # binding id -> whom it remembers, if he still counts


class TableStats(msgspec.Struct):
    """What the builder counted. `generation` is "" and everything 0 before the first load. `rows`
    includes the `expired` ones (at `built`, unix seconds); `file_bytes` is the size on disk."""

    generation: str = ""
    rows: int = 0
    expired: int = 0
    models: dict[str, int] = {}
    numbers: int = 0
    pairs: int = 0
    built: float = 0.0
    file_bytes: int = 0


class BindingTable:
    """The table in force, to be used by one thread. Every method raises BindingsUnavailable when the table
    cannot be read."""

    def __init__(
        self, data_dir: Path, sealing: Sealing, tokens: Tokens, last_caller: LastCaller | None = None
    ) -> None:
        self._data_dir = data_dir
        self._open = sealing.open
        self._pair = tokens.pair
        self._last_caller = last_caller
        self._generation: Generation | None = None
        self._txn: lmdb.Transaction[bytes] | None = None
        self._peek: lmdb.Transaction[memoryview] | None = None

    @staticmethod
    def open(
        data_dir: Path, sealing: Sealing, tokens: Tokens, last_caller: LastCaller | None = None
    ) -> BindingTable:
        """The table that is in force; an empty one when nothing was ever loaded."""
        table = BindingTable(data_dir, sealing, tokens, last_caller)
        generation = generations.open_current(data_dir)
        if generation is not None:
            table._use(generation)
        return table

    def look_up(self, number: MaskedNumber, caller: RealNumber) -> Found:
        """On which binding `caller` may dial `number`; live or expired."""
        txn = self._txn
        peek = self._peek
        generation = self._generation
        if txn is None or peek is None or generation is None:
            return Found(None)
        digits = number.digits
        pairs = generation.pairs
        try:
            binding_id = txn.get(self._pair(digits, caller.digits), None, pairs)
            if binding_id is None:
                binding_id = txn.get(self._pair(digits, ""), None, pairs)
                if binding_id is None:
                    # hit or miss costs the same, so a stranger learns nothing from how long it takes;
                    # hence also the buffer: the value is long where many bindings share a number
                    return Found(None, peek.get(digits.encode(), None, generation.numbers) is not None)
            sealed = txn.get(binding_id, None, generation.rows)
            if sealed is None:
                raise BindingsUnavailable(f"{generation.path}: a pair leads to no binding")
            binding = binding_codec.decode(binding_id, self._open(sealed, binding_id))
        except (lmdb.Error, ValueError) as error:
            raise _unreadable(generation, error) from None
        model = binding.model
        if self._last_caller is None or model == Model.AXB or model == Model.AXYB:
            return Found(binding)
        return Found(binding, False, self._last_caller(binding.id))

    def get(self, binding_id: str) -> NumberBinding | None:
        """The binding with this id (24 hexadecimal digits)."""
        try:
            key = bytes.fromhex(binding_id)
        except ValueError:
            return None
        if self._txn is None or self._generation is None or len(key) != generations.ID_BYTES:
            return None
        try:
            sealed = self._txn.get(key, None, self._generation.rows)
            return None if sealed is None else binding_codec.decode(key, self._open(sealed, key))
        except (lmdb.Error, ValueError) as error:
            raise _unreadable(self._generation, error) from None

    def find(
        self, x: MaskedNumber | None = None, number: RealNumber | None = None
    ) -> Iterator[NumberBinding]:
        """The bindings with `x` as their x or y and `number` among their parties; None matches all.

        With `x` only its own rows are opened, else every row of the table.
        """
        for binding in self.rows() if x is None else self._on(x):
            if number is None or number in binding.a or number == binding.b:
                yield binding

    def rows(self) -> Iterator[NumberBinding]:
        """Every binding, ordered by id, of the table that was in force when the first one was asked for."""
        if self._generation is None:
            return
        generation = self._generation.acquire()
        try:
            with generation.env.begin() as txn, txn.cursor(generation.rows) as cursor:
                for binding_id, sealed in cursor:
                    yield binding_codec.decode(binding_id, self._open(sealed, binding_id))
        except (lmdb.Error, ValueError) as error:
            raise _unreadable(generation, error) from None
        finally:
            generation.release()

    def numbers(self) -> Iterator[MaskedNumber]:
        """Every 700 number that somebody is bound on, in order."""
        if self._generation is None:
            return
        generation = self._generation.acquire()
        try:
            with generation.env.begin() as txn, txn.cursor(generation.numbers) as cursor:
                for digits in cursor.iternext(values=False):
                    yield MaskedNumber(digits.decode())
        except (lmdb.Error, ValueError) as error:
            raise _unreadable(generation, error) from None
        finally:
            generation.release()

    def stats(self) -> TableStats:
        """What is in the table."""
        generation = self._generation
        if generation is None:
            return TableStats()
        stats = _about(generation)
        stats.generation = generation.name
        stats.file_bytes = generation.path.stat().st_size if generation.path.exists() else 0
        return stats

    def switch(self, generation: str) -> None:
        """Read another table (its name, or a path that ends in it) from now on; if it cannot be opened, this
        one stays."""
        self._use(generations.open_generation(self._data_dir, Path(generation).name))

    def close(self) -> None:
        """Let go of the file; what is asked afterwards finds nothing."""
        for txn in (self._txn, self._peek):
            if txn is not None:
                txn.abort()
        self._txn = self._peek = None
        if self._generation is not None:
            self._generation.release()
            self._generation = None

    def _use(self, generation: Generation) -> None:
        try:
            _about(generation)  # another version's file is refused before this one is given up
        except BindingsUnavailable:
            generation.release()
            raise
        self.close()
        self._generation = generation
        self._txn = generation.env.begin()
        self._peek = generation.env.begin(buffers=True)

    def _on(self, x: MaskedNumber) -> Iterator[NumberBinding]:
        if self._txn is None or self._generation is None:
            return
        ids = self._txn.get(x.digits.encode(), b"", self._generation.numbers)
        for start in range(0, len(ids), generations.ID_BYTES):
            binding = self.get(ids[start : start + generations.ID_BYTES].hex())
            if binding is not None:
                yield binding


def _about(generation: Generation) -> TableStats:
    try:
        with generation.env.begin() as txn:
            about = msgspec.json.decode(txn.get(b"about", b"{}", generation.about), type=dict[str, object])
        if about.get("format") != generations.FORMAT:
            raise BindingsUnavailable(f"{generation.path} was written by another version; reload the table")
        return msgspec.convert(about, TableStats)
    except (lmdb.Error, ValueError) as error:
        raise _unreadable(generation, error) from None


def _unreadable(generation: Generation, error: Exception) -> BindingsUnavailable:
    return BindingsUnavailable(f"{generation.path} cannot be read: {error}")
