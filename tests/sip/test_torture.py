"""What RFC 4475 and RFC 5118 ask of a receiver, point by point, with messages of our own.

The section numbers are those of RFC 4475 unless 5118 stands before them. What a transaction user decides (unknown
methods, Require, media types, registrations) is only parsed here.
"""

from __future__ import annotations

import pytest

from engine.sip.framing import StreamFramer
from engine.sip.headers import NameAddr, Via
from engine.sip.message import MalformedMessage, Request, Response, parse_message
from engine.sip.sdp import masked_session
from engine.sip.uri import SipUri, parse_uri
from tests.sip.samples import SDP, request, response


def valid(data: bytes) -> Request:
    """The request, read alike from a datagram and from a stream."""
    assert StreamFramer().feed(data + b"\r\n") == [data]
    message = parse_message(data)
    assert isinstance(message, Request)
    return message


def invalid(data: bytes) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        parse_message(data)
    return caught.value


# --- 3.1.1 valid ---


def test_3_1_1_1_folding_and_space_wherever_they_are_allowed() -> None:
    message = valid(
        b"INVITE sip:li@desk.example.org;flag SIP/2.0\r\n"
        b"tO :\r\n\tsip:li@desk.example.org ;  tag\t=  77\r\n"
        b'FROM\t: "W \\\\ \\"" \t<sip:wang@example.org>\r\n ;\r\n  tag =\r\n x9\r\n'
        b"mAX-forwards : 0042\r\n"
        b"cAlL-iD: fold@192.0.2.4\r\n"
        b"content-LENGTH\t:\r\n 4\r\n"
        b"CSEQ:\r\n 0011\r\n \tINVITE\r\n"
        b"vIA: SIP\r\n /2.0 /\r\n UDP 192.0.2.4 ;branch= old\r\n"
        b"s:\r\n"
        b"New-Thing: one\r\n two\r\n \r\n three\r\n"
        b"Odd: ,;,,;\r\n"
        b"route:\r\n <sip:edge.example.org;lr;a=b;c>\r\n"
        b"V: SIP /2.0 / TCP a.example.org ; branch = z9hG4bKa ,\r\n SIP/ 2.0/ UDP b.example.org;branch=z9hG4bKb\r\n"
        b'm : "Q \\"" <sip:wang@192.0.2.4> ; p =\r\n  v ; flag ; q =0.5\r\n'
        b"\r\nabcd"
    )
    assert message.top_via == Via("UDP", "192.0.2.4", 0, {"branch": "old"})
    assert [Via.parse(via).host for via in message.values("via")] == [
        "192.0.2.4",
        "a.example.org",
        "b.example.org",
    ]
    assert message.from_ == NameAddr('W \\ "', "sip:wang@example.org", {"tag": "x9"})
    assert (message.to_tag, message.max_forwards, message.cseq, message.body) == ("77", 42, 11, b"abcd")
    assert message.contact == NameAddr('Q "', "sip:wang@192.0.2.4", {"p": "v", "flag": "", "q": "0.5"})
    assert message.value("new-thing") == "one two  three"
    assert (message.value("odd"), message.value("subject")) == (",;,,;", "")
    assert message.values("route") == ["<sip:edge.example.org;lr;a=b;c>"]


def test_3_1_1_2_the_whole_range_of_characters() -> None:
    method = "Odd-Word.0123456789!%*_+`'~"
    user = "name-_.!~*'()&=+$,;?/"
    message = valid(
        request(
            method,
            uri=f"sip:{user}:pass-_.!~*'()&=+$,@example.org",
            via="Via: SIP/2.0/TCP h.example.org;branch=z9hG4bK.!%%*_+`'~-",
            to=f'To: "\\\x07\\\x00\\\x7f bell" <sip:{user}@example.org>',
            from_="From: w~1` w'2+_ w.3*%! <sip:x@example.org>;p'~+*_!.-%=\"大停電\";tag=t-.!%*_+`'~",
            call_id="Call-ID: w-.!%*_+`'~()<>:\\/\"[]?{}@w-.!%*_+`'~()<>:\\/\"[]?{}",
            max_forwards="Max-Forwards: 255",
            odd="Head-.!%*_+`'~: \ufeff大停電",
        )
    )
    assert (message.method, message.cseq_method) == (method, method)
    assert message.to.display == "\x07\0\x7f bell"
    assert message.from_tag == "t-.!%*_+`'~"
    assert message.from_.params["p'~+*_!.-%"] == "大停電"
    assert message.value("head-.!%*_+`'~") == "\ufeff大停電"
    uri = parse_uri(message.uri)
    assert isinstance(uri, SipUri)
    assert (uri.user, uri.password) == (user, "pass-_.!~*'()&=+$,")


