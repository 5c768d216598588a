"""Words and tables of the SIP grammar (RFC 3261 section 25) that several modules of this room share.

No input makes a match of this room's patterns slower than linear: repeats of one character class are possessive
where something follows them, and repeats of a group are plain, but begin every round with a character that
nothing else there can begin with. Possessive groups are no way out: before CPython 3.11.5 they match wrongly
(gh-106052), and Debian 12 has 3.11.2.
"""

from __future__ import annotations

import re
from typing import Final

TOKEN_CHARS: Final = r"A-Za-z0-9\-.!%*_+`'~"  # noqa: S105 — no secret
TOKEN: Final = re.compile(f"[{TOKEN_CHARS}]+")

QUOTED_STRING: Final = r'"[^"\\\r\n]*+(?:\\[^\r\n][^"\\\r\n]*+)*"'

# RFC 5118 section 4.10: the ABNF of RFC 3261 lets ":::" through, so peers do send it; `uri.read_host` mends
# it.
HOST: Final = r"(?:[A-Za-z0-9._\-]++|\[[0-9A-Fa-f:.]++\])"

ESCAPED: Final = "%[0-9A-Fa-f]{2}"

# What RFC 3261 section 7.3.3 and its extensions abbreviate.
COMPACT_FORMS: Final[dict[str, str]] = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

_COMMON_NAMES: Final = """
    Accept Accept-Encoding Accept-Language Alert-Info Allow Allow-Events Authorization Call-ID Call-Info
    Contact Content-Disposition Content-Encoding Content-Language Content-Length Content-Type CSeq Date
    Diversion Error-Info Event Expires From Geolocation History-Info Identity In-Reply-To Max-Forwards
    MIME-Version Min-Expires Min-SE Organization P-Access-Network-Info P-Asserted-Identity P-Called-Party-
    ID P-Charging-Vector P-Early-Media P-Preferred-Identity P-Visited-Network-ID Path Priority Privacy
    Proxy-Authenticate Proxy-Authorization Proxy-Require RAck Reason Record-Route Refer-To Referred-By
    Remote-Party-ID Replaces Reply-To Require Retry-After Route RSeq Server Service-Route Session-Expires
    Session-ID Subject Subscription-State Supported Timestamp To Unsupported User-Agent User-to-User Via
    Warning WWW-Authenticate
"""


def _spellings() -> dict[str, str]:
    table: dict[str, str] = {}
    for name in _COMMON_NAMES.split():
        lower = name.lower()
        table[name] = table[lower] = table[name.upper()] = lower
    for letter, full in COMPACT_FORMS.items():
        table[letter] = table[letter.upper()] = full
    # Spellings of RFC 2543's days and of software that capitalises word by word.
    for name in ("Call-Id", "Cseq", "Rseq", "Rack", "Mime-Version", "Www-Authenticate"):
        table[name] = name.lower()
    return table


FIELD_NAMES: Final[dict[str, str]] = _spellings()
"""Usual spellings of header names to the canonical lower-case full name; `field_name` knows the rest."""

_METHODS: Final = (
    "INVITE ACK BYE CANCEL OPTIONS REGISTER PRACK UPDATE INFO MESSAGE REFER SUBSCRIBE NOTIFY PUBLISH"
)
METHODS: Final = frozenset(_METHODS.split())
"""Methods known to be tokens without looking."""


def is_token(text: str) -> bool:
    return TOKEN.fullmatch(text) is not None


def field_name(spelling: str) -> str:
    """Canonical lower-case full name of a header name in any case or form, white space before the colon
    allowed (RFC 3261 section 7.3.1); "" when it is no token."""
    name = spelling.rstrip(" \t")
    if TOKEN.fullmatch(name) is None:
        return ""
    name = name.lower()
    return COMPACT_FORMS.get(name, name)


def number_up_to(text: str, limit: int) -> int:
    """The value of ASCII digits, at most 20 of them, -1 when they are none or above `limit`."""
    if not text.isdecimal() or not text.isascii() or len(text) > 20:
        return -1
    value = int(text)
    return value if value <= limit else -1
