"""700 numbers and real numbers: from whatever stands on the wire or in a table to one canonical value, or to
nothing.

Both parsers take the user part of a `sip:` URI or the number of a `tel:` URI, percent-escapes undone,
parameters (`;npdi;rn=+86…;phone-context=+86`) still on it. Visual separators of RFC 3966 section 3 (`-`, `.`,
`(`, `)`) and spaces count for nothing. Digits are ASCII digits: a full-width digit makes the text no number
at all. Of the parameters only `phone-context` is heard (RFC 3966 section 5.1.5); routing numbers never name a
party.

What a real number is: a mainland mobile (1[3-9] and nine digits) or a fixed line (trunk prefix 0, area code,
seven or eight digits). Its country code may be written `+86`, `86` or `0086`, a mobile may have a leading 0,
a fixed line must have its 0 unless the country code is there. Nothing else may be left off or added, so that
what the table accepts is what the wire brings, and one party has one canonical value. Emergency, short, 95
and 400 numbers are too short or have no area code, hence are never real numbers here; neither is any number
abroad.
"""

from dataclasses import dataclass, field
from enum import IntEnum

MASKED_LENGTH = 15  # digits of a 700 number, `700` included
MASKED_PREFIX = "700"
COUNTRY_CODE = "86"
NUMBER_FORMATS = ("national", "e164")  # what numbers look like on a trunk's wire

_RECORDED_DIGITS = 32  # of a dialled number that is none of ours, no more than this is kept
_NO_SEPARATORS = {ord(separator): None for separator in "-.() "}


@dataclass(slots=True, frozen=True, repr=False)
class RealNumber:
    """A real user's number. `digits`: country code and national significant number, `8613800000001`,
    `861012345678`.

    Made by `parse_real` (or by a store from what `parse_real` once gave); never checked again. Printing it
    shows the masked form, so that no log line or traceback can tell the number.
    """

    digits: str

    @property
    def e164(self) -> str:
        return "+" + self.digits

    @property
    def is_mobile(self) -> bool:
        """A personal mobile number. The others are fixed lines: they may be called but not call."""
        return self.digits[2] == "1" and self.digits[3] != "0"

    @property
    def national(self) -> str:
        """As dialled inside the country: `13800000001`, `01012345678`."""
        return self.digits[2:] if self.is_mobile else "0" + self.digits[2:]

    @property
    def masked(self) -> str:
        """For logs: `138****0001`. Four digits are hidden, whatever the length."""
        national = self.national
        return national[:3] + "****" + national[7:]

    def on_wire(self, number_format: str) -> str:
        """As the trunk writes it: `13800000001` for "national", `+8613800000001` for "e164"."""
        return self.national if number_format == "national" else self.e164

    def __repr__(self) -> str:
        return f"RealNumber({self.masked})"

    def __str__(self) -> str:
        return self.masked


@dataclass(slots=True, frozen=True)
class MaskedNumber:
    """A 700 number. `digits`: exactly 15, beginning with 700. Made by `parse_dialled`."""

    digits: str

    def on_wire(self, number_format: str) -> str:
        """As the trunk writes it: 15 digits for "national", `+86700…` for "e164"."""
        return self.digits if number_format == "national" else "+" + COUNTRY_CODE + self.digits

    def __str__(self) -> str:
        return self.digits


class DialledKind(IntEnum):
    MASKED = 1  # a 700 number, ours or another carrier's
    INCOMPLETE = 2  # 700 and fewer than 15 digits
    OTHER = 3  # anything else, also 700 and more than 15 digits


@dataclass(slots=True)
class Dialled:
    """What the caller dialled. `digits` goes into the record: a 700 number without its country code; anything
    else as it came, without `+` and separators, "" when it is not made of digits. It may be somebody's real
    number, so it is not printed."""

    kind: DialledKind
    number: MaskedNumber | None
    digits: str = field(repr=False)


