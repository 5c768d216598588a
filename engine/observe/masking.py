"""Real numbers in text become `138****0001`; 700 numbers and everything else stay.

This is what the logger runs over every value, so it errs on the side of masking: a counter that looks like a
mobile number is masked too. Forms: domain.md ("+86", "86", "0086", trunk "0", bare), with visual separators
(RFC 3966) and percent escapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_DEEPEST = 16  # levels of nesting looked into; below it a value is only named by its type

_GAP = r"[-. ()/\u00a0]{0,3}"
_COUNTRY = rf"(?:(?:\+|00){_GAP}86|86)"
# A number starts where no digit stands before it, or right after a percent escape ("%2B86…", "%20138…").
_START = r"(?:(?<!\d)|(?<=%[0-9A-Fa-f]{2}))"

_PATTERN = re.compile(
    # kept: IPv4 addresses (no leading zeros, so that 138.0000.0001 is none) and 700 numbers
    r"(?P<kept>"
    r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?![\d.])"
    rf"|{_START}(?:{_COUNTRY}{_GAP})?7{_GAP}0{_GAP}0(?:{_GAP}\d){{12}}(?!\d))"
    # 13x to 19x with 11 digits; before it a country code, trunk zero, carrier's access code (17951), or
    # whatever somebody dialled in front (not 1…: milliseconds since the epoch stay readable)
    rf"|{_START}(?:(?:{_COUNTRY}|0|1[27]\d{{3}}){_GAP}){{0,2}}(?:[2-9]\d{{0,5}})?(?P<mobile>1{_GAP}[3-9](?:{_GAP}\d){{9}})(?!\d)"
    # fixed lines: area code and number, nine to eleven digits in all, behind 86 or a trunk zero
    rf"|{_START}{_COUNTRY}{_GAP}0?{_GAP}(?P<fixed>[1-9](?:{_GAP}\d){{8,10}})(?!\d)"
    rf"|{_START}0{_GAP}(?P<national>[1-9](?:{_GAP}\d){{8,10}})(?!\d)"
    # other countries
    rf"|\+{_GAP}(?P<foreign>[1-9](?:{_GAP}\d){{6,14}})(?!\d)"
)
_NOT_DIGIT = re.compile(r"\D+")


def masked(text: str) -> str:
    """The text with every real number in it masked."""
    return _PATTERN.sub(_mask, text)


def masked_value(value: object, depth: int = 0) -> object:
    """Any value as plain data (None, bool, int, float, str, list, dict) without a real number in it.

    What is not plain becomes its masked `repr`.
    """
    if isinstance(value, str):
        return masked(value)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        text = str(value)
        hidden = masked(text)
        return value if hidden == text else hidden
    if depth >= _DEEPEST:
        return type(value).__name__
    if isinstance(value, Mapping):
        return {masked(str(key)): masked_value(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked_value(one, depth + 1) for one in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return masked(bytes(value).decode("utf-8", "backslashreplace"))
    return masked(repr(value))


def _mask(found: re.Match[str]) -> str:
    kind = found.lastgroup
    if kind is None or kind == "kept":
        return found[0]
    digits = _NOT_DIGIT.sub("", found[kind])
    if kind in ("fixed", "national"):
        digits = "0" + digits
    if kind == "foreign":
        return f"+{digits[:2]}****{digits[-2:]}"
    return f"{digits[:3]}****{digits[7:]}"
