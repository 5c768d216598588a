"""The way of everyday messages against the way of all others: whatever comes in, both make the same of it."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.sip import message as door
from engine.sip.everyday import everyday_message
from engine.sip.message import MalformedMessage, Message, Request, Response, parse_message
from tests.sip.samples import SDP


def _described(message: Message) -> str:
    start = (message.method, message.uri) if isinstance(message, Request) else ()
    if isinstance(message, Response):
        start = (message.phrase, str(message.status))
    ids = (message.call_id, message.cseq, message.cseq_method, message.from_tag, message.to_tag)
    read = (message.contact, message.max_forwards, message.content_type)
    return repr((start, sorted(message.fields.items()), message.body, message.top_via, ids, read))


def outcome(data: bytes) -> str:
    try:
        message = parse_message(data)
    except MalformedMessage as error:
        salvaged = "" if error.request is None else repr(sorted(error.request.fields.items()))
        return f"{error.kind} {error.detail} {error.status} {salvaged}"
    return f"{_described(message)} {message.from_} {message.to}"


def header_by_header(data: bytes) -> str:
    with patch.object(door, "everyday_message", return_value=None):
        return outcome(data)


def is_everyday(data: bytes) -> bool:
    head, _, body = data.partition(b"\r\n\r\n")
    return everyday_message(head.decode("utf-8", "surrogateescape") + "\r\n", body) is not None


REQUEST = (
    "INVITE sip:700123456789012@192.0.2.1:5060 SIP/2.0",
    "Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK77ef",
    "Max-Forwards: 70",
    "From: <sip:13800000001@192.0.2.9>;tag=a1",
    "To: <sip:700123456789012@192.0.2.1>",
    "Call-ID: one@192.0.2.9",
    "CSeq: 7 INVITE",
    "Contact: <sip:13800000001@192.0.2.9:5062>",
    "Content-Type: application/sdp",
    f"Content-Length: {len(SDP)}",
)
RESPONSE = (
    "SIP/2.0 200 OK",
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77ef;rport",
    "From: <sip:700123456789012@192.0.2.1>;tag=a1",
    "To: <sip:13800000001@192.0.2.9>;tag=b2",
    "Call-ID: one-two",
    "CSeq: 7 INVITE",
    "Contact: <sip:192.0.2.9:5062>",
    "Content-Type: application/sdp",
    f"Content-Length: {len(SDP)}",
)
# Other headers, and the ones above again or written otherwise, rightly and wrongly.
ODD_LINES = (
    "Allow: INVITE, ACK", "Supported: timer", "Supported:100rel ", "Supported:", "User-Agent: x \t", "X-Odd: é",
    "Record-Route: <sip:192.0.2.5;lr>", "Route: <sip:192.0.2.6;lr>", "x-lower: 1", "X : y", "X", " folded", "\tfolded",
    "Via: SIP/2.0/TCP 192.0.2.8;branch=z9hG4bKnext", "Via: SIP/2.0/UDP h;rport;branch=z9hG4bK1;received=192.0.2.3",
    "Via: SIP/2.0/UDP a;branch=b, SIP/2.0/UDP c;branch=d", "Via: SIP/2.0/UDP h;branch=z;x=@", "Via: SIP/2.0/UDP h",
    "Via: SIP/2.0/UDP h;branch=b@", "Via: SIP/2.0/UDP h:99999;branch=b", "Via: SIP/2.0/UDP h;branch=b;", "Via: x",
    "Via: SIP/2.0/UDP h;branch=b;branch=c", "VIA: SIP/2.0/UDP other;branch=b", "v: SIP/2.0/UDP other;branch=b",
    'From: "a b" <sip:a@b>;tag=x', "From: a  b <sip:a@b>;tag=x", "From:  <sip:a@b>;tag=x", "From: <sip:a@b>;tag=x;y=z",
    "From: sip:a@b;tag=x", "From: <sip:a@b>;y=z;tag=x", "From: x", "f: <sip:a@b>;tag=c", "FROM: <sip:a@b>",
    "From: <x:>", "From: a b<sip:a@b>", "To: <sip:a@b>;tag=x ", "To: <tel:+8613800000001>", "To: <sip:a@b>;tag=", "To:",
    "t: <sip:x>",
    "Call-ID: a b", "Call-ID: é", "Call-ID: ", "i: other", "Call-ID:x", "CSeq: 7  INVITE", "CSeq: 2147483648 INVITE",
    "CSeq: 999999999 INVITE", "CSeq: 7 ACK", "CSeq: 7 INVITe", "CSeq: x", "CSEQ: 7 INVITE", "Cseq: 7 INVITE",
    "Contact: *", "Contact: <sip:a@b>;expires=60", "Contact: <sip:a@b>, <sip:c@d>", "Contact: <sip:a@b> ",
    "Contact: <sip:a@b>;@", "Contact: <sip:a@b>x", 'Contact: "q" <sip:a@b>', "Contact: <x>", "Contact: <sip:é@b>",
    "m: <sip:a@b>", "Max-Forwards: 0", "Max-Forwards: 255", "Max-Forwards: 256", "Max-Forwards: x", "MAX-FORWARDS: 5",
    "Content-Type: Application/SDP ;charset=x", "Content-Type: text/plain", "c: text/plain", "Content-Type: ",
    "Content-Length: 0", "Content-Length: 5", "Content-Length: 9999", "Content-Length: x", "l: 0", "Content-Length: 0 ",
    "Content-Length: 00000000000000000005", "Content-Length:\t5",
)  # fmt: skip
ODD_STARTS = (
    "INVITE sip:a@b SIP/1.0", "INVITE sip:a@b sip/2.0", "INVITE  sip:a@b SIP/2.0", "INVITE sip:a@b?x=y SIP/2.0",
    "INVITE http://x SIP/2.0", "INVITE tel:+86 SIP/2.0", "INVITE sip:é SIP/2.0", "ACK sip:a@b SIP/2.0",
    "invite sip:a@b SIP/2.0", "X-Y sip:a@b SIP/2.0", "INVITE", "", "SIP/2.0 099 x", "SIP/2.0 700 x", "SIP/2.0 200",
    "SIP/2.0 200 ", "SIP/2.0 200  x \t", "SIP/2.0 2000 x", "SIP/2.1 200 OK", "sip/2.0 200 OK", "SIP/2.0  200 OK",
)  # fmt: skip
EDITS = st.sampled_from(
    ["replace", "replace", "insert", "insert", "remove", "repeat", "swap", "start", "end", "character"]
)


@st.composite
def nearly_everyday_messages(draw: st.DrawFn) -> bytes:
    """A request or response with up to four edits."""
    lines = [f"{line}\r\n" for line in draw(st.sampled_from([REQUEST, RESPONSE]))]
    if draw(st.booleans()):
        lines[1:] = draw(st.permutations(lines[1:]))
    for edit in draw(st.lists(EDITS, max_size=4)):
        place = draw(st.integers(0, len(lines) - 1))
        odd = draw(st.sampled_from(ODD_LINES)) + "\r\n"
        if edit == "replace":
            name = odd.partition(":")[0].lower()
            same = [index for index, line in enumerate(lines) if line.partition(":")[0].lower() == name]
            lines[same[0] if same else place] = odd
        elif edit == "insert":
            lines.insert(place + 1, odd)
        elif edit == "remove" and len(lines) > 1:
            del lines[place]
        elif edit == "repeat":
            lines.append(lines[place])
        elif edit == "swap":
            lines[place], lines[-1] = lines[-1], lines[place]
        elif edit == "start":
            lines[0] = draw(st.sampled_from(ODD_STARTS)) + "\r\n"
        elif edit == "end":
            lines[place] = lines[place].rstrip() + draw(
                st.sampled_from(["\n", "\r", "\r\r\n", " \r\n", "\r\n\r\n"])
            )
        else:
            cut = draw(st.integers(0, len(lines[place])))
            character = draw(st.sampled_from((*' \t\r\n\0\x0b\x85\u2028:;,@<>"\\%[]é', "\udcff", "")))
            lines[place] = lines[place][:cut] + character + lines[place][cut + 1 :]
    body = draw(st.sampled_from([SDP, SDP, "", "short", SDP + "surplus", "\r\n\r\n"]))
    text = "".join(lines) + draw(st.sampled_from(["\r\n", "\r\n", "\r\n", "", "\n"])) + body
    return text.encode("utf-8", "surrogateescape")


def message(lines: tuple[str, ...], *more: str, body: str = SDP) -> bytes:
    return "\r\n".join((*lines, *more, "", body)).encode("utf-8", "surrogateescape")


@given(nearly_everyday_messages())
@example(message(REQUEST, *["X-More: 1"] * 53))
@example(message(REQUEST, *["X-More: 1"] * 56))
@example(message(REQUEST, *["X-More: 1"] * 600))
@example(b"")
@example(b"\r\n\r\n")
def test_both_ways_agree(data: bytes) -> None:
    assert outcome(data) == header_by_header(data)


@pytest.mark.parametrize("base", [REQUEST, RESPONSE], ids=["request", "response"])
@pytest.mark.parametrize("odd", ODD_LINES)
def test_both_ways_agree_about_each_odd_line_at_each_place(base: tuple[str, ...], odd: str) -> None:
    """Also where the line stands for the everyday one: what the pattern has half read of it must be forgotten."""
    name = odd.partition(":")[0]
    without = tuple(line for line in base if line.partition(":")[0] != name)
    for lines in (base, without):
        for place in range(1, len(lines) + 1):
            data = message((*lines[:place], odd, *lines[place:]))
            assert outcome(data) == header_by_header(data)


@pytest.mark.parametrize("start", ODD_STARTS)
def test_both_ways_agree_about_each_odd_start_line(start: str) -> None:
    for lines in (REQUEST, RESPONSE):
        data = message((start, *lines[1:]))
        assert outcome(data) == header_by_header(data)


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("Allow: INVITE, ACK", "Supported: 100rel", "Supported: timer", "X-Own: yes"),
        ("Via: SIP/2.0/UDP 192.0.2.8;branch=z9hG4bK2;received=192.0.2.4", "Record-Route: <sip:192.0.2.8;lr>"),
    ],
)
@pytest.mark.parametrize("base", [REQUEST, RESPONSE], ids=["request", "response"])
def test_usual_messages_go_the_everyday_way(base: tuple[str, ...], more: tuple[str, ...]) -> None:
    data = message(base, *more)
    assert is_everyday(data)
    assert outcome(data) == header_by_header(data)


def test_the_order_of_headers_makes_no_difference() -> None:
    data = message((REQUEST[0], *reversed(REQUEST[1:])))
    assert is_everyday(data)
    assert outcome(data) == outcome(message(REQUEST))
