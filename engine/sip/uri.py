"""`sip:`, `sips:` (RFC 3261 section 19.1) and `tel:` (RFC 3966) URIs as values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from engine.sip.grammar import ESCAPED, HOST

MAX_PARAMS: Final = 256
"""URI parameters."""


class MalformedUri(ValueError):
    """A text that is no URI, or none of a scheme that is spoken here (`unknown_scheme`, answered with
    416)."""

    def __init__(self, detail: str, unknown_scheme: bool = False) -> None:
        super().__init__(detail)
        self.unknown_scheme = unknown_scheme


@dataclass(slots=True)
class SipUri:
    """A `sip:` or `sips:` URI.

    `user` and `password` are unescaped ("" when absent); `host` is lower-case and an IPv6 address stands
    without its brackets; `port` 0 means absent; names of `params` are lower-case, a flag has the value "";
    `headers` is what follows the question mark, as it was written.
    """

    scheme: str
    user: str
    host: str
    port: int = 0
    params: dict[str, str] = field(default_factory=dict)
    headers: str = ""
    password: str = ""

    def __str__(self) -> str:
        text = self.scheme + ":"
        if self.user:
            text += _escape(self.user, _USER_UNSAFE)
            if self.password:
                text += ":" + _escape(self.password, _PASSWORD_UNSAFE)
            text += "@"
        text += f"[{self.host}]" if ":" in self.host else self.host
        if self.port:
            text += f":{self.port}"
        text += _params_text(self.params)
        if self.headers:
            text += "?" + self.headers
        return text


@dataclass(slots=True)
class TelUri:
    """A `tel:` URI: the number as written, visual separators kept; names of `params` lower-case, a flag is
    ""."""

    number: str
    params: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"tel:{self.number}{_params_text(self.params)}"


PLAIN_SIP_URI: Final = re.compile(
    r"sips?:(?:(?!@)[A-Za-z0-9\-_.!~*'()&=+$,;?/]*+(?:%[0-9A-Fa-f]{2}[A-Za-z0-9\-_.!~*'()&=+$,;?/]*+)*@)?"
    r"[A-Za-z0-9][A-Za-z0-9.\-]*+(?::(?:[0-9]{1,4}|[1-5][0-9]{4}))?"
    r"(?:;[A-Za-z0-9\-_.!~*'()\[\]/:&+$]++(?:=[A-Za-z0-9\-_.!~*'()\[\]/:&+$]++)?){0,64}"
)
"""The usual `sip:` or `sips:` URI. What it refuses may still be right: `parse_uri` decides."""


def parse_uri(text: str) -> SipUri | TelUri:
    """The URI that `text` is as a whole, without angle brackets. Raises MalformedUri.

    The first of two parameters with the same name counts. User parts keep what stands in them unescaped, also
    semicolon parameters and NULs.
    """
    everyday = _EVERYDAY_URI.fullmatch(text)
    if everyday is not None:
        user, host, port, tail = everyday.groups()
        return SipUri("sip", user or "", host, int(port) if port else 0, _read_params(tail) if tail else {})
    return _any_uri(text)


def read_host(text: str) -> str:
    """A host as it stands in a URI or Via, lower-case, IPv6 without brackets. Raises MalformedUri.

    Three colons in a row are read as two (RFC 5118 section 4.10).
    """
    if text.startswith("["):
        address = text[1:-1].lower().replace(":::", "::")
        if not text.endswith("]") or not is_ipv6(address):
            raise MalformedUri("IPv6 address")
        return address
    if _HOST_NAME.fullmatch(text) is None:
        raise MalformedUri("host")
    return text.lower()


def is_ipv6(text: str) -> bool:
    """Whether `text` is an IPv6 address without zone and brackets (RFC 4291 section 2.2)."""
    if len(text) > 45 or _IPV6_CHARACTERS.fullmatch(text) is None:
        return False
    head, double, tail = text.partition("::")
    if double and "::" in tail:
        return False
    groups = (head.split(":") if head else []) + (tail.split(":") if tail else [])
    count = len(groups)
    if groups and "." in groups[-1]:
        if text.endswith("::") or not _is_ipv4(groups.pop()):
            return False
        count += 1
    for group in groups:
        if not 1 <= len(group) <= 4 or "." in group:
            return False
    return count <= 7 if double else count == 8


def _is_ipv4(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(
        1 <= len(part) <= 3 and part.isdecimal() and int(part) <= 255 for part in parts
    )


# Nothing escaped, and lower-case already: user, host, port and parameters as they are to be.
_EVERYDAY_URI: Final = re.compile(
    r"sip:(?:([A-Za-z0-9+\-_.]++)@)?([a-z0-9][a-z0-9.\-]*+)(?::([0-9]{1,4}|[1-5][0-9]{4}))?"
    r"(?:;([A-Za-z0-9\-_.=;]++))?"
)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.\-]*")
_ANY_URI_REST: Final = re.compile(r'[^\x00-\x20<>"\x7f]+')
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._\-]*)")
_IPV6_CHARACTERS: Final = re.compile(r"[0-9a-f:.]+")

_UNRESERVED: Final = r"A-Za-z0-9\-_.!~*'()"
_USER_CHARACTERS: Final = rf"{_UNRESERVED}&=+$,;?/"
_PASSWORD_CHARACTERS: Final = rf"{_UNRESERVED}&=+$,"
_PARAM_CHARACTERS: Final = rf"{_UNRESERVED}\[\]/:&+$"
_HEADER_CHARACTERS: Final = rf"{_UNRESERVED}\[\]/?:+$&="

_USER: Final = re.compile(
    rf"((?:[{_USER_CHARACTERS}]++|{ESCAPED})+)(?::((?:[{_PASSWORD_CHARACTERS}]++|{ESCAPED})*))?"
)
_HOST_PORT: Final = re.compile(rf"({HOST})(?::([0-9]{{1,5}}))?")
# "=" inside a value is no grammar, but routes with base64 in them carry it.
_PARAM: Final = re.compile(
    rf"(?:[{_PARAM_CHARACTERS}]++|{ESCAPED})+(?:=(?:[{_PARAM_CHARACTERS}=]++|{ESCAPED})*)?"
)
_HEADERS: Final = re.compile(rf"(?:[{_HEADER_CHARACTERS}]++|{ESCAPED})+")

_USER_UNSAFE: Final = re.compile(rf"[^{_USER_CHARACTERS}]+")
_PASSWORD_UNSAFE: Final = re.compile(rf"[^{_PASSWORD_CHARACTERS}]+")
_PARAM_NAME_UNSAFE: Final = re.compile(rf"[^{_PARAM_CHARACTERS}]+")
_PARAM_VALUE_UNSAFE: Final = re.compile(rf"[^{_PARAM_CHARACTERS}=]+")

# RFC 3966 section 3: at least one character that is no visual separator.
_TEL_NUMBER: Final = re.compile(
    r"\+(?=[.()\-]*+[0-9])[0-9.()\-]++|(?=[.()\-]*+[0-9A-Fa-f*#])[0-9A-Fa-f*#.()\-]++"
)


def _any_uri(text: str) -> SipUri | TelUri:
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower() if scheme.isascii() else ""
    if scheme == "sip" or scheme == "sips":
        return _sip(scheme, rest)
    if scheme == "tel":
        return _tel(rest)
    if colon and rest and _SCHEME.fullmatch(scheme) is not None and _ANY_URI_REST.fullmatch(rest) is not None:
        raise MalformedUri("scheme is not spoken here", unknown_scheme=True)
    raise MalformedUri("not a URI")


def _sip(scheme: str, rest: str) -> SipUri:
    user = password = ""
    before, at, after = rest.rpartition("@")
    if at:
        # A stray second "@" is in no character set below.
        match = _USER.fullmatch(before)
        if match is None:
            raise MalformedUri("user part")
        user = _unescape(match[1])
        password = _unescape(match[2] or "")
        rest = after
    rest, question, headers = rest.partition("?")
    if question and _HEADERS.fullmatch(headers) is None:
        raise MalformedUri("URI headers")
    place, semicolon, tail = rest.partition(";")
    match = _HOST_PORT.fullmatch(place)
    if match is None:
        raise MalformedUri("host or port")
    port = int(match[2]) if match[2] else 0
    if port > 65535:
        raise MalformedUri("port")
    return SipUri(
        scheme, user, read_host(match[1]), port, _read_params(tail) if semicolon else {}, headers, password
    )


def _tel(rest: str) -> TelUri:
    number, semicolon, tail = rest.partition(";")
    if _TEL_NUMBER.fullmatch(number) is None:
        raise MalformedUri("telephone number")
    return TelUri(number, _read_params(tail) if semicolon else {})


def _read_params(text: str) -> dict[str, str]:
    params: dict[str, str] = {}
    if text.count(";") >= MAX_PARAMS:
        raise MalformedUri("too many URI parameters")
    for item in text.split(";"):
        if _PARAM.fullmatch(item) is None:
            raise MalformedUri("URI parameter")
        name, _, value = item.partition("=")
        if "%" in item:
            name, value = _unescape(name), _unescape(value)
        params.setdefault(name.lower(), value)
    return params


def _params_text(params: dict[str, str]) -> str:
    text = ""
    for name, value in params.items():
        text += ";" + _escape(name, _PARAM_NAME_UNSAFE)
        if value:
            text += "=" + _escape(value, _PARAM_VALUE_UNSAFE)
    return text


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    octets = bytearray()
    pieces = text.split("%")
    octets += pieces[0].encode("ascii")
    for piece in pieces[1:]:
        octets.append(int(piece[:2], 16))
        octets += piece[2:].encode("ascii")
    return octets.decode("utf-8", "surrogateescape")


def _escape(text: str, unsafe: re.Pattern[str]) -> str:
    if unsafe.search(text) is None:
        return text
    return unsafe.sub(_percent, text)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{octet:02X}" for octet in match[0].encode("utf-8", "surrogateescape"))
