"""The binding table: a CSV file in, number bindings or every problem of the file out.

UTF-8 (a byte order mark is tolerated), a header row that names the ten columns in any order, blank lines,
lines that begin with `#`. A field may be quoted; it cannot hold a line break, so that one stray quote
costs one line and not the rest of the file. Reasons never repeat a real number: they end up in logs.
"""

from __future__ import annotations

import csv
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine.calls.rfc3339 import parse_time
from engine.numbering.binding import Direction, Model, NumberBinding
from engine.numbering.numbers import DialledKind, MaskedNumber, RealNumber, parse_dialled, parse_real
from engine.stores.live_pairs import LivePairs
from engine.stores.ports import NumberFault

COLUMNS = ("model", "x", "y", "a", "b", "expires_at", "direction", "max_duration_s", "tenant", "order_id")
DEFAULT_TENANT = "default"
LONGEST_LINE = 65_536  # bytes
LONGEST_GROUP = 1_000  # real numbers
LONGEST_ORDER_ID = 128  # characters

_MODELS = {model.name: model for model in Model}
_DIRECTIONS = {"": Direction.BOTH} | {direction.name.lower(): direction for direction in Direction}
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_DURATION = re.compile(r"[0-9]{1,8}\Z")
_REMEMBERED_NUMBERS = 50_000  # 700 numbers stand on many rows, so each is parsed once
_UNREAD = MaskedNumber("")  # stands for a 700 number that could not be read, while the rest is checked


@dataclass(slots=True, frozen=True)
class Problem:
    """What is wrong in line `line` (from 1; 0: with the file) and, unless "", column `column`."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.column}{': ' if self.column else ''}{self.reason}"


@dataclass(slots=True)
class TableRow:
    """A good row and the line it stands on. The binding's `id` is still "": making it takes a key."""

    line: int
    binding: NumberBinding


@dataclass(slots=True)
class TableRead:
    """`rows` are worth something only when there are no `problems`."""

    rows: list[TableRow]
    problems: list[Problem]


def read_table(path: Path, now: float, number_fault: NumberFault) -> TableRead:
    """The whole table. `now` (unix seconds) tells which bindings are live, hence can collide; `number_fault`
    which 700 numbers no call would ever be looked up on."""
    reader = TableReader(path, now, number_fault)
    rows = list(reader)
    return TableRead(rows, reader.problems)