def test_3_1_1_3_escaped_characters_in_uris() -> None:
    message = valid(
        request(
            uri="sip:tel%3A1%40here@example.org",
            from_="From: <sip:a%20b%20c@example.org>;tag=9",
            contact="Contact:\r\n <sip:%61b@192.0.2.1;%6c%52;k%65y=v%2541>",
        )
    )
    uri = parse_uri(message.uri)
    assert isinstance(uri, SipUri)
    assert (uri.user, uri.host) == ("tel:1@here", "example.org")
    assert message.contact is not None
    contact = parse_uri(message.contact.uri)
    assert isinstance(contact, SipUri)
    assert (contact.user, contact.params) == ("ab", {"lr": "", "key": "v%41"})


def test_3_1_1_4_escaped_nulls() -> None:
    message = valid(
        request(
            "REGISTER",
            to="To: sip:n%00ll@example.org",
            contact="m: <sip:%00%00@example.org>",
            l="L:0",
            without="length",
        )
    )
    to = parse_uri(message.to.uri)
    assert isinstance(to, SipUri)
    assert to.user == "n\0ll"


def test_3_1_1_5_percent_signs_that_escape_nothing() -> None:
    message = valid(
        request("RE%46ER", to='To: "%Q%41" <sip:a@b>', c1="Contact: <sip:a@b>", c2="C%6Fntact: <sip:c@d>")
    )
    assert message.method == "RE%46ER"
    assert message.to.display == "%Q%41"
    assert message.values("contact") == ["<sip:a@b>"]


def test_3_1_1_6_no_space_before_the_angle_bracket() -> None:
    assert valid(request(from_="From: li<sip:li@example.org>;tag=1")).from_ == NameAddr(
        "li", "sip:li@example.org", {"tag": "1"}
    )


def test_3_1_1_7_long_values() -> None:
    long = "long" * 200
    vias = {
        f"via{index}": f"{'vViIaA'[index % 2]}: SIP/2.0/TCP h{index}.example.org" for index in range(2, 36, 2)
    }
    message = valid(
        request(
            to=f'To: "{long} name"<sip:a@b;{long}=x;{long}x>',
            from_=f"F: sip:{long}@example.org;tag={'9' * 400};{long}={long};{long}y",
            call_id=f"Call-ID: {long}",
            odd=f"{long}: {long}; {long} = {long}",
            contact=f"Contact: <sip:{long}@example.org>",
            **vias,
        )
    )
    assert (message.from_tag, message.call_id) == ("9" * 400, long)
    assert len(message.values("via")) == 18


def test_3_1_1_8_octets_behind_the_end() -> None:
    data = request("REGISTER") + b"\r\n" + request("INVITE", body=SDP)
    message = parse_message(data)
    assert isinstance(message, Request)
    assert (message.method, message.body) == ("REGISTER", b"")
    assert StreamFramer().feed(data) == [request("REGISTER"), request("INVITE", body=SDP)]


def test_3_1_1_9_semicolons_in_the_user_part() -> None:
    uri = parse_uri(valid(request("OPTIONS", uri="sip:li;at=%40home@example.org;lr")).uri)
    assert isinstance(uri, SipUri)
    assert (uri.user, uri.params) == ("li;at=@home", {"lr": ""})


@pytest.mark.parametrize("transport", ["UDP", "SCTP", "TLS", "NEVERHEARDOF", "TLS-SCTP"])
def test_3_1_1_10_all_kinds_of_transports(transport: str) -> None:
    assert valid(request(via=f"Via: SIP/2.0/{transport} h;branch=z9hG4bK1")).top_via.transport == transport


