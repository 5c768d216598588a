"""Messages as nearly all traffic writes them, read with one pattern over the whole head (RFC 3261 section 25).

One look proves the start line and what every message must have, and picks the values out, in about half the time
that a walk over the lines takes. It knows the usual spellings only, and white space only where it belongs; what it
refuses may still be right: `engine.sip.message` then goes through it header by header, and would make the very same
message of what is taken here.
"""

from __future__ import annotations

import re
from typing import Final

from engine.sip.grammar import FIELD_NAMES, TOKEN_CHARS, field_name
from engine.sip.headers import MalformedHeader, NameAddr, Via, remembered_via
from engine.sip.incoming import Request, Response
from engine.sip.uri import PLAIN_SIP_URI


def everyday_message(head: str, body: bytes) -> Request | Response | None:
    """The message with this head, its last line end included; None when the head is not everyday or something in
    the message may be wrong."""
    match = EVERYDAY_HEAD.fullmatch(head)
    if match is None:
        return None
    (
        status, phrase, method, uri,
        before_branch, branch, behind_branch,
        from_, from_tag, to, to_tag, call_id, number, cseq_method,
        contact_uri, contact_rest, forwards, content_type, length, others,
    ) = match.groups()  # fmt: skip
    if from_ is None or to is None or call_id is None or number is None or branch is None:
        return None
    via = f"{before_branch};branch={branch}"
    if behind_branch is not None:
        via = f"{via};{behind_branch}"
    fields = {
        "via": [via],
        "from": [from_],
        "to": [to],
        "call-id": [call_id],
        "cseq": [f"{number} {cseq_method}"],
    }
    contact: NameAddr | None = None
    if contact_uri is not None:
        if contact_rest:
            fields["contact"] = [f"<{contact_uri}>{contact_rest}".rstrip(" \t")]
        else:
            fields["contact"] = [f"<{contact_uri}>"]
            contact = NameAddr("", contact_uri, {})
    if forwards is not None:
        fields["max-forwards"] = [forwards]
    if content_type is not None:
        fields["content-type"] = [content_type]
    if length is not None:
        fields["content-length"] = [length]
        octets = int(length)
        if octets != len(body):
            if octets > len(body):
                return None
            body = body[:octets]
    lines = 1 + len(fields)
    if others is not None:
        lines += _add_others(fields, others)
    if head.count("\r\n") != lines:
        return None  # a header again, or others at several places
    top_via = remembered_via(before_branch, branch, behind_branch)
    if top_via is None:
        try:
            top_via = Via.parse(via)
        except MalformedHeader:
            return None
    if method is None:
        return Response(
            int(status), phrase, fields, body, top_via,
            call_id, int(number), cseq_method, from_tag or "", to_tag or "", contact,
        )  # fmt: skip
    if method != cseq_method:
        return None
    request = Request(
        method, uri, fields, body, top_via,
        call_id, int(number), method, from_tag or "", to_tag or "", contact,
    )  # fmt: skip
    return None if contact_rest and request.contact is None else request


_TOKEN: Final = f"[{TOKEN_CHARS}]++"
_URI: Final = r"[A-Za-z][A-Za-z0-9+.\-]*+:[A-Za-z0-9\-_.!~*'()&=+$,;?/%:@\[\]]++"
_NAME_ADDR: Final = rf'(?:(?:"[^"\\\x00-\x1f\x7f]*+"|{_TOKEN}(?: {_TOKEN})*) ?+)?<{_URI}>'
_READ: Final = "(?:From|To|C(?:all-ID|Seq|ont(?:act|ent-(?:Type|Length)))|Max-Forwards)"

EVERYDAY_HEAD: Final = re.compile(
    rf"(?:SIP/2\.0 ([1-6][0-9]{{2}}) ([^\r\n]*+)|([A-Z]++) ({PLAIN_SIP_URI.pattern}) SIP/2\.0)\r\n"
    r"(?:(?:"
    # Where the first Via is known already (group 5), another one is among the others.
    rf"Via: (?(5)(?!))(SIP/2\.0/[A-Z]++ [!-+\-.-:<-~]++(?:;rport)?);branch=({_TOKEN})(?:;([!-+\--~]++))?"
    rf"|From: ({_NAME_ADDR}(?:;tag=({_TOKEN}))?)"
    rf"|To: ({_NAME_ADDR}(?:;tag=({_TOKEN}))?)"
    r"|Call-ID: ([!-~]++)"
    r"|CSeq: ([0-9]{1,9}) ([A-Z]++)"
    rf"|Contact: <({_URI})>([^\r\n]*+)"
    r"|Max-Forwards: ([0-9]{1,2})"
    r"|Content-Type: ([!-~]++)"
    r"|Content-Length: ([0-9]{1,9})"
    r")\r\n"
    # Other headers that stand together. There is one way only to match any line, or 64 lines had 2**64 ways: these
    # are not read above, come behind the first Via, and are taken up to the next one that is read.
    rf"|(?(5)((?:(?!{_READ}: )[A-Z][A-Za-z0-9\-]++:[^\r\n]*+\r\n){{1,64}})(?={_READ}: |\Z)|(?!))"
    r"){1,64}"
)
_READ_AT_MOST_ONCE: Final = frozenset(
    ("from", "to", "call-id", "cseq", "contact", "max-forwards", "content-type", "content-length")
)


def _add_others(fields: dict[str, list[str]], others: str) -> int:
    """Adds these header lines and says how many they are; -1 when one of those that the pattern reads is among them in
    another spelling."""
    lines = others.split("\r\n")
    lines.pop()
    for line in lines:
        spelling, _, value = line.partition(":")
        name = FIELD_NAMES.get(spelling) or field_name(spelling)
        value = value.strip(" \t")
        if name in _READ_AT_MOST_ONCE:
            return -1
        if name in fields:
            fields[name].append(value)
        else:
            fields[name] = [value]
    return len(lines)
