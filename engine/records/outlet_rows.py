"""What of a record an outlet gives out when it gives out no real number.

Numbers become `138****0001`, also those that somebody may have written into an id; what a message says is left out.
"""

from __future__ import annotations

import re
from typing import Final

from engine.observe.masking import masked
from engine.records.query import Record

_NUMBERS: Final = ("caller", "callee", "dialled", "a_call_id", "b_call_id")
_NO_NUMBER: Final = re.compile(r"([0-9]{16,})")  # longer than E.164 and 700 numbers are


def masked_record(record: Record) -> Record:
    """The same fields in the same order. An order id keeps whatever has more digits than a number, for others find
    their orders by it."""
    hidden = dict(record)
    for name in _NUMBERS:
        value = hidden[name]
        if isinstance(value, str):
            hidden[name] = masked(value)
    order_id = hidden["order_id"]
    if isinstance(order_id, str):
        pieces = _NO_NUMBER.split(order_id)
        hidden["order_id"] = "".join(
            piece if index % 2 else masked(piece) for index, piece in enumerate(pieces)
        )
    hidden["content"] = None
    return hidden
