"""Building a table: from the CSV file to a complete, sorted, synced file beside the one in force.

Meant for a process of its own with low priority (`be_modest`), so that no call waits for it. Nothing here
puts a table in force: `generations.switch_current` does, in the process that controls the engine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import lmdb
import msgspec

from engine.calls.ports import BindingsUnavailable
from engine.numbering.binding import Model, NumberBinding
from engine.numbering.numbers import RealNumber
from engine.stores import binding_codec, generations
from engine.stores.ports import NumberFault, Sealing, Tokens
from engine.stores.table_file import Problem, TableReader

_ENTRIES_PER_TRANSACTION = 10_000  # bounds the memory that dirty pages take, and what one sync has to write
_ENTRY_OVERHEAD = 16  # bytes of LMDB's own per entry
_SEAL_OVERHEAD = 64  # bytes, not less than what a cipher adds
_LARGEST_ON_PAGE = 1_800  # bytes; longer values take whole pages
_PAGE = 4_096


class TableRejected(Exception):
    """The table has problems; nothing was built."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"the table has {len(problems)} problem{'' if len(problems) == 1 else 's'}")
        self.problems = problems


class TableNotBuilt(Exception):
    """The table is good but could not be written (disk full, no permission, another build)."""


@dataclass(slots=True)
class BuildResult:
    """`generation` names the new file. `rows` counts all bindings, `expired` those of them already over.

    `added`, `changed`, `removed` compare with the table in force; `previous` says why that could not be read
    ("" when it could): then every row counts as added.
    """

    generation: str
    rows: int
    expired: int
    added: int
    changed: int
    removed: int
    previous: str = ""


def build_table(
    data_dir: Path, table: Path, sealing: Sealing, tokens: Tokens, now: float, number_fault: NumberFault
) -> BuildResult:
    """Build the next generation; `now` (unix seconds) divides live from expired, `number_fault` our 700 numbers
    from others.

    Raises TableRejected (all problems at once) or TableNotBuilt; nothing is left behind then.
    """
    content = _Content(tokens)
    reader = TableReader(table, now, number_fault)
    for row in reader:
        if not reader.problems:
            content.add(row.binding, now)
    if reader.problems:
        raise TableRejected(reader.problems)
    content.settle()
    try:
        with generations.build_lock(data_dir):
            result = BuildResult("", len(content.rows), content.expired, len(content.rows), 0, 0)
            _compare(content.rows, data_dir, sealing, result)
            draft = generations.draft_path(data_dir)
            try:
                _write(draft, content, sealing, now)
                result.generation = generations.publish(data_dir, draft)
            finally:
                draft.unlink(missing_ok=True)
    except generations.BuildRunning as error:
        raise TableNotBuilt(str(error)) from None
    except (OSError, lmdb.Error) as error:
        # a disk that fills up in the middle of a write is an "Input/output error" to LMDB
        raise TableNotBuilt(f"the table cannot be written: {error}{_free(data_dir)}") from None
    return result


def build_report(
    data_dir: Path, table: Path, sealing: Sealing, tokens: Tokens, now: float, number_fault: NumberFault
) -> dict[str, object]:
    """`build_table` for a process that prints one JSON value: {"ok": true, "result": {…}}, {"ok": false,
    "problems": [{line, column, reason}…]} or {"ok": false, "error": "…"}."""
    try:
        return {
            "ok": True,
            "result": asdict(build_table(data_dir, table, sealing, tokens, now, number_fault)),
        }
    except TableRejected as rejected:
        return {"ok": False, "problems": [asdict(problem) for problem in rejected.problems]}
    except TableNotBuilt as error:
        return {"ok": False, "error": str(error)}


