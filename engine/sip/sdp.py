"""What of a session description may reach the other leg (RFC 4566, 3264): an allow-list, line by line.

A value crosses only when it matches the grammar of its line, and the grammars are narrow: no `@`, no URI but
a well-known URN, no host name or address outside `c=`, no number as long as a telephone number where the
attribute has no need for one.
"""

from __future__ import annotations

import re
from typing import Final

from engine.sip.uri import is_ipv6

MAX_LINES: Final = 1000
MAX_LINE: Final = 2048
"""Characters of a line that is looked at; codec parameters in base64 stay far below."""


class MalformedSdp(ValueError):
    """A text that is no session description. The message says what, never the value itself."""


def masked_session(text: str) -> str:
    """The session without `v=`, `o=` and `s=`, which the leg writes in front itself, and without everything
    that is not on the allow-list; every line ends with CRLF. Raises MalformedSdp.

    Media lines keep number and order, `c=` and `m=` must be right. `t=0 0` stands in for a missing or odd
    time, because RFC 4566 section 5.9 wants one. Keys (`k=`) go: they are for nobody's eyes.
    """
    everyday = _EVERYDAY_SESSION.fullmatch(text)
    return everyday[1] if everyday is not None else _line_by_line(text)


def _line_by_line(text: str) -> str:
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        raise MalformedSdp("too many lines")
    if "\0" in text:
        raise MalformedSdp("binary")
    if lines[0] != "v=0\r" and lines[0].rstrip() != "v=0":
        raise MalformedSdp("does not begin with v=0")
    kept: list[str] = []
    timed = False
    timing = True  # until the first attribute or media line
    for line in lines:
        if line.endswith("\r"):
            line = line[:-1]
        if line in _EVERYDAY_ATTRIBUTES:
            if timed:
                timing = False
                kept.append(line)
                continue
            kind = "a"
        elif line[1:2] == "=":
            kind = line[0]
        elif line.strip(" \t"):
            raise MalformedSdp("a line without type")
        else:
            continue
        if kind == "a" or kind == "m":
            timing = False
            if not timed:
                kept.append("t=0 0")
                timed = True
            kept_line = _attribute(line) if kind == "a" else _media(line)
            if kept_line:
                kept.append(kept_line)
        elif kind == "c":
            kept.append(_connection(line))
        elif kind == "t":
            if timing and _TIME.fullmatch(line) is not None:
                kept.append(line)
                timed = True
        elif kind == "b":
            if _BANDWIDTH.fullmatch(line) is not None:
                kept.append(line)
        elif kind == "r" or kind == "z":
            if timing and timed and (_REPEAT if kind == "r" else _ZONES).fullmatch(line) is not None:
                kept.append(line)
    if not timed:
        kept.append("t=0 0")
    kept.append("")
    return "\r\n".join(kept)


def _media(line: str) -> str:
    if len(line) > MAX_LINE:
        raise MalformedSdp("long media line")
    match = _MEDIA.fullmatch(line)
    if match is None:
        match = _MEDIA.fullmatch(_tidy(line))
    if match is None or int(match[1]) > 65535:
        raise MalformedSdp("media line")
    return match[0]


def _connection(line: str) -> str:
    match = _CONNECTION.fullmatch(line)
    if match is None:
        match = _CONNECTION.fullmatch(_tidy(line))
    if match is None or (match[1] is not None and not is_ipv6(match[1].lower())):
        raise MalformedSdp("connection line")
    return match[0]


def _attribute(line: str) -> str:
    """The attribute line as it may cross, "" when it may not."""
    if len(line) > MAX_LINE:
        return ""
    name, _, value = line[2:].partition(":")
    grammar = _ATTRIBUTES.get(name)
    if grammar is None or grammar.fullmatch(value) is None:
        name, value = name.strip(" \t"), _tidy(value)
        if name.startswith(("T38", "t38")):
            # Written in many ways; RFC 4566 section 6 has attribute names case-sensitive all the same.
            name = _T38_SPELLINGS.get(name.lower(), "")
        grammar = _ATTRIBUTES.get(name)
        if grammar is None or grammar.fullmatch(value) is None:
            return ""
        line = f"a={name}:{value}"
    if not value:
        return f"a={name}"
    if name == "fmtp" and not _harmless(value.partition(" ")[2]):
        return ""
    if name == "rtcp":
        # Port only (RFC 3605); the address would be one more that has to be hidden.
        return f"a=rtcp:{value.partition(' ')[0]}"
    return line


