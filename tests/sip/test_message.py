"""Messages: RFC 3261 sections 7, 8.1.1, 8.2 and 18.3. What RFC 4475 and 5118 ask is in test_torture."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.sip.headers import NameAddr, Via
from engine.sip.lines import MAX_LINES
from engine.sip.message import (
    MALFORMED_KINDS,
    MalformedMessage,
    Message,
    Request,
    Response,
    parse_message,
)
from engine.sip.uri import MalformedUri, SipUri, TelUri, parse_uri
from tests.sip.samples import SDP, hosts, ports, request, response, tokens


def refusal(data: bytes) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        parse_message(data)
    assert caught.value.kind in MALFORMED_KINDS
    return caught.value


def as_request(data: bytes) -> Request:
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


# --- what a message offers ---


def test_a_request_is_read() -> None:
    contact = "Contact: <sip:13800000001@192.0.2.9:5062;transport=udp>"
    message = as_request(request(body=SDP, contact=contact, type="Content-Type: Application/SDP ;charset=x"))
    assert (message.method, message.uri) == ("INVITE", "sip:700123456789012@192.0.2.1")
    assert message.top_via == Via("UDP", "192.0.2.9", 5062, {"branch": "z9hG4bK77ef"})
    assert (message.call_id, message.cseq, message.cseq_method) == ("one@192.0.2.9", 7, "INVITE")
    assert message.from_ == NameAddr("", "sip:13800000001@192.0.2.9", {"tag": "a1"})
    assert (message.from_tag, message.to_tag) == ("a1", "")
    assert message.to.uri == "sip:700123456789012@192.0.2.1"
    assert message.contact == NameAddr("", "sip:13800000001@192.0.2.9:5062;transport=udp", {})
    assert message.max_forwards == 70
    assert message.content_type == "application/sdp"
    assert message.body == SDP.encode()
    assert message.value("call-id") == "one@192.0.2.9"
    assert message.value("subject") == ""
    assert message.values("subject") == []


def test_a_response_is_read() -> None:
    message = parse_message(
        response("SIP/2.0 183 Session  Progress", to="To: <sip:a@b>;tag=x", without="max_forwards")
    )
    assert isinstance(message, Response)
    assert (message.status, message.phrase) == (183, "Session  Progress")
    assert (message.to_tag, message.cseq_method, message.max_forwards) == ("x", "INVITE", None)
    assert message.contact is None
    assert message.content_type == ""


def test_values_come_from_all_lines_in_order() -> None:
    message = as_request(request(one="Supported: 100rel, timer", two="Route: <sip:a,b@c;lr>", three="k:x"))
    assert message.fields["supported"] == ["100rel, timer", "x"]
    assert message.values("supported") == ["100rel", "timer", "x"]
    assert message.value("supported") == "100rel, timer"
    assert message.values("route") == ["<sip:a,b@c;lr>"]


@pytest.mark.parametrize("line", ["Contact: *", "m: *"])
def test_a_star_is_no_contact(line: str) -> None:
    assert as_request(request("REGISTER", contact=line)).contact is None


def test_the_first_of_several_contacts_counts() -> None:
    assert as_request(request(contact='m: "a, b" <sip:c@d>;q=1, <sip:e@f>')).contact == NameAddr(
        "a, b", "sip:c@d", {"q": "1"}
    )


def test_a_broken_contact_in_a_response_is_no_contact() -> None:
    message = parse_message(response(contact="Contact: <sip:c@d"))
    assert message.contact is None
    assert message.contact is None


# --- forms of a message ---


@pytest.mark.parametrize(
    "lines",
    [
        {
            "via": "v: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK77ef",
            "from": "f: <sip:13800000001@192.0.2.9>;tag=a1",
        },
        {"via": "VIA:SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK77ef", "cseq": "cSEQ:7 INVITE"},
        {"via": "V \t: SIP / 2.0/UDP\t192.0.2.9:5062 ; branch=z9hG4bK77ef", "call_id": "I :one@192.0.2.9  "},
        {
            "via": "Via:\r\n  SIP/2.0/UDP\r\n\t192.0.2.9:5062;\r\n branch=z9hG4bK77ef",
            "cseq": "CSeq: 7\r\n INVITE",
        },
        {
            "from": "FROM:\t<sip:13800000001@192.0.2.9>\r\n ;\r\n tag=a1",
            "cseq": "CSeq: 0000000000007   INVITE",
        },
        {"via": "Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK77ef, SIP/2.0/TCP x"},
    ],
)
def test_spelling_folding_and_space_make_no_difference(lines: dict[str, str]) -> None:
    plain = as_request(request())
    message = as_request(request(**lines))
    assert (message.top_via, message.call_id, message.cseq, message.cseq_method) == (
        plain.top_via,
        plain.call_id,
        plain.cseq,
        plain.cseq_method,
    )
    assert (message.from_, message.from_tag) == (plain.from_, plain.from_tag)
    assert set(message.fields) == set(plain.fields)


def test_line_ends_may_be_lone_and_lead() -> None:
    data = request(body=b"a\r\n\r\nb\nc")
    head, _, body = data.partition(b"\r\n\r\n")
    lone = head.replace(b"\r\n", b"\n") + b"\n\n" + body
    for variant in (
        lone,
        b"\r\n\r\n" + data,
        b"\n" + lone,
        head.replace(b"\r\n", b"\n", 3) + b"\r\n\r\n" + body,
    ):
        message = as_request(variant)
        assert message.body == b"a\r\n\r\nb\nc"
        assert message.fields == as_request(data).fields


def test_octets_that_are_no_utf8_are_kept() -> None:
    data = request(subject="Subject: 接\udcff\udc80 \0", body=bytes(range(256)))
    message = as_request(data)
    assert message.value("subject").encode("utf-8", "surrogateescape") == "接".encode() + b"\xff\x80 \0"
    assert message.body == bytes(range(256))


def test_unicode_spaces_are_not_white_space_of_sip() -> None:
    message = as_request(request(subject="Subject: \u3000a\x85b\x1c\u2028"))
    assert message.value("subject") == "\u3000a\x85b\x1c\u2028"


def test_what_follows_the_announced_length_is_cut_off() -> None:
    assert as_request(request(body=b"12345", length="Content-Length: 3")).body == b"123"
    assert as_request(request(body=b"12345", length="l:00")).body == b""
    assert as_request(request(body=b"12345", without="length")).body == b"12345"


def test_unknown_methods_and_headers_are_no_fault() -> None:
    message = as_request(request("x-!M", odd="X_y~: ;,"))
    assert (message.method, message.cseq_method, message.value("x_y~")) == ("x-!M", "x-!M", ";,")


@pytest.mark.parametrize(
    "uri",
    [
        "sip:a@b",
        "sips:b:5061;transport=tls",
        "tel:+8613800000001",
        "tel:700123456789012;phone-context=+86",
        "sip:[2001:db8::1]:5060",
        "SIP:a;b=%40c:d@E;lr;x=%00",
        "sip:a@b:65535",
    ],
)
def test_every_kind_of_uri_may_be_asked_for(uri: str) -> None:
    assert as_request(request(uri=uri)).uri == uri


@pytest.mark.parametrize(("value", "expected"), [("0", 0), ("255", 255), ("0068", 68)])
def test_max_forwards(value: str, expected: int) -> None:
    assert as_request(request(max_forwards=f"Max-Forwards: {value}")).max_forwards == expected


@pytest.mark.parametrize("start", ["SIP/2.0 100", "SIP/2.0 100 ", "sip/2.0 699 x"])
def test_a_response_may_lack_its_phrase(start: str) -> None:
    message = parse_message(response(start))
    assert isinstance(message, Response)
    assert message.phrase == start[12:]


# --- refused ---


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (request(version="SIP/3.0"), "version", 505),
        (request(version="SIP/2.1"), "version", 505),
        (request("I(", version="SIP/2.1", cseq="CSeq: x"), "version", 505),
        (request(uri="news:x"), "uri", 416),
        (request(uri="x"), "uri", 400),
        (request(uri="sip:a@b:99999"), "uri", 400),
        (request(uri="sip:a@b?x=y"), "uri", 400),
        (request(uri="sip:a\x00@b"), "uri", 400),
        (request("INV,ITE"), "method", 400),
        (request("ÏNVITE"), "method", 400),
        (request(start="INVITE  sip:a@b SIP/2.0"), "start_line", 400),
        (request(start="INVITE sip:a@b SIP/2.0 "), "start_line", 400),
        (request(start="INVITE sip:a@b  SIP/2.0"), "start_line", 400),
        (request(start="INVITE\tsip:a@b SIP/2.0"), "start_line", 400),
        (request(from_="From: sip:a@b@c d"), "from", 400),
        (request(without="from"), "from", 400),
        (request(from2="f: <sip:a@b>;tag=2"), "from", 400),
        (request(to="To: <sip:a@b"), "to", 400),
        (request(without="to"), "to", 400),
        (request(to2="To: <sip:a@b>"), "to", 400),
        (request(without="call_id"), "call_id", 400),
        (request(call_id="Call-ID:"), "call_id", 400),
        (request(call_id="Call-ID: a b"), "call_id", 400),
        (request(call_id="Call-ID: a\x00"), "call_id", 400),
        (request(call_id2="i: two"), "call_id", 400),
        (request(without="cseq"), "cseq", 400),
        (request(cseq="CSeq: INVITE"), "cseq", 400),
        (request(cseq="CSeq: 7"), "cseq", 400),
        (request(cseq="CSeq: -7 INVITE"), "cseq", 400),
        (request(cseq="CSeq: ٧ INVITE"), "cseq", 400),
        (request(cseq="CSeq: 2147483648 INVITE"), "cseq", 400),
        (request(cseq=f"CSeq: {'9' * 30000} INVITE"), "cseq", 400),
        (request(cseq="CSeq: 7 BYE"), "cseq", 400),
        (request(cseq="CSeq: 7 invite"), "cseq", 400),
        (request(cseq2="CSeq: 8 INVITE"), "cseq", 400),
        (request(max_forwards="Max-Forwards: 256"), "max_forwards", 400),
        (request(max_forwards="Max-Forwards: -1"), "max_forwards", 400),
        (request(max_forwards="Max-Forwards:"), "max_forwards", 400),
        (request(max2="Max-Forwards: 70"), "max_forwards", 400),
        (request(length="Content-Length: 1"), "length", 400),
        (request(length="Content-Length: -1"), "length", 400),
        (request(length="Content-Length: x"), "length", 400),
        (request(length="Content-Length: 0, 0"), "length", 400),
        (request(length2="l: 0"), "length", 400),
        (request(type1="c: a/b", type2="Content-Type: a/b"), "content_type", 400),
        (request(contact="Contact: sip:a@b?x=y"), "contact", 400),
        (request(contact="Contact: <sip:a@b"), "contact", 400),
        (request(odd="no colon"), "header", 400),
        (request(odd="Via"), "header", 400),
        (request(odd="a b: c"), "header", 400),
        (request(odd=": c"), "header", 400),
        (request(odd="Kelvin\u212a: c"), "header", 400),
        (request(odd="Subject: a\rVia: b"), "header", 400),
        (request()[:-2], "header", 400),
        (request()[:-4], "header", 400),
        (request(odd="\r\n".join(["x: y"] * MAX_LINES)), "size", 400),
    ],
)
def test_a_broken_request_is_refused_with_something_to_answer(data: bytes, kind: str, status: int) -> None:
    refused = refusal(data)
    assert (refused.kind, refused.status) == (kind, status)
    assert refused.request is not None
    assert refused.request.top_via == Via("UDP", "192.0.2.9", 5062, {"branch": "z9hG4bK77ef"})
    assert refused.request.values("via") == ["SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK77ef"]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty"),
        (b"\r\n\r\n", "empty"),
        (b"\0", "start_line"),
        (b"\0\x01\0\0\x21\x12\xa4\x42\r\n\r\n", "start_line"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "start_line"),
        (b"INVITE\r\n\r\n", "start_line"),
        (b"INVITE sip:a@b\r\n\r\n", "start_line"),
        (b"SIP/2.0\r\n\r\n", "start_line"),
        (b"SIP/3.0 200 OK\r\n\r\n", "version"),
        (b"SIP/ 2.0 200 OK\r\n\r\n", "start_line"),
        (b"abc/2.0 200 OK\r\n\r\n", "start_line"),
        (request(without="via"), "via"),
        (request(via="Via: SIP/2.0/UDP"), "via"),
        (request(via="Via:"), "via"),
        (request(via="Via: ,SIP/2.0/UDP a"), "via"),
        (request("ACK", uri="x"), "uri"),
        (response("SIP/2.0 200OK"), "status"),
        (response("SIP/2.0 99 x"), "status"),
        (response("SIP/2.0 700 x"), "status"),
        (response("SIP/2.0 2000 x"), "status"),
        (response("SIP/2.0 ٢٠٠ x"), "status"),
        (response("SIP/2.0  200 OK"), "status"),
        (response(without="via"), "via"),
        (response(via="Via: x"), "via"),
        (response(without="cseq"), "cseq"),
        (response(cseq="CSeq: 92233720368547758080 INVITE"), "cseq"),
        (response(without="from"), "from"),
        (response(without="to"), "to"),
        (response(to2="t: <sip:a@b>"), "to"),
        (response(length="Content-Length: 3"), "length"),
        (response(odd="nothing"), "header"),
    ],
)
def test_what_nobody_can_answer_is_refused_without_a_request(data: bytes, kind: str) -> None:
    refused = refusal(data)
    assert refused.kind == kind
    assert refused.request is None


def test_an_answer_gets_only_vias_that_can_be_written() -> None:
    vias = "SIP/2.0/UDP 192.0.2.9:5062;;branch=b, x, SIP/2.0/TCP h;branch=c"
    refused = refusal(request(via=f"Via: {vias}", via2="v: ;", via3="v: SIP/2.0/TLS i"))
    assert refused.kind == "via"
    assert refused.request is not None
    assert refused.request.top_via == Via("UDP", "192.0.2.9", 5062, {"branch": "b"})
    assert refused.request.values("via")[0] == "SIP/2.0/UDP 192.0.2.9:5062;branch=b"
    for via in refused.request.values("via"):
        Via.parse(via)
    assert refused.request.values("via")[-1] == "SIP/2.0/TLS i"


def test_another_version_is_told_whatever_else_is_wrong() -> None:
    refused = refusal(request(version="SIP/9.9", via="Via: SIP/9.9/X 192.0.2.9 (;"))
    assert (refused.kind, refused.status) == ("version", 505)
    assert refused.request is not None


def test_a_refused_request_shows_what_can_be_read_of_it() -> None:
    refused = refusal(request(uri="x", without="to", from_='From: "open <sip:a@b>'))
    assert refused.request is not None
    assert (refused.request.method, refused.request.uri) == ("INVITE", "x")
    assert (refused.request.call_id, refused.request.cseq, refused.request.to_tag) == ("one@192.0.2.9", 7, "")
    assert refused.request.value("to") == ""
    assert refused.request.value("from") == '"open <sip:a@b>'


def test_a_stray_carriage_return_cannot_become_a_line_of_an_answer() -> None:
    refused = refusal(request(to="To: <sip:a@b>;x=1\rVia: SIP/2.0/UDP evil"))
    assert refused.request is not None
    assert not any(
        "\r" in value or "\n" in value for values in refused.request.fields.values() for value in values
    )


def test_details_tell_no_header_values() -> None:
    refused = refusal(request(to="To: <sip:13800000009@b", without="max_forwards"))
    assert "13800000009" not in f"{refused} {refused.detail} {refused.kind}"


# --- any message ---

values = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20).map(
    lambda text: text.strip(" \t")
)
extra_names = tokens.filter(lambda name: len(name) > 1).map(lambda name: "x-" + name.lower())
extras = st.dictionaries(extra_names, st.lists(values, min_size=1, max_size=3), max_size=4)


def rebuilt(message: Message, start: str, end: str) -> bytes:
    lines = [start]
    for name, raw in message.fields.items():
        lines += [f"{name}: {value}" for value in raw]
    return (end.join(lines) + end + end).encode("utf-8", "surrogateescape") + message.body


@given(
    method=tokens,
    host=hosts,
    port=ports,
    branch=tokens,
    display=values,
    tag=tokens,
    cseq=st.integers(0, 2**31 - 1),
    extra=extras,
    body=st.binary(max_size=40),
    end=st.sampled_from(["\r\n", "\n"]),
)
def test_a_message_survives_writing_and_reading(
    method: str,
    host: str,
    port: int,
    branch: str,
    display: str,
    tag: str,
    cseq: int,
    extra: dict[str, list[str]],
    body: bytes,
    end: str,
) -> None:
    via = Via("UDP", host, port, {"branch": branch})
    from_ = NameAddr(display, "sip:a@b", {"tag": tag})
    lines = {
        f"extra{index}": f"{name}: {value}"
        for name, all_ in extra.items()
        for index, value in enumerate(all_)
    }
    data = request(
        method, body, via=f"Via: {via}", from_=f"From: {from_}", cseq=f"CSeq: {cseq} {method}", **lines
    )
    first = as_request(data)
    assert (first.method, first.top_via, first.from_, first.from_tag) == (method, via, from_, tag)
    assert (first.cseq, first.cseq_method, first.body) == (cseq, method, body)
    again = as_request(rebuilt(first, f"{first.method} {first.uri} SIP/2.0", end))
    assert again.fields == first.fields
    assert (again.top_via, again.from_, again.to, again.cseq, again.body) == (
        first.top_via,
        first.from_,
        first.to,
        first.cseq,
        first.body,
    )


@given(
    st.text(max_size=20).map(lambda text: "sip:" + text)
    | st.from_regex(r"(sips?|tel|x-y):[a-z0-9%@:;=?&+$,.\[\]-]{1,20}", fullmatch=True)
    | st.builds(
        SipUri, st.just("sip"), tokens, hosts, ports, st.dictionaries(tokens.map(str.lower), tokens)
    ).map(str)
)
@example("sip:a" + ";x" * 65)
@example("sip:a" + ";x" * 257)
def test_the_request_uri_is_what_parse_uri_says(uri: str) -> None:
    try:
        parsed: SipUri | TelUri | None = parse_uri(uri)
        unknown = False
    except MalformedUri as error:
        parsed, unknown = None, error.unknown_scheme
    data = request(uri=uri.replace("\r", " ").replace("\n", " "))
    if parsed is not None and not (isinstance(parsed, SipUri) and parsed.headers):
        assert as_request(data).uri == uri
    else:
        assert refusal(data).status == (416 if unknown else 400)


def look_at_everything(message: Message) -> None:
    _ = (
        message.top_via,
        message.from_,
        message.to,
        message.contact,
        message.max_forwards,
        message.content_type,
    )
    for name in message.fields:
        message.values(name)


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    data = bytearray(
        draw(st.sampled_from([request(body=SDP, contact="m: <sip:a@b>"), response(body=SDP.encode())]))
    )
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1))
        piece = draw(
            st.sampled_from(
                [b"", b"\r", b"\n", b"\r\n", b" ", b":", b"<", b'"', b"\0", b";", b",", b"\xff", b"9"]
            )
        )
        data[place : place + draw(st.integers(0, 3))] = piece
    return bytes(data)


@given(st.binary(max_size=200) | mutilated())
@example(b"\r")
@example(b" \r\n\r\n")
@example(b"\xef\xbb\xbf" + request())
@example(b"A B SIP/2.0\r\nv:SIP/2.0/a b\r\n\r\n")
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    refused: MalformedMessage | None = None
    try:
        look_at_everything(parse_message(data))
    except MalformedMessage as error:
        refused = error
    if refused is not None:
        assert refused.kind in MALFORMED_KINDS
        for via in refused.request.values("via") if refused.request is not None else []:
            Via.parse(via)


FULL = 64_000


@pytest.mark.parametrize(
    "data",
    [
        b"\r" * FULL,
        b"\n" * FULL + b"x",
        b" " * FULL,
        b"x:y\r\n" * (FULL // 5),
        b"INVITE sip:a@b SIP/2.0\r\n" + b"a:b\r\n" * (FULL // 5),
        b"INVITE sip:a@b SIP/2.0\r\nx:y\r\n" + b" z\r\n" * (FULL // 4) + b"\r\n",
        b"INVITE sip:a@b SIP/2.0\r\n" + b"\r" * FULL + b"\n\r\n",
        request(via="Via: " + "SIP/2.0/UDP a," * (FULL // 14)),
        request(via="Via: " + "x," * (FULL // 2)),
        request(via="Via: SIP/2.0/UDP a" + ";x=" * (FULL // 3)),
        request(via="Via: SIP/2.0/UDP a" + ";x" * (FULL // 2)),
        request(via="Via: SIP" + " " * FULL),
        request(via='Via: SIP/2.0/UDP a;x="' + "\\" * FULL),
        request(via='Via: SIP/2.0/UDP a;x="' + '";"' * (FULL // 3)),
        request(from_="From: " + "a " * (FULL // 2)),
        request(from_="From: " + "<" * FULL),
        request(from_='From: "' + '\\"' * (FULL // 2)),
        request(from_="From: " + '"' * FULL),
        request(from_="From: <sip:a@b>" + ";x=" * (FULL // 3) + "("),
        request(from_="From: <sip:a@b>" + " ;" * (FULL // 2)),
        request(contact="m: " + "<sip:a@b>," * (FULL // 10)),
        request(contact="m: " + "<sip:a@b" * (FULL // 8)),
        request(contact="m: " + '"<' * (FULL // 2)),
        request(contact="m: ," + '\\"' * (FULL // 2)),
        request(contact='m: ,"' + '\\"' * (FULL // 2)),
        request(contact="m: ," + "<" * FULL),
        request(contact="m: " + '"",' * (FULL // 3)),
        request(contact="m: " + "<>;," * (FULL // 4)),
        request(from_="From: <sip:a@b>" + ';x="' * (FULL // 4)),
        request(uri="sip:" + "a" * FULL),
        request(uri="sip:" + "%41" * (FULL // 3) + "@"),
        request(uri="sip:" + "a:" * (FULL // 2) + "@b"),
        request(uri="sip:a" + ";x=y" * (FULL // 4) + "="),
        request(uri="sip:a" + ";x" * (FULL // 2) + "?"),
        request(uri="sip:[" + ":" * FULL + "]"),
        request(uri="tel:+" + "1-" * (FULL // 2) + "x"),
        request(uri="tel:" + "-" * FULL),
        request(uri="x" * FULL),
        request(cseq="CSeq: 1" + " " * FULL),
        request(length="Content-Length: " + "0" * FULL),
        request(call_id="Call-ID: " + "a" * FULL),
        request("A" * FULL),
        request(start="INVITE " + "a " * (FULL // 2) + "SIP/2.0"),
        bytes(range(1, 256)) * (FULL // 255),
    ],
)
def test_no_datagram_takes_long(data: bytes) -> None:
    best = 1.0
    for _ in range(3):
        begin = time.perf_counter()
        with contextlib.suppress(MalformedMessage):
            look_at_everything(parse_message(data))
        best = min(best, time.perf_counter() - begin)
    assert best < 0.1  # a tenth of it is usual; what grows faster than the input takes seconds