def test_3_1_1_11_bodies_are_octets() -> None:
    body = b"--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x\r\n\r\n" + bytes(range(256)) + b"\r\n--x--\r\n"
    message = valid(request("MESSAGE", body=body, type='Content-Type: multipart/mixed; boundary="x"'))
    assert (message.body, message.content_type) == (body, "multipart/mixed")


def test_3_1_1_12_and_13_reason_phrases() -> None:
    message = parse_message(response("SIP/2.0 200 = 2 * (10**2) это двести"))
    assert isinstance(message, Response)
    assert message.phrase == "= 2 * (10**2) это двести"
    message = parse_message(response("SIP/2.0 100 "))
    assert isinstance(message, Response)
    assert (message.status, message.phrase) == (100, "")


# --- 3.1.2 invalid ---


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        pytest.param(
            request(via="Via: SIP/2.0/UDP 192.0.2.9;,;;,", contact='Contact: "Li" <sip:li@b>;;'),
            "via",
            400,
            id="1",
        ),
        pytest.param(request(contact='Contact: "Li" <sip:li@b>;;'), "contact", 400, id="1-contact"),
        pytest.param(request(body=SDP, length="Content-Length: 8888"), "length", 400, id="2"),
        pytest.param(request(body=SDP, length="Content-Length: -12"), "length", 400, id="3"),
        pytest.param(
            request("REGISTER", cseq="CSeq: 18446744073709551616 REGISTER"), "cseq", 400, id="4-cseq"
        ),
        pytest.param(request(max_forwards="Max-Forwards: 301"), "max_forwards", 400, id="4-max-forwards"),
        pytest.param(request(to='To: "Li Si <sip:li@example.org>'), "to", 400, id="6"),
        pytest.param(request(uri="<sip:li@example.org>"), "uri", 400, id="7"),
        pytest.param(request(uri="sip:li@example.org; lr"), "start_line", 400, id="8"),
        pytest.param(request(start="INVITE  sip:li@example.org  SIP/2.0"), "start_line", 400, id="9"),
        pytest.param(request(start="INVITE sip:li@example.org SIP/2.0 \t"), "start_line", 400, id="10"),
        pytest.param(request(uri="sip:li@example.org?Subject=x"), "uri", 400, id="11"),
        pytest.param(request("REGISTER", contact="m: sip:li@b?Subject=x"), "contact", 400, id="13"),
        pytest.param(request(to='To: "Li" < sip:li@example.org >'), "to", 400, id="14"),
        pytest.param(request(from_="From: Li, Si <sip:li@example.org>;tag=1"), "from", 400, id="15"),
        pytest.param(
            request("OPTIONS", version="SIP/8.0", via="Via: SIP/8.0/UDP h;branch=z9hG4bK1"),
            "version",
            505,
            id="16",
        ),
        pytest.param(request("OPTIONS", cseq="CSeq: 1 INVITE"), "cseq", 400, id="17"),
        pytest.param(request("FRESHMETHOD", cseq="CSeq: 1 INVITE"), "cseq", 400, id="18"),
    ],
)
def test_3_1_2_requests_that_are_answered_with_an_error(data: bytes, kind: str, status: int) -> None:
    refused = invalid(data)
    assert (refused.kind, refused.status) == (kind, status)
    assert refused.request is not None
    assert refused.request.values("via")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(response("SIP/2.0 503 x", cseq="CSeq: 18446744073709551616 OPTIONS"), "cseq", id="5"),
        pytest.param(response("SIP/2.0 8589934793 much too much"), "status", id="19"),
    ],
)
def test_3_1_2_responses_that_are_dropped(data: bytes, kind: str) -> None:
    refused = invalid(data)
    assert (refused.kind, refused.request) == (kind, None)


def test_3_1_2_5_other_numbers_too_large_for_anybody_do_no_harm() -> None:
    large = "9" * 100
    data = response(
        "SIP/2.0 503 x",
        retry=f"Retry-After: {large}",
        warning=f"Warning: {large} a",
        expires=f"Expires: {large}",
    )
    assert parse_message(data).value("retry-after") == large