def _harmless(parameters: str) -> bool:
    """True for codec parameters without anything that may be a telephone number, however it is spaced. Data of a
    codec in hexadecimal or base64 is full of digits and known by its parameter's name."""
    if _LONG_NUMBER.search(parameters) is None:
        return True
    others = []
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        grammar = _CODEC_DATA.get("sprop" if name.startswith("sprop-") else name)
        if grammar is None or grammar.fullmatch(value) is None:
            others.append(parameter)
    return _LONG_NUMBER.search(";".join(others)) is None


def _tidy(text: str) -> str:
    """White space as the grammars want it."""
    return " ".join(text.split())


# Words of letters that may end in a few digits: a number of a telephone does not fit in.
_MEDIA: Final = re.compile(
    r"m=[A-Za-z][A-Za-z\-]{0,31} ([0-9]{1,5})(?:/[0-9]{1,3})? [A-Za-z]{1,16}"
    r"(?:/(?![0-9]{7})[A-Za-z0-9]{1,16}+){0,5}"
    r"(?: (?:[0-9]{1,3}+|(?![A-Za-z0-9\-]*[0-9]{5})[A-Za-z][A-Za-z0-9\-]{0,30}+|\*))+"
)
# RFC 4566 section 5.7: an address, a multicast with TTL and count, or a host name; no name with a long
# number.
_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})"
_HOST_NAME: Final = r"(?=[0-9.\-]*[A-Za-z])(?![A-Za-z0-9.\-]*[0-9]{9})[A-Za-z0-9][A-Za-z0-9.\-]{0,252}"
_CONNECTION: Final = re.compile(
    rf"c=IN (?:IP4 (?:{_OCTET}(?:\.{_OCTET}){{3}}(?:/[0-9]{{1,3}}){{0,2}}|{_HOST_NAME})"
    rf"|IP6 (?:([0-9A-Fa-f]{{0,4}}:[0-9A-Fa-f:.]{{1,44}})(?:/[0-9]{{1,3}})?|{_HOST_NAME}))"
)
_TIME: Final = re.compile(r"t=[0-9]{1,10} [0-9]{1,10}")
_BANDWIDTH: Final = re.compile(r"b=[A-Z][A-Za-z\-]{0,15}:[0-9]{1,8}")
_REPEAT: Final = re.compile(r"r=[0-9]{1,8}[dhms]?(?: [0-9]{1,8}[dhms]?){2,20}")
_ZONES: Final = re.compile(r"z=[0-9]{1,10} -?[0-9]{1,6}[dhms]?(?: [0-9]{1,10} -?[0-9]{1,6}[dhms]?){0,20}")

_FLAG: Final = re.compile("")
_SMALL_NUMBER: Final = re.compile(r"[0-9]{1,8}")
_DECIMAL: Final = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,3})?")

# Nine digits, whatever stands between and beside them.
_LONG_NUMBER: Final = re.compile(r"[0-9](?:[ .()\-_|*\"]*+[0-9]){8}")
_SET: Final = (
    r"(?=(?:[0-9+/]*+[A-Za-z]){6})(?!.*[0-9]{9})"
    r"(?:[A-Za-z0-9+/]{4}){2,256}(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
)
_CODEC_DATA: Final[dict[str, re.Pattern[str]]] = {
    # Whole octets; a short one must not look like a mobile number.
    "config": re.compile(r"(?:(?=.{24})|(?=[0-9]*+[A-Fa-f])(?!.*1[3-9][0-9]{9}))(?:[0-9A-Fa-f]{2}){2,256}"),
    "interop-constraints": re.compile("[0-9A-Fa-f]{1,3}0{9,11}"),  # of H.265: 48 flags, nearly all reserved
    "sprop": re.compile(f"{_SET}(?:,{_SET}){{0,7}}"),
}
_PRECONDITION_STATUS: Final = "(?:e2e|local|remote) (?:none|send|recv|sendrecv)"
_MID: Final = r"(?!(?:[A-Za-z_\-]*+[0-9]){7})[A-Za-z0-9_\-]{1,32}"
_INLINE_KEY: Final = (
    r"inline:(?=(?:[0-9+/]*+[A-Za-z]){8})[A-Za-z0-9+/]{37,126}={0,2}"
    r"(?:\|(?:2\^[0-9]{1,2}|[0-9]{1,8}))?(?:\|[0-9]{1,4}:[0-9]{1,3})?"
)
_HEXADECIMAL: Final = "[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})"