def parse_real(text: str) -> RealNumber | None:
    """The real number that `text` writes, or None when it writes none (see the module for what is
    accepted)."""
    if len(text) == 11 and text.isdigit() and text.isascii() and _is_mobile(text):
        return RealNumber(COUNTRY_CODE + text)
    plus, digits = _digits(text)
    if plus:
        if not digits.startswith(COUNTRY_CODE):
            return None
        national = digits[2:]
    elif digits.startswith("0086"):
        national = digits[4:]
    elif digits.startswith(COUNTRY_CODE):
        national = digits[2:]
    elif digits.startswith("0"):
        national = digits[1:]  # a leading 0 stands before mobiles and fixed lines alike
    else:
        return RealNumber(COUNTRY_CODE + digits) if _is_mobile(digits) else None
    return RealNumber(COUNTRY_CODE + national) if _is_mobile(national) or _is_fixed(national) else None


def parse_dialled(text: str) -> Dialled:
    """What kind of number was dialled, and the 700 number if it is one: `700…`, `86700…`, `0086700…`,
    `+86700…`."""
    if len(text) == MASKED_LENGTH and text.startswith(MASKED_PREFIX) and text.isdigit() and text.isascii():
        return Dialled(DialledKind.MASKED, MaskedNumber(text), text)
    plus, digits = _digits(text)
    national = digits
    if plus:
        national = digits[2:] if digits.startswith(COUNTRY_CODE) else ""
    elif digits.startswith("0086"):
        national = digits[4:]
    elif digits.startswith(COUNTRY_CODE):
        national = digits[2:]
    if national.startswith(MASKED_PREFIX):
        if len(national) == MASKED_LENGTH:
            return Dialled(DialledKind.MASKED, MaskedNumber(national), national)
        if len(national) < MASKED_LENGTH:
            return Dialled(DialledKind.INCOMPLETE, None, national)
    return Dialled(DialledKind.OTHER, None, digits[:_RECORDED_DIGITS])


def _digits(text: str) -> tuple[bool, str]:
    """(written with a `+`, the digits); the digits are "" when anything but digits is left."""
    number, semicolon, params = text.partition(";")
    number = number.translate(_NO_SEPARATORS)
    plus = number.startswith("+")
    if plus:
        number = number[1:]
    if not number.isdigit() or not number.isascii():
        return False, ""
    if semicolon and not plus:
        context = _phone_context(params)
        if context.startswith("+"):
            return _join(context[1:], number)
    return plus, number


def _phone_context(params: str) -> str:
    """The value of `phone-context`, "" when there is none; a domain name says nothing about the digits."""
    for param in params.split(";"):
        name, _, value = param.partition("=")
        if name.strip().lower() == "phone-context":
            return value.strip()
    return ""


def _join(context: str, local: str) -> tuple[bool, str]:
    """A local number within its global context (RFC 3966 section 5.1.5). What begins with 0 inside +86 is as
    dialled in the country (0138…, 010…, 0086…) and stays so."""
    context = context.translate(_NO_SEPARATORS)
    if not context.isdigit() or not context.isascii():
        return False, ""
    if context == COUNTRY_CODE and local.startswith("0"):
        return False, local
    return True, context + local


def _is_mobile(national: str) -> bool:
    return len(national) == 11 and national[0] == "1" and national[1] >= "3"


def _is_fixed(national: str) -> bool:
    """Area code without its 0, then seven or eight digits of which the first is no 0.

    Two-digit area codes are 10 and 2x, three-digit ones begin with 3 to 9. N00 are service numbers (400, 800)
    and the 700 numbers themselves; of 95x only 951 to 955 are areas, the rest are 95 service numbers.
    """
    if len(national) < 9:
        return False
    area = national[:2] if national[0] == "2" or national.startswith("10") else national[:3]
    local = national[len(area) :]
    if not 7 <= len(local) <= 8 or local[0] == "0":
        return False
    if len(area) == 2:
        return True
    if area[0] < "3" or area.endswith("00"):
        return False
    return not area.startswith("95") or "951" <= area <= "955"
