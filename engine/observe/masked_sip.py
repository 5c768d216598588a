"""A SIP message as it may be shown: real numbers masked, and nothing in it that could hold one unseen.

Default deny, as between the legs: headers and bodies that are not known here are named but not shown, since a
number may stand in them in base64, in BCD or spelt out. What is shown goes through `engine.observe.masking`,
which errs on the side of masking, and beyond that loses every run of digits that is long enough to hold a mobile
number and is no 700 number. The message stays SIP that a parser takes, with the Content-Length that it now has.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from engine.observe.masking import masked

_HIDDEN: Final = "hidden"

# Headers whose values are shown, numbers masked; the short forms of RFC 3261 7.3.3 among them.
_SHOWN: Final = frozenset(
    (
        *(
            "via",
            "v",
            "from",
            "f",
            "to",
            "t",
            "contact",
            "m",
            "call-id",
            "i",
            "cseq",
            "max-forwards",
            "route",
            "record-route",
            "path",
            "service-route",
        ),
        *(
            "content-type",
            "c",
            "content-length",
            "l",
            "content-disposition",
            "content-encoding",
            "e",
            "mime-version",
        ),
        *(
            "allow",
            "allow-events",
            "u",
            "supported",
            "k",
            "require",
            "proxy-require",
            "unsupported",
            "accept",
            "accept-encoding",
            "accept-language",
        ),
        *(
            "expires",
            "min-expires",
            "session-expires",
            "x",
            "min-se",
            "rseq",
            "rack",
            "event",
            "o",
            "subscription-state",
            "retry-after",
            "reason",
        ),
        *(
            "p-asserted-identity",
            "p-preferred-identity",
            "remote-party-id",
            "privacy",
            "diversion",
            "history-info",
            "p-early-media",
        ),
        *("user-agent", "server", "timestamp", "date"),
    )
)
_NUMERIC: Final = frozenset(("cseq", "rack", "rseq"))
_CALL_ID: Final = frozenset(("call-id", "i"))
_LENGTH: Final = frozenset(("content-length", "l"))
_TYPE: Final = frozenset(("content-type", "c"))

_GAP = r"[-. ()/\u00a0]{0,3}"
_LONG = re.compile(rf"\d(?:{_GAP}\d){{6}}")  # only where one is can there be a number
_RUN = re.compile(r"\d{11,}")
_USER = re.compile(r"(?i)\b(?:sips?:[^@\s<>\"]*@|tel:[^\s<>\",]*)")
_USER_RUN = re.compile(r"(?<![0-9A-Za-z])\d(?:[-. ()]?\d){6,}(?![0-9A-Za-z])")  # no part of a token
_MASKED_NUMBER = re.compile(r"(?:00)?(?:86)?700\d{12}")
_FOLD = re.compile(r"\r?\n[ \t]+")  # RFC 3261 7.3.1
_ESCAPED = re.compile(r"%(2[0-9A-Fa-f]|3[0-9])")  # digits and their separators, spelt out
_NOT_DIGIT = re.compile(r"\D+")

# Lists of numbers by their grammar, that of RFC 3261 and RFC 8866: there only each word is looked at, not what
# several of them would make together. What does not keep to the grammar is not shown, or looked at as text.
_NUMERIC_VALUE = re.compile(r"\d{1,10}(?: \d{1,10})?(?: [A-Z]+)?")
_SDP_GRAMMAR: Final = {
    "v": re.compile(r"v=\d"),
    "o": re.compile(r"o=\S+ \d+ \d+ IN IP[46] \S+"),
    "c": re.compile(r"c=IN IP[46] \S+"),
    "t": re.compile(r"t=\d{1,10} \d{1,10}"),
    "b": re.compile(r"b=[A-Za-z-]+:\d{1,10}"),
    "m": re.compile(r"m=[a-z]+ \d{1,5}(?:/\d{1,3})? [A-Za-z0-9/]+(?: \d{1,3}| [A-Za-z*]\S*)*"),
}
_SDP_KEYS: Final = re.compile(r"(?i)a=(?:crypto|key-mgmt)[: ]")


def masked_message(data: bytes, key: bytes) -> bytes:
    """The message, masked. `key` (16 to 64 random bytes of this process) keeps Call-IDs apart that masking
    would make equal, without telling what was masked."""
    text = data.decode("utf-8", "surrogateescape")
    head, blank, body = text.partition("\r\n\r\n")
    end = "\r\n"
    if not blank and "\r\n" not in head:
        head, blank, body = text.partition("\n\n")  # some senders know no better
        end = "\n"
    lines = _FOLD.sub(" ", head).split(end)
    shown = [masked_text(lines[0])]
    content_type = ""
    lengths: list[int] = []
    for line in lines[1:]:
        written, _, value = line.partition(":")
        name = written.strip().lower()
        if name in _CALL_ID:
            shown.append(f"{written}: {masked_call_id(value.strip(), key)}")
        elif name in _NUMERIC:
            numeric = _NUMERIC_VALUE.fullmatch(value.strip()) is not None
            shown.append(line if numeric else masked_text(line))
        elif name in _SHOWN:
            if name in _LENGTH:
                lengths.append(len(shown))
            elif name in _TYPE:
                content_type = value
            shown.append(masked_text(line))
        else:
            shown.append(f"{_known_name(written)}: {_HIDDEN}")
    if body:
        body = _masked_body(body, content_type)
        length = len(body.encode("utf-8", "surrogateescape"))
        for place in lengths:
            shown[place] = f"{shown[place].partition(':')[0]}: {length}"
    return (end.join(shown) + blank + body).encode("utf-8", "surrogateescape")


def masked_call_id(call_id: str, key: bytes) -> str:
    """A Call-ID: one that a number was taken out of gets a mark of its own, the same for the same Call-ID."""
    hidden = masked_text(call_id)
    if hidden == call_id:
        return call_id
    mark = blake2b(call_id.encode("utf-8", "surrogateescape"), key=key, digest_size=4).hexdigest()
    local, at, host = hidden.partition("@")
    return f"{local}~{mark}{at}{host}"


def masked_text(text: str) -> str:
    """One line of a message, without its end."""
    if "%" in text:
        text = _ESCAPED.sub(_spoken, text)
    if _LONG.search(text) is None:
        return text
    text = masked(text)
    if _RUN.search(text) is not None:
        text = _RUN.sub(_without_middle, text)
    return _USER.sub(_masked_user, text)


def _masked_body(body: str, content_type: str) -> str:
    """A session description line by line; of anything else only how long it was."""
    if content_type.partition(";")[0].strip().lower() != "application/sdp":
        return f"{_HIDDEN}: {len(body)} characters\r\n"
    return "\r\n".join(map(_masked_sdp_line, body.replace("\r\n", "\n").split("\n")))


def _masked_sdp_line(line: str) -> str:
    kind = line[:1]
    grammar = _SDP_GRAMMAR.get(kind)
    if grammar is not None and grammar.fullmatch(line):
        return " ".join([_masked_word(word) for word in line.split(" ")])
    if kind == "a" and line[1:2] == "=":
        return f"{line.partition(':')[0]}:{_HIDDEN}" if _SDP_KEYS.match(line) else masked_text(line)
    return f"{kind}=-" if kind.isalpha() else ""


def _masked_word(word: str) -> str:
    """What is a number by its grammar stays one; none of ten digits or less is a telephone number."""
    if word.isascii() and word.isdigit():
        return word if len(word) <= 10 else word[:3] + word[-4:]
    return masked_text(word)


def _known_name(written: str) -> str:
    """A header's name may be anything that somebody wrote before a colon."""
    return masked_text(written) if written.strip() else "X"


def _without_middle(found: re.Match[str]) -> str:
    digits = found[0]
    if _MASKED_NUMBER.fullmatch(digits):
        return digits
    return f"{digits[:3]}****{digits[-4:]}"


def _masked_user(found: re.Match[str]) -> str:
    return _USER_RUN.sub(_masked_user_run, found[0])


def _masked_user_run(found: re.Match[str]) -> str:
    digits = _NOT_DIGIT.sub("", found[0])
    if _MASKED_NUMBER.fullmatch(digits):
        return found[0]
    return f"{digits[:3]}****{digits[-2:]}" if len(digits) < 11 else f"{digits[:3]}****{digits[-4:]}"


def _spoken(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] in _SPELT else found[0]


_SPELT: Final = frozenset(("2B", "2b", "2D", "2d", "2E", "2e", "28", "29", *(f"3{n}" for n in range(10))))
