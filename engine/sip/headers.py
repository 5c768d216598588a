"""Structured header values: Via, name-addr (From, To, Contact, Route, …) and comma-separated lists (RFC 3261
section 20).

Each `parse` tries one regular expression for the shape that nearly all traffic has; what does not fit goes
through the whole grammar, character class by character class.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from engine.sip.grammar import QUOTED_STRING, TOKEN, TOKEN_CHARS
from engine.sip.uri import MalformedUri, read_host

MAX_PARAMS: Final = 256
"""Semicolons behind a Via or name-addr."""


class MalformedHeader(ValueError):
    """A header value that its grammar does not allow. The message says what, never the value itself."""


@dataclass(slots=True)
class Via:
    """One Via (RFC 3261 section 20.42).

    `transport` is upper-case and may be unknown here; `host` is lower-case, an IPv6 address without brackets;
    `port` 0 means absent; names of `params` are lower-case, a flag has the value ""; an IPv6 address in
    `received` or `maddr` has lost its brackets (RFC 5118 section 4.5 knows both spellings).
    """

    transport: str
    host: str
    port: int
    params: dict[str, str]
    version: str = "2.0"

    @property
    def branch(self) -> str:
        """Empty when absent."""
        return self.params.get("branch", "")

    @staticmethod
    def parse(text: str) -> Via:
        """One Via without its header name. Raises MalformedHeader."""
        before, _, rest = text.partition(";branch=")
        branch, semicolon, behind = rest.partition(";")
        if TOKEN.fullmatch(branch) is not None:
            via = remembered_via(before, branch, behind if semicolon else None)
            if via is not None:
                return via
        return _plain_via(text)

    @staticmethod
    def salvage(text: str) -> Via | None:
        """What can be read of a Via that `parse` refuses, so that an answer finds its way; None when that is
        not enough."""
        match = _VIA_START.match(text)
        if match is None:
            return None
        version, transport, host, port = match.groups()
        params: dict[str, str] = {}
        for item in _split(text[match.end() :].partition(",")[0], ";")[1 : MAX_PARAMS + 1]:
            if _PARAM.fullmatch(item) is not None:
                name, value = _name_and_value(item)
                params.setdefault(name, value)
        try:
            return Via(transport.upper(), read_host(host), int(port or "0"), params, version)
        except MalformedUri:
            return None

    def __str__(self) -> str:
        text = f"SIP/{self.version}/{self.transport} "
        text += f"[{self.host}]" if ":" in self.host else self.host
        if self.port:
            text += f":{self.port}"
        return text + _params_text(self.params)


@dataclass(slots=True)
class NameAddr:
    """A display name, a URI and header parameters (RFC 3261 section 20.10).

    `display` is unquoted and unescaped ("" when absent); `uri` is raw, of any scheme, without angle brackets;
    names of `params` are lower-case, values unquoted, a flag has the value "". `str()` always writes the
    angle brackets.
    """

    display: str
    uri: str
    params: dict[str, str] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        """Empty when absent."""
        return self.params.get("tag", "")

    @staticmethod
    def parse(text: str) -> NameAddr:
        """One name-addr or addr-spec with its parameters. Raises MalformedHeader.

        Without angle brackets a parameter belongs to the header, and a comma or question mark is an error
        (RFC 3261 section 20.10).
        """
        match = PLAIN_NAME_ADDR.fullmatch(text)
        if match is not None:
            quoted, plain, uri, tag = match.groups()
            return NameAddr(quoted or plain or "", uri, {"tag": tag} if tag else {})
        return _any_name_addr(text)

    def __str__(self) -> str:
        text = f"<{self.uri}>{_params_text(self.params)}"
        return f"{_quote(self.display)} {text}" if self.display else text


def remembered_via(before: str, branch: str, behind: str | None) -> Via | None:
    """The Via `before;branch=branch;behind`, None when nothing like it has been parsed lately. The branch must be a
    token; `behind` is None when nothing follows it."""
    sent_by = _VIAS_BEFORE_BRANCH.get(before)
    if sent_by is None:
        return None
    transport, host, port, flags = sent_by
    if behind is None:
        if not flags:
            return Via(transport, host, port, {"branch": branch})
        added = _NO_PARAMS
    else:
        remembered = _VIAS_BEHIND_BRANCH.get(behind)
        if remembered is None:
            return None
        added = remembered
    # In the order they stand in; of two the first one counts.
    return Via(transport, host, port, {**flags, "branch": branch, **added, **flags})


def split_list(text: str) -> list[str]:
    """Elements of a comma-separated header value, outer white space stripped, empty ones left out.

    Commas inside quoted strings and angle brackets do not separate. Works on any text in linear time.
    """
    if "," not in text:
        return [text] if text else []
    return [element for element in _split(text, ",") if element]


def first_of_list(text: str) -> str:
    """The first element of a comma-separated header value, "" when it is empty."""
    if "," not in text:
        return text
    match = _ELEMENT[","].match(text)
    return match[1].strip(" \t") if match is not None else ""


PLAIN_NAME_ADDR: Final = re.compile(
    rf'(?:"([^"\\\x00-\x1f\x7f]*+)"|([{TOKEN_CHARS}]++(?: [{TOKEN_CHARS}]++)*))? ?+'
    r"<([A-Za-z][A-Za-z0-9+.\-]*+:[A-Za-z0-9\-_.!~*'()&=+$,;?/%:@\[\]]++)>"
    rf"(?:;tag=([{TOKEN_CHARS}]++))?"
)
"""The usual From, To or Contact: groups quoted display, plain display, URI, tag. What it refuses may still be right:
`NameAddr.parse` decides."""

_PLAIN_VIA: Final = re.compile(
    r"SIP/2\.0/([A-Z]++) ([a-z0-9][a-z0-9.\-]*+)(?::([0-9]{1,4}|[1-5][0-9]{4}))?"
    rf"(;rport)?;branch=([{TOKEN_CHARS}]++)((?:;(?:rport(?:=[0-9]++)?|received=[0-9.]++))*)"
)

# What a peer writes around the branch is the same in all its messages, so it is read once. A peer that writes
# something else every time only makes these start again.
_VIAS_BEFORE_BRANCH: Final[dict[str, tuple[str, str, int, dict[str, str]]]] = {}
_VIAS_BEHIND_BRANCH: Final[dict[str, dict[str, str]]] = {}
_NO_PARAMS: Final[dict[str, str]] = {}
_MAX_REMEMBERED: Final = 1024
_MAX_REMEMBERED_LENGTH: Final = 200

_PARAM: Final = re.compile(
    rf"[{TOKEN_CHARS}]++(?:[ \t]*+=[ \t]*+(?:[{TOKEN_CHARS}:\[\]@/]*+|{QUOTED_STRING}))?"
)
_VIA_START: Final = re.compile(
    r"[ \t]*+SIP[ \t]*+/[ \t]*+([0-9]++\.[0-9]++)[ \t]*+/[ \t]*+"
    rf"([{TOKEN_CHARS}]++)[ \t]++"
    r"([A-Za-z0-9._\-]++|\[[0-9A-Fa-f:.]++\])(?:[ \t]*+:[ \t]*+([0-9]{1,5})(?![0-9]))?[ \t]*+",
    re.IGNORECASE,
)
_NAME_ADDR: Final = re.compile(
    rf"({QUOTED_STRING}[ \t]*+|[^\x00-\x08\x0a-\x1f\x7f\"(),/:;<=>?@\[\\\]{{}}]*+)"
    r'<([^\x00-\x20<>"\x7f]++)>[ \t]*+'
)
_ADDR_SPEC: Final = re.compile(r'([^\x00-\x20<>"\x7f;,?]++)[ \t]*+')
_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*+:.")
_VALUE_THAT_NEEDS_NO_QUOTES: Final = re.compile(rf"[{TOKEN_CHARS}:\[\]@/]*")
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE: Final = re.compile(r'["\\\x00-\x08\x0a-\x1f\x7f]')
# Up to the next separator of one's own. A quote or bracket that is never closed reaches to the end, so that
# nothing is looked at twice.
_ELEMENT: Final = {
    separator: re.compile(
        rf'((?:[^"<{separator}]++|"[^"\\]*+(?:\\(?:.|\Z)[^"\\]*+)*(?:"|\Z)|<[^>]*+(?:>|\Z))*)'
        rf"({separator}|\Z)",
        re.DOTALL,
    )
    for separator in (",", ";")
}


def _plain_via(text: str) -> Via:
    match = _PLAIN_VIA.fullmatch(text)
    if match is None:
        return _any_via(text)
    transport, host, port_text, flag, branch, behind = match.groups()
    port = int(port_text) if port_text else 0
    flags = {"rport": ""} if flag else _NO_PARAMS
    added: dict[str, str] = {}
    if behind:
        for item in behind[1:].split(";"):
            name, _, value = item.partition("=")
            added.setdefault(name, value)
    if len(text) <= _MAX_REMEMBERED_LENGTH:
        if len(_VIAS_BEFORE_BRANCH) >= _MAX_REMEMBERED or len(_VIAS_BEHIND_BRANCH) >= _MAX_REMEMBERED:
            _VIAS_BEFORE_BRANCH.clear()
            _VIAS_BEHIND_BRANCH.clear()
        _VIAS_BEFORE_BRANCH[text.partition(";branch=")[0]] = transport, host, port, flags
        if behind:
            _VIAS_BEHIND_BRANCH[behind[1:]] = added
    return Via(transport, host, port, {**flags, "branch": branch, **added, **flags})


def _any_via(text: str) -> Via:
    match = _VIA_START.match(text)
    if match is None:
        raise MalformedHeader("Via: protocol, transport or sent-by")
    version, transport, host, port_text = match.groups()
    port = int(port_text or "0")
    if port > 65535:
        raise MalformedHeader("Via: port")
    try:
        host = read_host(host)
    except MalformedUri:
        raise MalformedHeader("Via: host") from None
    params = _read_params(text[match.end() :], "Via")
    for name in ("received", "maddr"):
        value = params.get(name, "")
        if value.startswith("[") and value.endswith("]"):
            params[name] = value[1:-1]
    return Via(transport.upper(), host, port, params, version)


def _any_name_addr(text: str) -> NameAddr:
    match = _NAME_ADDR.match(text)
    if match is not None:
        display = match[1].strip(" \t")
        if display.startswith('"'):
            display = _unquote(display)
        elif "\t" in display or "  " in display:
            display = " ".join([word for word in display.replace("\t", " ").split(" ") if word])
    else:
        match = _ADDR_SPEC.match(text)
        if match is None:
            raise MalformedHeader("name-addr")
        display = ""
    uri = match[match.lastindex or 0]
    if _ABSOLUTE.match(uri) is None:
        raise MalformedHeader("name-addr: URI")
    return NameAddr(display, uri, _read_params(text[match.end() :], "name-addr"))


def _read_params(text: str, where: str) -> dict[str, str]:
    """`*(SEMI generic-param)`, the first of two with the same name counts; IPv6 addresses stand with or
    without brackets."""
    params: dict[str, str] = {}
    if not text:
        return params
    if text.count(";") > MAX_PARAMS:
        raise MalformedHeader(f"{where}: too many parameters")
    items = _split(text, ";")
    if items[0]:
        raise MalformedHeader(f"{where}: something behind the value")
    for item in items[1:]:
        if _PARAM.fullmatch(item) is None:
            raise MalformedHeader(f"{where}: parameter")
        name, value = _name_and_value(item)
        params.setdefault(name, value)
    return params


def _name_and_value(item: str) -> tuple[str, str]:
    name, _, value = item.partition("=")
    value = value.lstrip(" \t")
    return name.rstrip(" \t").lower(), _unquote(value) if value.startswith('"') else value


def _params_text(params: dict[str, str]) -> str:
    text = ""
    for name, value in params.items():
        if not value:
            text += f";{name}"
        elif _VALUE_THAT_NEEDS_NO_QUOTES.fullmatch(value) is not None:
            text += f";{name}={value}"
        else:
            text += f";{name}={_quote(value)}"
    return text


def _split(text: str, separator: str) -> list[str]:
    """Every element, stripped, empty ones included."""
    if '"' not in text and "<" not in text:
        return [element.strip(" \t") for element in text.split(separator)]
    elements: list[str] = []
    for element, end in _ELEMENT[separator].findall(text):
        elements.append(element.strip(" \t"))
        if not end:
            break
    return elements


def _quote(text: str) -> str:
    return '"' + _TO_ESCAPE.sub(_backslash, text) + '"'


def _backslash(match: re.Match[str]) -> str:
    return "\\" + match[0]


def _unquote(quoted: str) -> str:
    inner = quoted[1:-1]
    return _QUOTED_PAIR.sub(r"\1", inner) if "\\" in inner else inner
