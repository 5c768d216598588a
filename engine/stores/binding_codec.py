"""A number binding as bytes: what is sealed in the store, and what its id is made of."""

from __future__ import annotations

import msgspec

from engine.numbering.binding import Direction, Model, NumberBinding
from engine.numbering.numbers import MaskedNumber, RealNumber

_MODELS = {model.value: model for model in Model}
_DIRECTIONS = {direction.value: direction for direction in Direction}


class _Stored(msgspec.Struct, array_like=True, gc=False):
    tenant: str
    order_id: str
    model: int
    x: str
    y: str
    a: list[str]
    b: str
    expires_at: float | None
    direction: int
    max_duration_s: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


def identity(binding: NumberBinding) -> bytes:
    """The parts that make it this binding and no other; a token of them is its id, the same after each load.

    The members of a group, whom an AX owner reaches, expiry, direction and longest talk time may change.
    """
    parties = [] if binding.model.has_group else [binding.a[0].digits]
    if binding.model != Model.AX and binding.b is not None:
        parties.append(binding.b.digits)
    y = "" if binding.y is None else binding.y.digits
    parts = [binding.tenant, binding.model.name, binding.x.digits, y, *parties, binding.order_id]
    return "\n".join(parts).encode()


def encode(binding: NumberBinding) -> bytes:
    """All but the id, in clear: to be sealed. Equal bindings give equal bytes."""
    return _encode(
        _Stored(
            binding.tenant,
            binding.order_id,
            binding.model,
            binding.x.digits,
            "" if binding.y is None else binding.y.digits,
            [member.digits for member in binding.a],
            "" if binding.b is None else binding.b.digits,
            binding.expires_at,
            binding.direction,
            binding.max_duration_s,
        )
    )


def decode(binding_id: bytes, plain: bytes) -> NumberBinding:
    """The binding that `encode` wrote; raises ValueError when these bytes are none."""
    stored = _decode(plain)
    try:
        model = _MODELS[stored.model]
        direction = _DIRECTIONS[stored.direction]
    except KeyError:
        raise ValueError("a model or direction of another version") from None
    a = stored.a
    return NumberBinding(
        binding_id.hex(),
        stored.tenant,
        stored.order_id,
        model,
        MaskedNumber(stored.x),
        MaskedNumber(stored.y) if stored.y else None,
        (RealNumber(a[0]),) if len(a) == 1 else tuple([RealNumber(digits) for digits in a]),
        RealNumber(stored.b) if stored.b else None,
        stored.expires_at,
        direction,
        stored.max_duration_s,
    )
