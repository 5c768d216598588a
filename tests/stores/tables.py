"""Tables for the tests: written from bindings, with keys that everybody knows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from engine.calls.rfc3339 import format_time
from engine.numbering.binding import Direction, Model, NumberBinding
from engine.numbering.numbers import MaskedNumber, RealNumber
from engine.routing.number_plan import NumberPlan
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens
from engine.stores import generations
from engine.stores.table_build import BuildResult, build_table
from engine.stores.table_file import COLUMNS

RING = KeyRing({1: bytes(range(32))}, 1, bytes(range(50, 82)))
SEALER = Sealer(RING)
TOKENS = LookupTokens(RING.lookup)
NOW = 1_800_000_000.0
ours = NumberPlan(["700"], []).fault  # every 700 number is
HEADER = ",".join(COLUMNS)


def real(last: int) -> RealNumber:
    """A real number that ends in `last` (up to 8 digits)."""
    return RealNumber(f"86138{last:08d}")


def masked(last: int) -> MaskedNumber:
    """A 700 number that ends in `last`; its digits never hold one of `real`'s."""
    return MaskedNumber(f"700{last:012d}")


def axb(x: int, a: int, b: int, **attributes: object) -> NumberBinding:
    """An AXB binding without an id."""
    bare = NumberBinding("", "default", "", Model.AXB, masked(x), None, (real(a),), real(b))
    return replace(bare, **attributes)  # type: ignore[arg-type]


def as_csv(bindings: Iterable[NumberBinding]) -> str:
    """The table that says the same."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for binding in bindings:
        expires = binding.expires_at
        writer.writerow(
            [
                binding.model.name,
                binding.x.digits,
                "" if binding.y is None else binding.y.on_wire("e164"),
                "|".join(member.national for member in binding.a),
                "" if binding.b is None else binding.b.e164,
                "" if expires is None else format_time(round(expires * 1000)),
                binding.direction.name.lower(),
                binding.max_duration_s or "",
                binding.tenant,
                binding.order_id,
            ]
        )
    return text.getvalue()


def written(path: Path, bindings: Iterable[NumberBinding]) -> Path:
    """`path`, with the table in it."""
    path.write_text(as_csv(bindings), encoding="utf-8")
    return path


def load(data_dir: Path, table: Path, now: float = NOW) -> BuildResult:
    """Build a table, put it in force, sweep the ones before."""
    result = build_table(data_dir, table, SEALER, TOKENS, now, ours)
    generations.switch_current(data_dir, result.generation)
    generations.sweep(data_dir)
    return result


def bare(binding: NumberBinding) -> NumberBinding:
    """The binding without its id, as the table file gives it."""
    return replace(binding, id="")


few_masked = st.builds(masked, st.integers(0, 3))
few_reals = st.builds(real, st.integers(0, 6))


@st.composite
def bindings(draw: st.DrawFn) -> NumberBinding:
    """Sound bindings of every model over so few numbers that they collide often."""
    model = draw(st.sampled_from(Model))
    parties = draw(st.lists(few_reals, min_size=2, max_size=4, unique=True))
    numbers = draw(st.lists(few_masked, min_size=2, max_size=2, unique=True))
    group = parties[1:] if model.has_group else parties[1:2]
    b = None if model == Model.AX and draw(st.booleans()) else parties[0]
    return NumberBinding(
        "",
        draw(st.sampled_from(["default", "courier"])),
        draw(st.sampled_from(["", "order-1", '外卖 "2", 三', "#4|x"])),
        model,
        numbers[0],
        numbers[1] if model.has_y else None,
        tuple(group),
        b,
        draw(st.sampled_from([None, None, None, NOW + 3600, NOW, NOW - 1, NOW - 3600.25])),
        draw(st.sampled_from(Direction)),
        draw(st.sampled_from([0, 1, 7200])),
    )


def may_not_both_live(one: NumberBinding, other: NumberBinding) -> bool:
    """The rule, naively: no pair twice, and nobody beside an AX."""
    numbers_of_one = {one.x, one.y} - {None}
    numbers_of_other = {other.x, other.y} - {None}
    if one.model == Model.AX and one.x in numbers_of_other:
        return True
    if other.model == Model.AX and other.x in numbers_of_one:
        return True
    return bool(set(one.dialling_pairs()) & set(other.dialling_pairs()))