# RFC 6236 section 3.1, with numbers of five digits at most.
_SIZE: Final = r"[1-9][0-9]{0,4}"
_SIZES: Final = rf"(?:{_SIZE}|\[{_SIZE}(?::{_SIZE}){{1,2}}\]|\[{_SIZE}(?:,{_SIZE}){{1,8}}\])"
_RATIO: Final = r"(?:0\.[1-9][0-9]{0,3}|[1-9]\.[0-9]{1,4})"
_RATIOS: Final = rf"(?:{_RATIO}|\[{_RATIO}-{_RATIO}\]|\[{_RATIO}(?:,{_RATIO}){{1,8}}\])"
_IMAGE: Final = (
    rf"\[x={_SIZES},y={_SIZES}"
    rf"(?:,sar={_RATIOS}|,par=\[{_RATIO}-{_RATIO}\]|,q=(?:0\.[0-9]{{1,2}}|1\.0{{1,2}})){{0,3}}\]"
)
_ONE_OR_ZERO: Final = re.compile("|[01]")

_ATTRIBUTES: Final[dict[str, re.Pattern[str]]] = {
    "sendrecv": _FLAG,
    "sendonly": _FLAG,
    "recvonly": _FLAG,
    "inactive": _FLAG,
    "rtpmap": re.compile(
        r"[0-9]{1,3} (?!(?:[A-Za-z+_\-]*+[0-9]){8})[A-Za-z0-9][A-Za-z0-9+_\-]{0,39}"
        r"/[1-9][0-9]{0,6}(?:/[1-9][0-9]?)?"
    ),
    # Any codec's parameters, so by characters: no ":" or "@" (URIs), a point only inside a number and only
    # one (host names, addresses). `_harmless` looks for numbers.
    "fmtp": re.compile(
        r"(?:[0-9]{1,3}|[A-Za-z][A-Za-z\-]{0,31}|\*) "
        r"(?:[A-Za-z0-9 ;=,/+\-_*\"|]++|(?<=[0-9])(?<!\.[0-9])(?<!\.[0-9]{2})(?<!\.[0-9]{3})\.(?=[0-9]))+"
    ),
    "ptime": _DECIMAL,
    "maxptime": _DECIMAL,
    "framerate": _DECIMAL,
    "rtcp": re.compile(r"[0-9]{1,5}(?: IN IP[46] [A-Za-z0-9.:\-]{1,255})?"),
    "rtcp-mux": _FLAG,
    "rtcp-rsize": _FLAG,
    "rtcp-fb": re.compile(
        r"(?!.* [0-9]++ [0-9])(?:[0-9]{1,3}|\*)(?: [a-z][a-z\-]{0,31}(?:=[0-9]{1,6})?| [0-9]{1,6}){1,6}"
    ),
    "extmap": re.compile(
        r"[0-9]{1,4}(?:/(?:sendrecv|sendonly|recvonly|inactive))? urn:(?:ietf:params:rtp-hdrext|3gpp):"
        r"(?!(?:[A-Za-z:\-]*+[0-9]){7})[A-Za-z][A-Za-z0-9:\-]{0,62}"
    ),
    "imageattr": re.compile(
        rf"(?:[0-9]{{1,3}}|\*)(?: (?:send|recv) (?:\*|{_IMAGE}(?: {_IMAGE}){{0,8}})){{1,2}}"
    ),
    "content": re.compile(r"(?:slides|speaker|sl|main|alt)(?:,(?:slides|speaker|sl|main|alt)){0,4}"),
    "mid": re.compile(_MID),
    "group": re.compile(rf"[A-Z][A-Z\-]{{1,15}}(?: {_MID}){{0,64}}"),
    "crypto": re.compile(
        rf"[0-9]{{1,4}} (?!(?:[A-Za-z_]*+[0-9]){{9}})[A-Z][A-Za-z0-9_]{{1,40}} {_INLINE_KEY}(?:;{_INLINE_KEY}){{0,7}}"
        r"(?: (?:KDR=[0-9]{1,2}|WSH=[0-9]{1,5}|UNENCRYPTED_SRTP|UNENCRYPTED_SRTCP|UNAUTHENTICATED_SRTP"
        r"|FEC_ORDER=[A-Z_]{1,12})){0,6}"
    ),
    "fingerprint": re.compile(
        rf"(?i:md[25] {_HEXADECIMAL}{{15}}|sha-1 {_HEXADECIMAL}{{19}}|sha-224 {_HEXADECIMAL}{{27}}"
        rf"|sha-256 {_HEXADECIMAL}{{31}}|sha-384 {_HEXADECIMAL}{{47}}|sha-512 {_HEXADECIMAL}{{63}})"
    ),
    "setup": re.compile("active|passive|actpass|holdconn"),
    "connection": re.compile("new|existing"),
    "tls-id": re.compile(
        # Random, so digits are among letters.
        r"(?=(?:[0-9+/_\-]*+[A-Za-z]){5})(?!.*1[+/_\-]*+[3-9](?:[+/_\-]*+[0-9]){9})[A-Za-z0-9+/_\-]{20,255}"
    ),
    "curr": re.compile(f"(?:qos|sec) {_PRECONDITION_STATUS}"),
    "des": re.compile(f"(?:qos|sec) (?:mandatory|optional|none|failure|unknown) {_PRECONDITION_STATUS}"),
    "conf": re.compile(f"(?:qos|sec) {_PRECONDITION_STATUS}"),
    # T.38 annex D.
    "T38FaxVersion": re.compile("[0-9]{1,2}"),
    "T38MaxBitRate": _SMALL_NUMBER,
    "T38FaxFillBitRemoval": _ONE_OR_ZERO,
    "T38FaxTranscodingMMR": _ONE_OR_ZERO,
    "T38FaxTranscodingJBIG": _ONE_OR_ZERO,
    "T38FaxRateManagement": re.compile("localTCF|transferredTCF"),
    "T38FaxMaxBuffer": _SMALL_NUMBER,
    "T38FaxMaxDatagram": _SMALL_NUMBER,
    "T38FaxMaxIFP": _SMALL_NUMBER,
    "T38FaxUdpEC": re.compile("t38UDPNoEC|t38UDPRedundancy|t38UDPFEC"),
    "T38FaxUdpECDepth": re.compile("[0-9]{1,3}(?: [0-9]{1,3})?"),
    "T38FaxUdpFECMaxSpan": _SMALL_NUMBER,
    "T38ModemType": re.compile("t38G3FaxOnly|V34|t38V34"),
}

