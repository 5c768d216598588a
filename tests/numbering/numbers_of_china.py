"""Hypothesis strategies: real numbers, the ways in which they are written, 700 numbers and bindings."""

from collections.abc import Callable

from hypothesis import strategies as st

from engine.numbering.binding import Direction, Model, NumberBinding
from engine.numbering.numbers import MaskedNumber, RealNumber

DIGITS = "0123456789"

mobiles = st.builds(
    lambda second, rest: RealNumber(f"861{second}{rest}"),
    st.sampled_from("3456789"),
    st.text(DIGITS, min_size=9, max_size=9),
)
areas = st.sampled_from(
    ["10", "20", "21", "25", "28", "29", "310", "411", "571", "755", "701", "898", "951", "991"]
)
fixed_lines = st.builds(
    lambda area, first, rest: RealNumber(f"86{area}{first}{rest}"),
    areas,
    st.sampled_from("123456789"),
    st.text(DIGITS, min_size=6, max_size=7),
)
real_numbers = st.one_of(mobiles, fixed_lines)
masked_numbers = st.builds(lambda rest: MaskedNumber("700" + rest), st.text(DIGITS, min_size=12, max_size=12))


@st.composite
def near_misses(draw: st.DrawFn, number: RealNumber) -> RealNumber:
    """A number that differs from `number` in one digit of the subscriber's part at most."""
    at = draw(st.integers(6, len(number.digits) - 1))
    return RealNumber(number.digits[:at] + draw(st.sampled_from(DIGITS)) + number.digits[at + 1 :])


def _national_significant(number: RealNumber) -> str:
    return number.digits[2:]


WRITTEN_FORMS: dict[str, Callable[[RealNumber], str]] = {
    "as dialled": lambda number: number.national,
    "+86": lambda number: "+86" + _national_significant(number),
    "86": lambda number: "86" + _national_significant(number),
    "0086": lambda number: "0086" + _national_significant(number),
    "with trunk prefix": lambda number: "0" + _national_significant(number),
    "in context": lambda number: _national_significant(number) + ";phone-context=+86",
    "as dialled in context": lambda number: number.national + ";phone-context=+86",
    "as dialled in a domain": lambda number: number.national + ";phone-context=ims.example.cn",
}
PARAMETERS = ["", ";npdi", ";npdi;rn=+8613900000009", ";rn=+14155550100;cic=+1", ";isub=12", ";user=phone"]


@st.composite
def written(draw: st.DrawFn, text: str) -> str:
    """`text` with visual separators strewn in and parameters behind, as RFC 3966 allows."""
    number, semicolon, params = text.partition(";")
    separated = "".join(
        digit + draw(st.sampled_from(["", "", "", "-", ".", "(", ")", " "])) for digit in number
    )
    return separated + semicolon + params + draw(st.sampled_from(PARAMETERS))


@st.composite
def bindings(draw: st.DrawFn, pool: list[RealNumber], x: MaskedNumber, y: MaskedNumber) -> NumberBinding:
    """A sound binding whose parties come from `pool` (four numbers or more)."""
    model = draw(st.sampled_from(Model))
    parties = draw(st.permutations(pool))
    size = draw(st.integers(1, 3)) if model.has_group else 1
    b: RealNumber | None = parties[size]
    if model is Model.AX and draw(st.booleans()):
        b = None
    return NumberBinding(
        id="0" * 24,
        tenant="default",
        order_id="",
        model=model,
        x=x,
        y=y if model.has_y else None,
        a=tuple(parties[:size]),
        b=b,
        expires_at=draw(st.sampled_from([None, 1000.0])),
        direction=draw(st.sampled_from(Direction)),
    )
