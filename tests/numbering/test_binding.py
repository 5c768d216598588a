"""Keys, expiry and soundness of bindings."""

from dataclasses import replace

import pytest

from engine.numbering.binding import Direction, Model, NumberBinding
from engine.numbering.numbers import MaskedNumber, RealNumber

X, Y = MaskedNumber("700000000000001"), MaskedNumber("700000000000002")
A, B, C = RealNumber("8613800000001"), RealNumber("8613900000002"), RealNumber("8613700000003")


def bound(model: Model, a: tuple[RealNumber, ...] = (A,), b: RealNumber | None = B) -> NumberBinding:
    y = Y if model.has_y else None
    return NumberBinding(id="0" * 24, tenant="default", order_id="", model=model, x=X, y=y, a=a, b=b)


@pytest.mark.parametrize(
    ("binding", "pairs"),
    [
        (bound(Model.AXB), [(X, A), (X, B)]),
        (bound(Model.AXYB), [(X, A), (Y, B)]),
        (bound(Model.AX), [(X, None)]),
        (bound(Model.AX, b=None), [(X, None)]),
        (bound(Model.GXB, a=(A, C)), [(X, A), (X, C), (X, B)]),
        (bound(Model.GXYB, a=(A, C)), [(X, A), (X, C), (Y, B)]),
    ],
)
def test_dialling_pairs(binding: NumberBinding, pairs: list[tuple[MaskedNumber, RealNumber | None]]) -> None:
    assert binding.dialling_pairs() == pairs
    assert binding.faults() == []


def test_expiry() -> None:
    binding = bound(Model.AXB)
    assert not binding.expired(1e12)
    binding.expires_at = 1000.0
    assert not binding.expired(999.999)
    assert binding.expired(1000.0)


@pytest.mark.parametrize(
    ("binding", "columns"),
    [
        (replace(bound(Model.AXB), y=Y), ["y"]),
        (replace(bound(Model.AX), y=Y), ["y"]),
        (replace(bound(Model.AXYB), y=None), ["y"]),
        (replace(bound(Model.GXYB), y=X), ["y"]),
        (bound(Model.AXB, b=None), ["b"]),
        (bound(Model.AXB, b=A), ["b"]),
        (bound(Model.AX, b=A), ["b"]),
        (bound(Model.GXB, a=(A, B)), ["b"]),
        (bound(Model.AXB, a=(A, C)), ["a"]),
        (bound(Model.AX, a=(A, C)), ["a"]),
        (bound(Model.GXB, a=(A, C, A)), ["a"]),
        (bound(Model.GXYB, a=()), ["a"]),
        (replace(bound(Model.AXYB, a=(), b=None), y=None), ["y", "a", "b"]),
    ],
)
def test_faults_name_their_column(binding: NumberBinding, columns: list[str]) -> None:
    assert [column for column, _ in binding.faults()] == columns
    assert all(reason for _, reason in binding.faults())


def test_stored_values_stay() -> None:
    """They lie in stores: a new value may be added, none may change."""
    assert {model.name: int(model) for model in Model} == {"AXB": 1, "AXYB": 2, "AX": 3, "GXB": 4, "GXYB": 5}
    assert {way.name: int(way) for way in Direction} == {"BOTH": 1, "A_TO_B": 2, "B_TO_A": 3}