_T38_SPELLINGS: Final = {name.lower(): name for name in _ATTRIBUTES if name.startswith("T38")}

# Lines of nearly every audio session; each would pass the grammar above as well.
_EVERYDAY_ATTRIBUTES: Final = frozenset(
    {
        "a=sendrecv",
        "a=sendonly",
        "a=recvonly",
        "a=inactive",
        "a=ptime:20",
        "a=rtcp-mux",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:18 G729/8000",
        "a=fmtp:18 annexb=no",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=fmtp:101 0-16",
    }
)

# The audio session of nearly every call, in one look: what crosses of it is the group, as it stands. Each of its
# lines would pass line by line as well, and there are far fewer than MAX_LINES.
_EVERYDAY_SESSION: Final = re.compile(
    r"v=0\r\no=[^\0\r\n]*+\r\ns=[^\0\r\n]*+\r\n"
    rf"(c=IN IP4 {_OCTET}(?:\.{_OCTET}){{3}}\r\nt=0 0\r\n"
    r"m=audio [1-5]?[0-9]{1,4} RTP/AVP(?: [0-9]{1,3}+){1,32}\r\n"
    rf"(?:(?:{'|'.join([re.escape(line) for line in sorted(_EVERYDAY_ATTRIBUTES)])})\r\n){{0,64}})"
)