class TableReader:
    """Iterates over the rows that are good by themselves; `problems` is complete when that is over."""

    def __init__(self, path: Path, now: float, number_fault: NumberFault) -> None:
        self.problems: list[Problem] = []
        self._path = path
        self._now = now
        self._number_fault = number_fault
        self._pairs = LivePairs()
        self._numbers: dict[str, MaskedNumber | str] = {}
        self._expiry: tuple[str, float | None] = ("", None)

    def __iter__(self) -> Iterator[TableRow]:
        try:
            with self._path.open("rb") as file:
                if not stat.S_ISREG(self._path.stat().st_mode):
                    self._report(0, "", "the table must be a regular file")
                    return
                yield from self._rows(file)
        except OSError as error:
            self._report(0, "", f"the table cannot be read: {error.strerror}")

    def _rows(self, file: BinaryIO) -> Iterator[TableRow]:
        order: list[int] | None = None  # where each of COLUMNS stands
        for line, fields in self._lines(file):
            if order is None:
                order = self._header(line, fields)
                if order is None:
                    return
            elif len(fields) != len(COLUMNS):
                self._report(line, "", f"has {len(fields)} fields instead of {len(COLUMNS)}")
            else:
                binding = self._binding(line, [fields[place] for place in order])
                if binding is not None:
                    if not binding.expired(self._now):
                        for column, reason in self._pairs.claim(binding, line):
                            self._report(line, column, reason)
                    yield TableRow(line, binding)
        if order is None and not self.problems:
            self._report(0, "", f"there is no header row ({','.join(COLUMNS)})")

    def _lines(self, file: BinaryIO) -> Iterator[tuple[int, list[str]]]:
        """(line number, fields without outer space) of every line that says something."""
        line = 0
        while raw := file.readline(LONGEST_LINE):
            line += 1
            if len(raw) == LONGEST_LINE and raw[-1:] != b"\n":
                self._report(line, "", f"is longer than {LONGEST_LINE} bytes")
                while raw and raw[-1:] != b"\n":
                    raw = file.readline(LONGEST_LINE)
                continue
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                self._report(line, "", f"byte {error.start + 1} of the line is not UTF-8")
                continue
            if line == 1:
                text = text.removeprefix("\ufeff")
            text = text.strip()
            if not text or text[0] == "#":
                continue
            if '"' not in text:
                yield line, [field.strip() for field in text.split(",")]
                continue
            try:
                fields = next(csv.reader([text], strict=True, skipinitialspace=True))
            except csv.Error as error:
                self._report(line, "", f"the quotes are wrong: {error}")
                continue
            yield line, [field.strip() for field in fields]

    def _header(self, line: int, fields: list[str]) -> list[int] | None:
        before = len(self.problems)
        for place, name in enumerate(fields):
            if name not in COLUMNS:
                self._report(line, name[:40], "is no column of this table")
            elif name in fields[:place]:
                self._report(line, name, "stands in the header twice")
        for name in COLUMNS:
            if name not in fields:
                self._report(line, name, "is missing in the header")
        return None if len(self.problems) > before else [fields.index(name) for name in COLUMNS]

    def _binding(self, line: int, fields: list[str]) -> NumberBinding | None:
        model_name, x_text, y_text, a_text, b_text, expires, direction_name, duration, tenant, order_id = (
            fields
        )
        before = len(self.problems)
        model = _MODELS.get(model_name)
        if model is None:
            self._report(line, "model", f"must be one of {', '.join(_MODELS)}")
        x = self._masked(line, "x", x_text) if x_text else None
        if not x_text:
            self._report(line, "x", "needs a 700 number")
        y = self._masked(line, "y", y_text) if y_text else None
        a = self._group(line, a_text) if a_text else ()
        b = self._real(line, "b", b_text, "") if b_text else None
        expires_at = self._expires_at(line, expires) if expires else None
        direction = _DIRECTIONS.get(direction_name)
        if direction is None:
            self._report(line, "direction", "must be both, a_to_b or b_to_a")
        if duration and (_DURATION.match(duration) is None or int(duration) == 0):
            self._report(line, "max_duration_s", "must be 1 to 99999999 seconds")
        if tenant and _TENANT.match(tenant) is None:
            self._report(
                line, "tenant", "must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit"
            )
        if len(order_id) > LONGEST_ORDER_ID or not order_id.isprintable():
            self._report(line, "order_id", f"must be at most {LONGEST_ORDER_ID} printable characters")
        found = self.problems[before:]
        if model is None:
            return None
        binding = NumberBinding(
            id="",
            tenant=tenant or DEFAULT_TENANT,
            order_id=order_id,
            model=model,
            x=x or _UNREAD,
            y=y,
            a=a,
            b=b,
            expires_at=expires_at,
            direction=direction or Direction.BOTH,
            max_duration_s=0 if found or not duration else int(duration),
        )
        faulty = {problem.column for problem in found}
        for column, reason in binding.faults():
            if column not in faulty:
                self._report(line, column, reason)
        return binding if len(self.problems) == before else None

    def _masked(self, line: int, column: str, text: str) -> MaskedNumber | None:
        number = self._numbers.get(text)
        if number is None:
            if len(self._numbers) >= _REMEMBERED_NUMBERS:
                self._numbers.clear()
            dialled = parse_dialled(text)
            if dialled.number is not None:
                number = self._number_fault(dialled.number) or dialled.number
            elif dialled.kind == DialledKind.INCOMPLETE:
                number = f"is a 700 number of {len(dialled.digits)} digits instead of 15"
            else:
                number = "is no 700 number"
            self._numbers[text] = number
        if isinstance(number, str):
            self._report(line, column, number)
            return None
        return number

    def _group(self, line: int, text: str) -> tuple[RealNumber, ...]:
        if "|" not in text:
            alone = self._real(line, "a", text, "")
            return () if alone is None else (alone,)
        parts = text.split("|")
        if len(parts) > LONGEST_GROUP:
            self._report(line, "a", f"a group has at most {LONGEST_GROUP} numbers")
            return ()
        members: list[RealNumber] = []
        for place, part in enumerate(parts, 1):
            member = self._real(line, "a", part.strip(), f"number {place} of the group ")
            if member is not None:
                members.append(member)
        return tuple(members)

    def _real(self, line: int, column: str, text: str, which: str) -> RealNumber | None:
        number = parse_real(text)
        if number is None:
            if not text:
                reason = "is empty"
            elif parse_dialled(text).kind == DialledKind.OTHER:
                reason = "is no real number (mainland mobile or fixed line)"
            else:
                reason = "is a 700 number, not a real one"
            self._report(line, column, which + reason)
        return number

    def _expires_at(self, line: int, text: str) -> float | None:
        if text == self._expiry[0]:  # one batch of orders, one expiry: most rows repeat the row before
            return self._expiry[1]
        moment = parse_time(text)
        if moment is None:
            self._report(line, "expires_at", "must be a time with its zone, like 2026-12-31T23:59:59+08:00")
        else:
            self._expiry = (text, moment)
        return moment

    def _report(self, line: int, column: str, reason: str) -> None:
        self.problems.append(Problem(line, column, reason))