def test_3_1_2_12_a_date_in_another_zone_is_nobodys_business() -> None:
    assert valid(request(date="Date: Sat, 02 Jan 2010 10:00:00 CST")).value("date").endswith("CST")


# --- 3.2 and 3.3 ---


def test_3_2_1_a_branch_of_nothing_but_the_cookie() -> None:
    assert valid(request(via="Via: SIP/2.0/UDP h;branch=z9hG4bK")).top_via.branch == "z9hG4bK"


def test_3_3_1_missing_headers_are_answered_as_far_as_they_go() -> None:
    data = b"INVITE sip:a@b SIP/2.0\r\nCSeq: 193 INVITE\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\nl: 0\r\n\r\n"
    refused = invalid(data)
    assert refused.status == 400
    assert refused.request is not None
    assert (refused.request.cseq, refused.request.value("call-id"), refused.request.value("to")) == (
        193,
        "",
        "",
    )


@pytest.mark.parametrize("uri", ["whoKnowsThis:entirelyopaque", "odd.scheme://192.0.2.1:9/x"])
def test_3_3_2_and_3_unknown_schemes_in_the_request_uri(uri: str) -> None:
    refused = invalid(request("OPTIONS", uri=uri))
    assert (refused.kind, refused.status) == ("uri", 416)
    assert refused.request is not None


def test_3_3_4_unknown_schemes_elsewhere() -> None:
    message = valid(
        request(
            "REGISTER", to="To: issn:1234567", from_="From: <https://w.example>;tag=1", contact="m: <n:Li>"
        )
    )
    assert (message.to.uri, message.from_.uri, message.from_tag) == ("issn:1234567", "https://w.example", "1")
    assert message.contact == NameAddr("", "n:Li", {})


def test_3_3_5_to_7_what_others_decide_is_readable() -> None:
    message = valid(
        request(
            body=b"<x/>",
            require="Require: nobodyHasThis, norThis",
            type="Content-Type: application/neverseen",
            auth="Authorization: StrangeScheme data=here",
        )
    )
    assert message.values("require") == ["nobodyHasThis", "norThis"]
    assert message.content_type == "application/neverseen"
    assert message.value("authorization") == "StrangeScheme data=here"


def test_3_3_8_single_values_that_come_twice() -> None:
    refused = invalid(
        request(
            cseq2="CSeq: 8 INVITE",
            call2="Call-ID: two",
            from2="From: <sip:a@b>;tag=2",
            to2="To: <sip:c@d>",
            max2="Max-Forwards: 5",
            contact="Contact: <sip:a@b>",
            contact2="Contact: <sip:c@d>",
        )
    )
    assert refused.status == 400
    assert refused.request is not None


def test_3_3_9_two_content_lengths() -> None:
    refused = invalid(
        request(body=b"how much of this?", length="Content-Length: 3", length2="Content-Length: 9")
    )
    assert (refused.kind, refused.status) == ("length", 400)


def test_3_3_10_a_response_with_somebody_elses_via_is_readable() -> None:
    message = parse_message(response(via2="Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKy"))
    assert message.top_via.host == "192.0.2.9"


def test_3_3_11_max_forwards_may_be_used_up() -> None:
    assert valid(request("OPTIONS", max_forwards="Max-Forwards: 0")).max_forwards == 0


@pytest.mark.parametrize(
    ("line", "uri", "params"),
    [
        ("Contact: sip:+8613800000001@gw;what", "sip:+8613800000001@gw", {"what": ""}),
        ("Contact: <sip:+8613800000001@gw;what>", "sip:+8613800000001@gw;what", {}),
        ("Contact: <sip:li@b?Route=%3Csip:c%3E>", "sip:li@b?Route=%3Csip:c%3E", {}),
    ],
)
def test_3_3_12_to_14_parameters_and_headers_of_a_contact(
    line: str, uri: str, params: dict[str, str]
) -> None:
    assert valid(request("REGISTER", contact=line)).contact == NameAddr("", uri, params)


