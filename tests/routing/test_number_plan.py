"""Whose a 700 number is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.numbering.numbers import MaskedNumber
from engine.routing.number_plan import OURS, NumberPlan
from engine.routing.settings import TrunkSettings


@pytest.mark.parametrize(
    ("own", "carriers", "digits", "below"),
    [
        (["700"], ["7009"], "700100000000001", OURS),
        (["700"], ["7009"], "700900000000001", "7009"),
        (["7001"], ["7009"], "700200000000001", None),
        (["7009"], ["7009"], "700900000000001", OURS),  # a tie is ours
        (["700"], ["700"], "700900000000001", OURS),
        (["700", "70091"], ["7009"], "700910000000001", OURS),
        (["700", "70091"], ["7009"], "700920000000001", "7009"),
        (["700", "7009"], ["70091", "700912"], "700912000000001", "700912"),
        (["700100000000001"], [], "700100000000001", OURS),
        (["700100000000001"], [], "700100000000002", None),
        (["7001"], ["", "86", "70"], "700200000000001", None),  # prefixes of real numbers
    ],
)
def test_the_longest_prefix_decides(own: list[str], carriers: list[str], digits: str, below: str) -> None:
    plan = NumberPlan(own, [(prefix, "carrier") for prefix in carriers])
    assert plan.carrier_prefix(MaskedNumber(digits)) == below


def test_what_keeps_a_number_from_being_bound() -> None:
    plan = NumberPlan.of(
        ["7001", "7003"],
        [
            TrunkSettings(name="pstn", prefixes=["", "+86138"]),
            TrunkSettings(name="carrier2", prefixes=["7002", "70011"], enabled=False),
            TrunkSettings(name="carrier3", prefixes=["7002", "7004"]),
        ],
    )
    assert plan.fault(MaskedNumber("700100000000001")) == ""
    assert plan.fault(MaskedNumber("700300000000001")) == ""
    assert (
        plan.fault(MaskedNumber("700110000000001")) == "belongs to trunk carrier2 (trunks.carrier2.prefixes)"
    )
    assert (
        plan.fault(MaskedNumber("700200000000001")) == "belongs to trunk carrier2 (trunks.carrier2.prefixes)"
    )
    assert (
        plan.fault(MaskedNumber("700400000000001")) == "belongs to trunk carrier3 (trunks.carrier3.prefixes)"
    )
    assert plan.fault(MaskedNumber("700500000000001")) == "is outside numbering.own_prefixes"


prefixes = st.lists(st.text("01", max_size=4).map(lambda rest: "700" + rest), max_size=5)


@given(prefixes, prefixes, st.text("01", min_size=12, max_size=12))
def test_against_a_plain_search(own: list[str], carriers: list[str], rest: str) -> None:
    digits = "700" + rest
    longest_own = max((len(prefix) for prefix in own if digits.startswith(prefix)), default=0)
    longest = max((len(prefix) for prefix in carriers if digits.startswith(prefix)), default=0)
    plan = NumberPlan(own, [(prefix, "carrier") for prefix in carriers])
    below = plan.carrier_prefix(MaskedNumber(digits))
    if longest > longest_own:
        assert below == digits[:longest]
    else:
        assert below == (OURS if longest_own else None)
    assert (plan.fault(MaskedNumber(digits)) == "") == (longest_own > 0 and longest <= longest_own)