def be_modest() -> None:
    """Give this process little claim to the processor; it takes what calls leave over."""
    os.nice(10)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class _Content:
    """What the new file will hold, in clear and in memory. Ids are 12 bytes."""

    def __init__(self, tokens: Tokens) -> None:
        self.rows: dict[bytes, bytes] = {}  # id -> binding
        self.pairs: dict[bytes, bytes] = {}  # token -> id
        self.numbers: dict[str, list[bytes]] = {}  # 700 number -> ids
        self.models = dict.fromkeys((model.name for model in Model), 0)
        self.expired = 0
        self._tokens = tokens
        self._over: list[tuple[float, NumberBinding]] = []
        self._alone: set[str] = set()  # the X of every live AX

    def add(self, binding: NumberBinding, now: float) -> None:
        """A good row. What is over waits for `settle`: it gets only what no live binding has."""
        if binding.expires_at is not None and binding.expired(now):
            self._over.append((binding.expires_at, binding))
            return
        binding_id = self._enter(binding)
        if binding.model == Model.AX:
            self._alone.add(binding.x.digits)
        for number, real in binding.dialling_pairs():
            self.pairs[self._token(number.digits, real)] = binding_id

    def settle(self) -> None:
        """Enter the bindings that are over, so that who still dials one is told so; the last to end first."""
        self._over.sort(key=lambda entry: entry[0], reverse=True)
        for _, binding in self._over:
            if self._tokens.binding(binding_codec.identity(binding)) in self.rows:
                continue  # the same order, renewed or over even longer
            binding_id = self._enter(binding)
            self.expired += 1
            for number, real in binding.dialling_pairs():
                if number.digits not in self._alone:
                    self.pairs.setdefault(self._token(number.digits, real), binding_id)
        self._over.clear()

    def _enter(self, binding: NumberBinding) -> bytes:
        binding_id = self._tokens.binding(binding_codec.identity(binding))
        self.rows[binding_id] = binding_codec.encode(binding)
        self.models[binding.model.name] += 1
        self.numbers.setdefault(binding.x.digits, []).append(binding_id)
        if binding.y is not None:
            self.numbers.setdefault(binding.y.digits, []).append(binding_id)
        return binding_id

    def _token(self, number: str, real: RealNumber | None) -> bytes:
        return self._tokens.pair(number, "" if real is None else real.digits)


def _compare(rows: dict[bytes, bytes], data_dir: Path, sealing: Sealing, result: BuildResult) -> None:
    """Fill in how the new rows differ from the table in force."""
    kept = changed = removed = 0
    try:
        generation = generations.open_current(data_dir)
        if generation is None:
            return
        try:
            with generation.env.begin() as txn, txn.cursor(generation.rows) as cursor:
                for binding_id, sealed in cursor:
                    plain = rows.get(binding_id)
                    if plain is None:
                        removed += 1
                    elif plain == sealing.open(sealed, binding_id):
                        kept += 1
                    else:
                        changed += 1
        finally:
            generation.release()
    except (BindingsUnavailable, lmdb.Error, ValueError) as error:
        result.previous = str(error)
        return
    result.added = len(rows) - kept - changed
    result.changed = changed
    result.removed = removed


def _write(draft: Path, content: _Content, sealing: Sealing, now: float) -> None:
    """Write everything in key order, which LMDB appends without searching, and bring it to the disk."""
    rows = content.rows
    numbers = content.numbers
    about = {
        "format": generations.FORMAT,
        "rows": len(rows),
        "expired": content.expired,
        "models": content.models,
        "numbers": len(numbers),
        "pairs": len(content.pairs),
        "built": now,
    }
    draft.unlink(missing_ok=True)
    env = lmdb.open(
        str(draft),
        map_size=_map_size(content),
        subdir=False,
        lock=False,  # nobody else knows of this file
        sync=False,  # a commit is no point to come back to here; `_append` syncs
        max_dbs=len(generations.DATABASES),
        mode=0o600,
    )
    try:
        _append(env, b"rows", ((key, sealing.seal(rows[key], key)) for key in sorted(rows)))
        _append(env, b"pairs", ((key, content.pairs[key]) for key in sorted(content.pairs)))
        _append(env, b"numbers", ((key.encode(), b"".join(numbers[key])) for key in sorted(numbers)))
        _append(env, b"about", iter([(b"about", msgspec.json.encode(about))]))
    finally:
        env.close()


def _append(env: lmdb.Environment, name: bytes, entries: Iterator[tuple[bytes, bytes]]) -> None:
    database = env.open_db(name)
    while batch := list(islice(entries, _ENTRIES_PER_TRANSACTION)):
        with env.begin(write=True) as txn, txn.cursor(database) as cursor:
            cursor.putmulti(batch, append=True)
        env.sync(True)  # one long sync at the end would hold up the journal's writes on the same disk


def _free(directory: Path) -> str:
    try:
        return f" ({shutil.disk_usage(directory).free >> 20} MiB free)"
    except OSError:
        return ""


def _map_size(content: _Content) -> int:
    """Bytes of address space: the file grows with what is written, so it costs nothing to be generous."""
    size = sum(_room(12, len(plain) + _SEAL_OVERHEAD) for plain in content.rows.values())
    size += len(content.pairs) * _room(16, 12)
    size += sum(_room(15, 12 * len(ids)) for ids in content.numbers.values())
    return 2 * size + (16 << 20)


def _room(key: int, value: int) -> int:
    if value > _LARGEST_ON_PAGE:
        return 2 * _PAGE + value
    return _ENTRY_OVERHEAD + key + value
