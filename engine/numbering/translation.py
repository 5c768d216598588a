"""Number translation: who rings when this caller dials this 700 number, and what the ringing side sees."""

from dataclasses import dataclass
from enum import IntEnum

from engine.numbering.binding import Direction, Model, NumberBinding
from engine.numbering.numbers import MaskedNumber, RealNumber


@dataclass(slots=True)
class Translation:
    """`callee` rings and sees `shown`. `remembers_caller`: once admitted, this attempt makes the caller the
    one whom a call-back on the binding reaches."""

    callee: RealNumber
    shown: MaskedNumber
    direction: Direction
    remembers_caller: bool


class Untranslatable(IntEnum):
    NOT_A_PARTY = 1  # this caller may not dial this number on this binding
    DIRECTION = 2  # the binding is limited to the other direction
    NO_CALLBACK = 3  # there is nobody to call back


def translate(
    binding: NumberBinding, dialled: MaskedNumber, caller: RealNumber, last_caller: RealNumber | None
) -> Translation | Untranslatable:
    """Apply the binding's model to one attempt; party first, then direction, then the call-back.

    `last_caller` is whom the binding remembers within the window. He does not count when he is no longer in
    the group, or is the caller himself. Nobody is ever connected to himself: such a binding has no callee.
    """
    model = binding.model
    y = binding.y if model.has_y else binding.x
    if y is None:
        return Untranslatable.NOT_A_PARTY
    if caller in binding.a and dialled == binding.x:
        if binding.direction == Direction.B_TO_A:
            return Untranslatable.DIRECTION
        callee = binding.b
        if model == Model.AX and last_caller is not None and last_caller != caller:
            callee = last_caller
        return _translation(caller, callee, y, Direction.A_TO_B, model.has_group)
    if model == Model.AX:
        if dialled != binding.x:
            return Untranslatable.NOT_A_PARTY
    elif caller != binding.b or dialled != y:
        return Untranslatable.NOT_A_PARTY
    if binding.direction == Direction.A_TO_B:
        return Untranslatable.DIRECTION
    callee = binding.a[0] if binding.a else None
    if model.has_group and last_caller is not None and last_caller in binding.a:
        callee = last_caller
    return _translation(caller, callee, binding.x, Direction.B_TO_A, model == Model.AX)


def _translation(
    caller: RealNumber, callee: RealNumber | None, shown: MaskedNumber, direction: Direction, remembers: bool
) -> Translation | Untranslatable:
    if callee is None or callee == caller:
        return Untranslatable.NO_CALLBACK
    return Translation(callee, shown, direction, remembers)
