"""SIP messages as they arrive: bytes in, a checked Request or Response out (RFC 3261 sections 7 and 8.1.1)."""

from __future__ import annotations

import re
from typing import Final

from engine.sip.everyday import everyday_message
from engine.sip.grammar import FIELD_NAMES, METHODS, TOKEN_CHARS, field_name, is_token, number_up_to
from engine.sip.headers import PLAIN_NAME_ADDR, MalformedHeader, Via, first_of_list
from engine.sip.incoming import MalformedMessage, Message, Request, Response
from engine.sip.lines import MAX_LINES, unfold, unusual_lines
from engine.sip.uri import PLAIN_SIP_URI, MalformedUri, SipUri, parse_uri

__all__ = [
    "MALFORMED_KINDS",
    "MAX_CSEQ",
    "MalformedMessage",
    "Message",
    "Request",
    "Response",
    "parse_message",
]

MAX_CSEQ = 2**31 - 1

_KINDS: Final = """empty start_line version method uri status header size via from to call_id cseq length max_forwards
contact content_type"""
MALFORMED_KINDS: Final = tuple(_KINDS.split())
"""Every `MalformedMessage.kind` there is."""


def parse_message(data: bytes) -> Request | Response:
    """One datagram, or one message that StreamFramer cut out, as a checked message. Raises MalformedMessage.

    Checked are: start line and version, the mandatory headers once each and parseable, CSeq against method
    and 2**31, Max-Forwards 0 to 255, the Request-URI, the first Contact of requests, Content-Length against
    what is there (a surplus of the datagram is cut off, RFC 3261 section 18.3).
    """
    end = data.find(b"\r\n\r\n")
    head = data[: end + 2].decode("utf-8", "surrogateescape")
    body = data[end + 4 :]
    message = everyday_message(head, body)
    if message is not None:
        return message
    if end > 0 and head[0] > "\r":
        lines = head.split("\r\n")
        lines.pop()
        count = len(lines)
        if count <= 1 + MAX_LINES and head.count("\n") == count and head.count("\r") == count:
            return _read(lines, body, "", "")
    lines, body, kind, detail = unusual_lines(data)
    if kind == "empty":
        raise MalformedMessage(kind, detail)
    return _read(lines, body, kind, detail)


_VERSION: Final = re.compile(r"SIP/[0-9]+\.[0-9]+", re.IGNORECASE)
_CSEQ: Final = re.compile(rf"([0-9]++)[ \t]++([{TOKEN_CHARS}]++)")
_ONCE: Final = {
    "from": "from",
    "to": "to",
    "call-id": "call_id",
    "cseq": "cseq",
    "max-forwards": "max_forwards",
    "content-length": "length",
    "content-type": "content_type",
}
# An answer copies the Vias; more than these is no path but an attack.
_MAX_VIAS_OF_AN_ANSWER: Final = 100


def _read(lines: list[str], body: bytes, kind: str, detail: str) -> Request | Response:
    """The message of these lines; `kind` and `detail` name a fault found before ("" for none)."""
    fields: dict[str, list[str]] = {}
    repeated = False
    names = FIELD_NAMES
    rest = iter(lines)
    start = next(rest)
    for line in rest:
        spelling, colon, value = line.partition(":")
        name = names.get(spelling)
        if name is None or not colon:
            if line.startswith((" ", "\t")):
                return _read(unfold(lines), body, kind, detail)
            name = field_name(spelling) if colon else ""
            if not name:
                if not kind:
                    kind, detail = "header", "a line that is no header"
                continue
        value = value.strip(" \t")
        if name in fields:
            fields[name].append(value)
            repeated = True
        else:
            fields[name] = [value]
    if not kind and repeated:
        for name, its_kind in _ONCE.items():
            if len(fields.get(name, "")) > 1:
                kind, detail = its_kind, "more than once"
    if start[3:4] == "/":  # never part of a method
        return _response(start, fields, body, kind, detail)
    return _request(start, fields, body, kind, detail)


def _request(start: str, fields: dict[str, list[str]], body: bytes, kind: str, detail: str) -> Request:
    parts = start.split(" ")
    status = 400
    if len(parts) == 3 and parts[2] == "SIP/2.0":
        method, uri = parts[0], parts[1]
    else:
        words = start.split()
        if len(words) < 3 or _VERSION.fullmatch(words[-1]) is None:
            raise MalformedMessage("start_line", "neither request nor response")
        method, uri = words[0], " ".join(words[1:-1])
        if words[-1].upper() != "SIP/2.0":
            kind, detail, status = "version", "not SIP/2.0", 505
        elif len(parts) != 3:
            kind, detail = "start_line", "white space"
    via = _top_via(fields)
    if via is None:
        if not kind:
            kind, detail = "via", "missing or malformed"
        via = _salvage_vias(fields)
        if via is None:
            raise MalformedMessage(kind, detail)
    request = Request(method, uri, fields, body, via)
    if not kind and method not in METHODS and not is_token(method):
        kind, detail = "method", "no token"
    fault, its_detail = _read_essentials(request, fields, body)
    if not kind and fault:
        kind, detail = fault, its_detail
    if not kind and request.cseq_method != method:
        kind, detail = "cseq", "method differs from the start line"
    if not kind:
        forwards = fields.get("max-forwards")
        if forwards is not None and forwards[0] != "70" and number_up_to(forwards[0], 255) < 0:
            kind, detail = "max_forwards", "not 0 to 255"
        elif PLAIN_SIP_URI.fullmatch(uri) is None:
            kind, detail, status = _uri_fault(uri)
    if not kind:
        contacts = fields.get("contact")
        if contacts is not None and PLAIN_NAME_ADDR.fullmatch(contacts[0]) is None:
            if request.contact is None and first_of_list(contacts[0]) != "*":
                kind, detail = "contact", "malformed"
    if kind:
        raise MalformedMessage(kind, detail, status, None if method == "ACK" else _answerable(request))
    return request


