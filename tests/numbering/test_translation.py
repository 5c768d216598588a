"""The table of binding models, row by row; then what must hold for any binding, caller and memory."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.numbering.binding import Direction, Model, NumberBinding
from engine.numbering.numbers import MaskedNumber, RealNumber
from engine.numbering.translation import Translation, Untranslatable, translate
from tests.numbering.numbers_of_china import bindings

X, Y, Z = (MaskedNumber(f"70000000000000{serial}") for serial in (1, 2, 3))
PARTIES = {name: RealNumber(f"861380000000{serial}") for serial, name in enumerate("ABGHFN")}
NUMBERS = {"X": X, "Y": Y, "Z": Z}
A, B, G, H, F, N = PARTIES.values()  # G, H: a group; F: was in it once; N: anybody

BINDINGS = {
    "AXB": NumberBinding("", "", "", Model.AXB, X, None, (A,), B),
    "AXYB": NumberBinding("", "", "", Model.AXYB, X, Y, (A,), B),
    "AX": NumberBinding("", "", "", Model.AX, X, None, (A,), None),
    "AX with b": NumberBinding("", "", "", Model.AX, X, None, (A,), B),
    "GXB": NumberBinding("", "", "", Model.GXB, X, None, (G, H), B),
    "GXYB": NumberBinding("", "", "", Model.GXYB, X, Y, (G, H), B),
}
TO_B, TO_A = "a_to_b", "b_to_a"
STRANGER, NOBODY = Untranslatable.NOT_A_PARTY, Untranslatable.NO_CALLBACK

# binding, caller, dialled, last caller → who rings, what he sees, direction, remembers the caller
ROWS: list[tuple[str, str, str, str, tuple[str, str, str, bool] | Untranslatable]] = [
    ("AXB", "A", "X", "", ("B", "X", TO_B, False)),
    ("AXB", "B", "X", "", ("A", "X", TO_A, False)),
    ("AXB", "A", "X", "N", ("B", "X", TO_B, False)),
    ("AXB", "B", "X", "N", ("A", "X", TO_A, False)),
    ("AXB", "N", "X", "", STRANGER),
    ("AXB", "A", "Y", "", STRANGER),
    ("AXB", "B", "Y", "", STRANGER),
    ("AXYB", "A", "X", "", ("B", "Y", TO_B, False)),
    ("AXYB", "B", "Y", "", ("A", "X", TO_A, False)),
    ("AXYB", "A", "Y", "", STRANGER),
    ("AXYB", "B", "X", "", STRANGER),
    ("AXYB", "N", "X", "", STRANGER),
    ("AXYB", "N", "Y", "", STRANGER),
    ("AXYB", "A", "Z", "", STRANGER),
    ("AX", "N", "X", "", ("A", "X", TO_A, True)),
    ("AX", "N", "X", "B", ("A", "X", TO_A, True)),
    ("AX", "N", "Z", "", STRANGER),
    ("AX", "A", "Z", "N", STRANGER),
    ("AX", "A", "X", "", NOBODY),
    ("AX", "A", "X", "N", ("N", "X", TO_B, False)),
    ("AX", "A", "X", "A", NOBODY),
    ("AX with b", "A", "X", "", ("B", "X", TO_B, False)),
    ("AX with b", "A", "X", "N", ("N", "X", TO_B, False)),
    ("AX with b", "A", "X", "A", ("B", "X", TO_B, False)),
    ("AX with b", "B", "X", "", ("A", "X", TO_A, True)),
    ("AX with b", "N", "X", "", ("A", "X", TO_A, True)),
    ("GXB", "G", "X", "", ("B", "X", TO_B, True)),
    ("GXB", "H", "X", "G", ("B", "X", TO_B, True)),
    ("GXB", "B", "X", "", ("G", "X", TO_A, False)),
    ("GXB", "B", "X", "H", ("H", "X", TO_A, False)),
    ("GXB", "B", "X", "F", ("G", "X", TO_A, False)),
    ("GXB", "B", "X", "B", ("G", "X", TO_A, False)),
    ("GXB", "F", "X", "F", STRANGER),
    ("GXB", "N", "X", "", STRANGER),
    ("GXB", "G", "Y", "", STRANGER),
    ("GXYB", "G", "X", "", ("B", "Y", TO_B, True)),
    ("GXYB", "H", "X", "", ("B", "Y", TO_B, True)),
    ("GXYB", "B", "Y", "", ("G", "X", TO_A, False)),
    ("GXYB", "B", "Y", "H", ("H", "X", TO_A, False)),
    ("GXYB", "B", "Y", "F", ("G", "X", TO_A, False)),
    ("GXYB", "B", "X", "H", STRANGER),
    ("GXYB", "H", "Y", "", STRANGER),
    ("GXYB", "N", "Y", "", STRANGER),
]


@pytest.mark.parametrize(("name", "caller", "dialled", "last", "expected"), ROWS)
@pytest.mark.parametrize("allowed", Direction)
def test_models(
    name: str,
    caller: str,
    dialled: str,
    last: str,
    expected: tuple[str, str, str, bool] | Untranslatable,
    allowed: Direction,
) -> None:
    binding = replace(BINDINGS[name], direction=allowed)
    got = translate(binding, NUMBERS[dialled], PARTIES[caller], PARTIES[last] if last else None)
    if expected is STRANGER:
        assert got is STRANGER
        return
    way = Direction[expected[2].upper()] if isinstance(expected, tuple) else Direction.A_TO_B
    if allowed not in (Direction.BOTH, way):
        assert got is Untranslatable.DIRECTION
    elif isinstance(expected, tuple):
        assert got == Translation(PARTIES[expected[0]], NUMBERS[expected[1]], way, expected[3])
    else:
        assert got is expected


@pytest.mark.parametrize("model", Model)
def test_nobody_is_connected_to_himself(model: Model) -> None:
    """Even on an unsound binding that no store should hold."""
    binding = NumberBinding("", "", "", model, X, Y if model.has_y else None, (A,), A)
    for dialled in (X, Y):
        for last in (None, A):
            assert isinstance(translate(binding, dialled, A, last), Untranslatable)


@pytest.mark.parametrize("model", [Model.AXYB, Model.GXYB])
def test_a_second_number_is_needed(model: Model) -> None:
    binding = NumberBinding("", "", "", model, X, None, (A,), B)
    assert translate(binding, X, A, None) is STRANGER


@given(st.data(), st.sampled_from([X, Y, Z]), st.sampled_from(list(PARTIES.values())))
def test_whatever_the_binding(data: st.DataObject, dialled: MaskedNumber, caller: RealNumber) -> None:
    pool = list(PARTIES.values())
    binding = data.draw(bindings(pool[:5], X, Y))
    last = data.draw(st.sampled_from([None, *pool]))
    got = translate(binding, dialled, caller, last)

    pairs = binding.dialling_pairs()
    may_dial = (dialled, caller) in pairs or (dialled, None) in pairs
    assert (got is STRANGER) == (not may_dial)
    if isinstance(got, Translation):
        parties = {*binding.a, binding.b}
        assert got.callee != caller
        assert got.callee in parties or (
            binding.model is Model.AX and caller in binding.a and got.callee == last
        )
        assert got.shown in (binding.x, binding.y)
        assert got.direction is not Direction.BOTH
        assert binding.direction in (Direction.BOTH, got.direction)
        assert caller in parties or binding.model is Model.AX


@given(st.data())
def test_the_shown_number_calls_back(data: st.DataObject) -> None:
    """Whoever was rung can dial what he saw, and reaches the caller, now that the binding remembers him."""
    pool = list(PARTIES.values())
    binding = data.draw(bindings(pool[:5], X, Y))
    binding.direction = Direction.BOTH
    dialled, dialler = data.draw(st.sampled_from(binding.dialling_pairs()))
    caller = dialler if dialler is not None else data.draw(st.sampled_from(pool))
    last = data.draw(st.sampled_from([None, *pool]))
    there = translate(binding, dialled, caller, last)
    if isinstance(there, Translation):
        back = translate(binding, there.shown, there.callee, caller if there.remembers_caller else last)
        assert isinstance(back, Translation)
        assert back.callee == caller
        assert back.shown == dialled
