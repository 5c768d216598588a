"""What a far end can do, as far as the engine carries it through: option tags (RFC 3261 19.2) and methods.

Both are sets of a few bits, so that the other leg's lines are looked up instead of built. What has no bit here does
not cross.
"""

from __future__ import annotations

from typing import Final

from engine.sip.message import Message

RELIABLE: Final = 1  # 100rel, RFC 3262
TIMER: Final = 2  # RFC 4028; each leg's own
PRECONDITION: Final = 4  # RFC 3312

PRACK: Final = 1
UPDATE: Final = 2
INFO: Final = 4

CROSSING_OPTIONS: Final = RELIABLE | PRECONDITION
EVERY_METHOD: Final = PRACK | UPDATE | INFO

_OPTIONS: Final = {"100rel": RELIABLE, "timer": TIMER, "precondition": PRECONDITION}
_METHODS: Final = {"PRACK": PRACK, "UPDATE": UPDATE, "INFO": INFO}
_ALWAYS: Final = ["INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"]

# What peers write is the same in all their messages, so it is read once.
_READ: Final[dict[str, int]] = {}
_MOST_READ: Final = 512
_LONGEST_READ: Final = 400


def supported(message: Message) -> int:
    """The option tags of Supported that have a bit here."""
    return _read(message, "supported", _OPTIONS) if "supported" in message.fields else 0


def required(message: Message) -> int:
    """The option tags of Require that have a bit here."""
    return _read(message, "require", _OPTIONS) if "require" in message.fields else 0


def methods(message: Message) -> int:
    """The methods of Allow that have a bit here; none where there is no Allow."""
    return _read(message, "allow", _METHODS) if "allow" in message.fields else 0


def unsupported(message: Message) -> str:
    """The option tags of Require that nothing here can meet, as a header value; "" for none."""
    return ", ".join([tag for tag in message.values("require") if tag and tag.lower() not in _OPTIONS])


def _read(message: Message, name: str, bits: dict[str, int]) -> int:
    lines = message.fields[name]
    raw = lines[0]
    known = _READ.get(name + raw) if len(lines) == 1 else None
    if known is not None:
        return known
    found = 0
    for word in message.values(name):
        found |= bits.get(word if bits is _METHODS else word.lower(), 0)
    if len(lines) == 1 and len(raw) <= _LONGEST_READ:
        if len(_READ) >= _MOST_READ:
            _READ.clear()
        _READ[name + raw] = found
    return found


def _lines(header: str, bits: dict[str, int], always: list[str]) -> tuple[str, ...]:
    lines: list[str] = []
    for held in range(8):
        words = always + [word for word, bit in bits.items() if held & bit]
        lines.append(f"{header}: {', '.join(words)}\r\n" if words else "")
    return tuple(lines)


ALLOW_LINES: Final = _lines("Allow", _METHODS, _ALWAYS)
"""The Allow line for a set of methods, with those that everybody has."""
SUPPORTED_LINES: Final = _lines("Supported", _OPTIONS, [])
"""The Supported line for a set of option tags, "" for none."""
REQUIRE_LINES: Final = _lines("Require", _OPTIONS, [])
"""The Require line for a set of option tags, "" for none."""
ALLOW: Final = ALLOW_LINES[EVERY_METHOD]
"""All that the engine speaks."""