def _response(start: str, fields: dict[str, list[str]], body: bytes, kind: str, detail: str) -> Response:
    if start[:8].upper() != "SIP/2.0 ":
        words = start.split()
        is_other = bool(words) and _VERSION.fullmatch(words[0]) is not None and words[0].upper() != "SIP/2.0"
        raise MalformedMessage(
            "version" if is_other else "start_line", "neither request nor response of SIP/2.0"
        )
    code = start[8:11]
    if start[11:12].strip(" ") or not ("100" <= code <= "699" and number_up_to(code, 699) >= 0):
        raise MalformedMessage("status", "not 100 to 699")
    if kind:
        raise MalformedMessage(kind, detail)
    via = _top_via(fields)
    if via is None:
        raise MalformedMessage("via", "missing or malformed")
    response = Response(int(code), start[12:], fields, body, via)
    fault, detail = _read_essentials(response, fields, body)
    if fault:
        raise MalformedMessage(fault, detail)
    return response


def _read_essentials(message: Message, fields: dict[str, list[str]], body: bytes) -> tuple[str, str]:
    """Fills in what every message must have; a fault as kind and detail, "" for none. Reads on behind
    a fault, for an answer needs the rest as well."""
    kind = detail = ""
    values = fields.get("content-length")
    if values is not None and (values[0] != "0" or body):
        length = number_up_to(values[0], 10**10)
        if length < 0 or length > len(body):
            kind, detail = "length", "no number, or more than there is"
        elif length < len(body):
            message.body = body[:length]
    values = fields.get("cseq")
    if values is None:
        kind, detail = "cseq", "missing"
    else:
        number, _, method = values[0].partition(" ")
        if method in METHODS and number.isdecimal() and number.isascii() and len(number) < 10:
            message.cseq = int(number)
            message.cseq_method = method
        else:
            match = _CSEQ.fullmatch(values[0])
            if match is not None:
                message.cseq = number_up_to(match[1], MAX_CSEQ)
                message.cseq_method = match[2]
            if match is None or message.cseq < 0:
                kind, detail = "cseq", "malformed"
    values = fields.get("call-id")
    if values is None:
        kind, detail = "call_id", "missing"
    else:
        call_id = message.call_id = values[0]
        if not call_id or " " in call_id or not call_id.isprintable():
            kind, detail = "call_id", "malformed"
    values = fields.get("to")
    if values is None:
        kind, detail = "to", "missing"
    else:
        match = PLAIN_NAME_ADDR.fullmatch(values[0])
        if match is not None:
            message.to_tag = match[4] or ""
        else:
            try:
                message.to_tag = message.to.tag
            except MalformedHeader:
                kind, detail = "to", "malformed"
    values = fields.get("from")
    if values is None:
        kind, detail = "from", "missing"
    else:
        match = PLAIN_NAME_ADDR.fullmatch(values[0])
        if match is not None:
            message.from_tag = match[4] or ""
        else:
            try:
                message.from_tag = message.from_.tag
            except MalformedHeader:
                kind, detail = "from", "malformed"
    return kind, detail


def _top_via(fields: dict[str, list[str]]) -> Via | None:
    values = fields.get("via")
    if values is None:
        return None
    try:
        return Via.parse(first_of_list(values[0]))
    except MalformedHeader:
        return None


def _salvage_vias(fields: dict[str, list[str]]) -> Via | None:
    values = fields.get("via")
    via = None if values is None else Via.salvage(values[0])
    if values is not None and via is not None:
        values[0] = str(via)
    return via


def _answerable(request: Request) -> Request:
    """The request with only those Vias that an answer may repeat."""
    vias: list[str] = []
    for element in request.values("via")[:_MAX_VIAS_OF_AN_ANSWER]:
        try:
            Via.parse(element)
        except MalformedHeader:
            continue
        vias.append(element)
    request.fields["via"] = vias
    return request


def _uri_fault(uri: str) -> tuple[str, str, int]:
    try:
        parsed = parse_uri(uri)
    except MalformedUri as error:
        return "uri", str(error), 416 if error.unknown_scheme else 400
    if isinstance(parsed, SipUri) and parsed.headers:
        # RFC 3261 section 19.1.1 allows no headers here; RFC 4475 section 3.1.2.11.
        return "uri", "headers in the Request-URI", 400
    return "", "", 400