def test_3_4_1_a_request_of_rfc_2543() -> None:
    data = request(
        body=SDP,
        without="max_forwards",
        via="Via: SIP/2.0/UDP gw.example.org",
        from_="From: <sip:+8613800000001@gw.example.org;user=phone>",
        to="To: sip:+8613800000002@example.org;user=phone",
        route="Record-Route: <sip:a@b;maddr=c.example.org>",
    ).replace(f"Content-Length: {len(SDP)}\r\n".encode(), b"")
    message = parse_message(data)
    assert (message.top_via.branch, message.from_tag, message.to_tag) == ("", "", "")
    assert (message.body, message.max_forwards) == (SDP.encode(), None)


# --- RFC 5118 ---


def test_5118_4_1_an_ipv6_reference() -> None:
    message = valid(
        request(
            "REGISTER",
            uri="sip:[2001:db8::21]",
            via="Via: SIP/2.0/UDP [2001:DB8::9:1];branch=z9hG4bK1",
            call_id="Call-ID: x@[2001:db8::9:1]",
            contact='Contact: "Li" <sip:li@[2001:db8::1]>',
        )
    )
    assert message.top_via.host == "2001:db8::9:1"
    assert message.contact == NameAddr("Li", "sip:li@[2001:db8::1]", {})


def test_5118_4_2_an_address_without_brackets() -> None:
    refused = invalid(request("REGISTER", uri="sip:2001:db8::21"))
    assert (refused.kind, refused.status) == ("uri", 400)
    assert refused.request is not None


@pytest.mark.parametrize(
    ("uri", "host", "port"),
    [("sip:[2001:db8::21:5071]", "2001:db8::21:5071", 0), ("sip:[2001:db8::21]:5071", "2001:db8::21", 5071)],
)
def test_5118_4_3_and_4_the_port_stands_behind_the_bracket(uri: str, host: str, port: int) -> None:
    parsed = parse_uri(valid(request("REGISTER", uri=uri)).uri)
    assert isinstance(parsed, SipUri)
    assert (parsed.host, parsed.port) == (host, port)


@pytest.mark.parametrize("received", ["[2001:db8::9:255]", "2001:db8::9:255"])
def test_5118_4_5_received_with_and_without_brackets(received: str) -> None:
    message = valid(
        request(
            "BYE",
            via=f"Via: SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bK1",
            uri="sip:[::1]",
        )
    )
    assert message.top_via.params == {"received": "2001:db8::9:255", "branch": "z9hG4bK1"}


def test_5118_4_6_to_8_both_kinds_of_addresses_side_by_side() -> None:
    session = "c=IN IP6 2001:db8::20\r\nt=0 0\r\nm=audio 6 RTP/AVP 0\r\nm=video 8 RTP/AVP 31\r\nc=IN IP4 192.0.2.7\r\n"
    message = valid(
        request(
            body=f"v=0\r\no=- 1 1 IN IP6 2001:db8::20\r\ns=-\r\n{session}",
            via="Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bK1",
            via2="Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2;received=192.0.2.200",
        )
    )
    assert [Via.parse(via).host for via in message.values("via")] == ["2001:db8::9:1", "192.0.2.1"]
    assert masked_session(message.body.decode()) == session


def test_5118_4_9_mapped_addresses() -> None:
    message = valid(
        request(
            uri="sip:li@[::ffff:192.0.2.10]",
            via="Via: SIP/2.0/UDP [::ffff:192.0.2.2]:5062;branch=z9hG4bK1",
            body="v=0\r\nc=IN IP6 ::ffff:192.0.2.2\r\nt=0 0\r\nm=audio 6 RTP/AVP 0\r\n",
        )
    )
    assert (message.top_via.host, message.top_via.port) == ("::ffff:192.0.2.2", 5062)
    assert "c=IN IP6 ::ffff:192.0.2.2\r\n" in masked_session(message.body.decode())


def test_5118_4_10_three_colons() -> None:
    message = valid(
        request(
            "OPTIONS",
            uri="sip:li@[2001:db8:::192.0.2.1]",
            via="Via: SIP/2.0/UDP [2001:db8:::9];branch=z9hG4bK1",
        )
    )
    uri = parse_uri(message.uri)
    assert isinstance(uri, SipUri)
    assert (uri.host, message.top_via.host) == ("2001:db8::192.0.2.1", "2001:db8::9")
