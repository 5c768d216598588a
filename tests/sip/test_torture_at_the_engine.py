"""All 49 points of RFC 4475 and all of RFC 5118 at the whole engine, over UDP and TCP, with messages of our own: what
comes back, whether somebody rings, and that nothing is left. `test_torture.py` looks at what is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from engine.sip.flow import Flow
from engine.sip.framing import StreamError, StreamFramer
from tests.simulation.scene import ALICE, A, Scene, X
from tests.simulation.stranger import Stranger
from tests.sip.door import header
from tests.sip.samples import SDP, request, response

HOST, PORT = ALICE
LONG = "long" * 120
KIND = "Content-Type: application/sdp"


def ours(method: str = "INVITE", **changed: Any) -> bytes:
    """A request that A's switch might send for a call to X; `via` stands for the first Via's value."""
    via = changed.pop("via", "SIP/2.0/{t} " + f"{HOST}:{PORT};branch=z9hG4bKtorture")
    lines: dict[str, Any] = {
        "uri": f"sip:{X}@127.0.0.9",
        "via": f"Via: {via}",
        "from_": f"From: <sip:{A}@{HOST}>;tag=a1",
        "to": f"To: <sip:{X}@127.0.0.9>",
        "call_id": f"Call-ID: torture@{HOST}",
        "contact": f"Contact: <sip:a@{HOST}:{PORT}>",
    }
    if changed.get("body") == SDP:
        lines["kind"] = KIND
    return request(method, **(lines | changed))


FOLDED = (
    f"INVITE sip:{X}@127.0.0.9;flag SIP/2.0\r\n"
    f"tO :\r\n sip:{X}@127.0.0.9 ;  isub\t=  77\r\n"
    f'fRoM\t: "W \\\\ \\"" \t<sip:{A}@{HOST}>\r\n ;\r\n  tag =\r\n x9\r\n'
    f"mAX-forwards : 0042\r\nI: fold@{HOST}\r\ncontent-LENGTH\t:\r\n {len(SDP)}\r\nCSEQ:\r\n 0011\r\n \tINVITE\r\n"
    f"vIA: SIP\r\n /2.0 /\r\n {{t}} {HOST}:{PORT} ;branch= z9hG4bKfold\r\ns:\r\nNew-Thing: one\r\n two\r\n"
    f'Odd: ,;,,;\r\nc:\r\n application/sdp\r\nm : "Q \\"" <sip:a@{HOST}:{PORT}> ; p =\r\n  v\r\n\r\n{SDP}'
).encode()
MULTIPART = (
    (
        f"--x\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--x\r\nContent-Type: application/pkcs7-signature\r\n\r\n"
    ).encode()
    + bytes(range(256)).replace(b"\r\n--", b"")
    + b"\r\n--x--\r\n"
)
VIAS = {f"via{place}": f"{'vV'[place % 2]}: SIP/2.0/TCP h{place}.example.org" for place in range(2, 34)}

# What it is; the datagram, or the octets of the stream; the statuses that come back at once; whether B rings.
Point = tuple[str, bytes, Sequence[int], bool]
POINTS: list[Point] = [
    ("3.1.1.1 folding and space", FOLDED, [100], True),
    (
        "3.1.1.2 wide range of characters",
        ours("Odd-Word.0123456789!%*_+`'~", odd="He.!%*_+`'~: \ufeff大停電"),
        [501],
        False,
    ),
    (
        "3.1.1.3 escapes in URIs",
        ours(uri=f"sip:%37{X[1:]}@127.0.0.9", contact=f"Contact: <sip:%61b@{HOST};%6c%52>"),
        [100],
        True,
    ),
    (
        "3.1.1.4 escaped nulls",
        ours("REGISTER", to="To: sip:n%00ll@example.org", contact="m: <sip:%00%00@h>"),
        [405],
        False,
    ),
    ("3.1.1.5 percent in a method", ours("RE%47IST%45R", c2="C%6Fntact: <sip:c@d>"), [501], False),
    ("3.1.1.6 no space before <", ours(from_=f"From: li<sip:{A}@{HOST}>;tag=1"), [100], True),
    (
        "3.1.1.7 long values",
        ours(from_=f'From: "{LONG}" <sip:{A}@{HOST}>;tag={"9" * 300};{LONG}', odd=f"{LONG}: {LONG}", **VIAS),
        [100],
        True,
    ),
    (
        "3.1.1.8 another request behind the end",
        ours("OPTIONS")
        + b"\r\n"
        + ours(call_id="Call-ID: second", via="SIP/2.0/{t} 127.0.1.11:5060;branch=z9hG4bK2"),
        [200],
        False,
    ),
    ("3.1.1.9 semicolons in the user part", ours(uri=f"sip:{X};x=%40@127.0.0.9;lr"), [100], True),
    (
        "3.1.1.10 all kinds of transports",
        ours("OPTIONS", v2="Via: SIP/2.0/SCTP a;branch=z9hG4bK2", v3="v: SIP/2.0/NEVER b;branch=z9hG4bK3"),
        [200],
        False,
    ),
    (
        "3.1.1.11 multipart with octets",
        ours(body=MULTIPART, kind='Content-Type: multipart/mixed; boundary="x"'),
        [100],
        True,
    ),
    ("3.1.1.12 unusual reason phrase", response("SIP/2.0 200 = 2**3 это двести"), [], False),
    ("3.1.1.13 no reason phrase", response("SIP/2.0 100 "), [], False),
    ("3.1.2.1 extra separators", ours(via="SIP/2.0/{t} 127.0.1.11:5060;;,;branch=z9hG4bK1"), [400], False),
    ("3.1.2.2 Content-Length too large", ours(body=SDP, length="Content-Length: 9999"), [400], False),
    ("3.1.2.3 negative Content-Length", ours(body=SDP, length="Content-Length: -999"), [400], False),
    (
        "3.1.2.4 numbers too large in a request",
        ours("OPTIONS", cseq="CSeq: 36893488147419103232 OPTIONS", max_forwards="Max-Forwards: 300"),
        [400],
        False,
    ),
    (
        "3.1.2.5 numbers too large in a response",
        response(
            "SIP/2.0 503 x",
            cseq="CSeq: 9292394834772304023312 OPTIONS",
            r="Retry-After: 949302838503028349304023988",
        ),
        [],
        False,
    ),
    ("3.1.2.6 unterminated quote", ours(to=f'To: "Mr. X <sip:{X}@127.0.0.9>'), [400], False),
    ("3.1.2.7 <> around the Request-URI", ours(uri=f"<sip:{X}@127.0.0.9>"), [400], False),
    ("3.1.2.8 space in the Request-URI", ours(uri=f"sip:{X}@127.0.0.9; lr"), [400], False),
    ("3.1.2.9 spaces in the start line", ours(start=f"INVITE  sip:{X}@127.0.0.9  SIP/2.0"), [400], False),
    (
        "3.1.2.10 space behind the start line",
        ours("OPTIONS", start=f"OPTIONS sip:{X}@127.0.0.9 SIP/2.0  "),
        [400],
        False,
    ),
    ("3.1.2.11 headers in the Request-URI", ours(uri=f"sip:{X}@127.0.0.9?Route=%3Csip:x%3E"), [400], False),
    ("3.1.2.12 a Date in another zone", ours(date="Date: Fri, 01 Jan 2010 16:00:00 EST"), [100], True),
    (
        "3.1.2.13 a Contact without <>",
        ours("REGISTER", contact="Contact: sip:a@h?Route=%3Csip:x%3E"),
        [400],
        False,
    ),
    ("3.1.2.14 spaces within <>", ours("OPTIONS", to=f'To: "X" < sip:{X}@127.0.0.9 >'), [400], False),
    (
        "3.1.2.15 a bare comma in the display name",
        ours("OPTIONS", from_=f"From: Li, Si <sip:{A}@{HOST}>;tag=1"),
        [400],
        False,
    ),
    ("3.1.2.16 another version", ours("OPTIONS", version="SIP/7.0"), [505], False),
    ("3.1.2.17 CSeq of another method", ours("OPTIONS", cseq="CSeq: 8 INVITE"), [400], False),
    ("3.1.2.18 CSeq of another unknown method", ours("NEWMETHOD", cseq="CSeq: 8 INVITE"), [400], False),
    ("3.1.2.19 a status that is none", response("SIP/2.0 4294967301 better not"), [], False),
    (
        "3.2.1 no transaction id",
        ours("OPTIONS", via="SIP/2.0/{t} 127.0.1.11:5060;branch=z9hG4bK"),
        [200],
        False,
    ),
    (
        "3.3.1 missing headers",
        b"INVITE sip:a@b SIP/2.0\r\nCSeq: 3 INVITE\r\nVia: SIP/2.0/{t} 127.0.1.11:5060;branch=z9hG4bKx\r\nl: 0\r\n\r\n",
        [400],
        False,
    ),
    ("3.3.2 unknown scheme", ours("OPTIONS", uri="nobodyKnowsThisScheme:opaque"), [416], False),
    ("3.3.3 known, but no SIP", ours("OPTIONS", uri="soap.beep://192.0.2.103:3002"), [416], False),
    (
        "3.3.4 unknown schemes elsewhere",
        ours(
            "REGISTER",
            to="To: isbn:2983792873",
            from_="From: <http://w.example>;tag=3",
            contact="m: <name:Li>",
        ),
        [405],
        False,
    ),
    (
        "3.3.5 unknown extensions",
        ours("OPTIONS", require="Require: nothingSupportsThis, nothingSupportsThisEither"),
        [420],
        False,
    ),
    (
        "3.3.6 unknown content type",
        ours(body="<x/>", kind="Content-Type: application/unknownformat"),
        [415],
        False,
    ),
    (
        "3.3.7 unknown authorization",
        ours("REGISTER", auth="Authorization: NoOneKnowsThisScheme opaque=here"),
        [405],
        False,
    ),
    (
        "3.3.8 single values twice",
        ours(
            cseq2="CSeq: 8 INVITE", call2="Call-ID: two", to2="To: <sip:c@d>", from2="From: <sip:e@f>;tag=4"
        ),
        [400],
        False,
    ),
    (
        "3.3.9 two Content-Lengths",
        ours("OPTIONS", body="who is it", length="Content-Length: 3", l2="l: 9"),
        [400],
        False,
    ),
    (
        "3.3.10 a response to somebody else",
        response(via2="Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKy"),
        [],
        False,
    ),
    ("3.3.11 Max-Forwards used up", ours(max_forwards="Max-Forwards: 0"), [483], False),
    (
        "3.3.12 a parameter of the Contact",
        ours("REGISTER", contact=f"Contact: sip:+86{A}@gw;unknownparam"),
        [405],
        False,
    ),
    (
        "3.3.13 a parameter of the URI",
        ours("REGISTER", contact=f"Contact: <sip:+86{A}@gw;unknownparam>"),
        [405],
        False,
    ),
    (
        "3.3.14 headers in a Contact URI",
        ours("REGISTER", contact="Contact: <sip:a@h?Route=%3Csip:x%3E>"),
        [405],
        False,
    ),
    (
        "3.3.15 an Accept without sessions",
        ours(body=SDP, accept="Accept: text/nobodyKnowsThis"),
        [406],
        False,
    ),
    (
        "3.4.1 a request of RFC 2543",
        ours(
            via="SIP/2.0/{t} 127.0.1.11:5060",
            without="max_forwards",
            from_=f"From: <sip:{A}@{HOST};user=phone>",
            to=f"To: sip:{X}@127.0.0.9;user=phone",
            route=f"Record-Route: <sip:{X}@127.0.1.11;maddr=127.0.1.11>",
        ),
        [100],
        True,
    ),
    (
        "5118 4.1 an IPv6 reference",
        ours("REGISTER", uri="sip:[2001:db8::10]", contact="Contact: <sip:a@[2001:db8::1]>"),
        [405],
        False,
    ),
    ("5118 4.2 without brackets", ours("REGISTER", uri="sip:2001:db8::10"), [400], False),
    ("5118 4.3 the port within the brackets", ours("REGISTER", uri="sip:[2001:db8::10:5070]"), [405], False),
    ("5118 4.4 the port behind them", ours("REGISTER", uri="sip:[2001:db8::10]:5070"), [405], False),
    (
        "5118 4.5 received without brackets",
        ours("OPTIONS", v2="Via: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bK2"),
        [200],
        False,
    ),
    (
        "5118 4.5 received within brackets",
        ours("OPTIONS", v2="Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bK2"),
        [200],
        False,
    ),
    (
        "5118 4.6 an IPv6 session",
        ours(body=SDP.replace("IP4 192.0.2.7", "IP6 2001:db8::20"), kind=KIND),
        [100],
        True,
    ),
    (
        "5118 4.7 both kinds of Vias",
        ours(
            "OPTIONS",
            v2="Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bK2",
            v3="Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK3",
        ),
        [200],
        False,
    ),
    (
        "5118 4.8 both kinds of media",
        ours(body=SDP + "m=video 6 RTP/AVP 31\r\nc=IN IP6 2001:db8::1\r\n", kind=KIND),
        [100],
        True,
    ),
    (
        "5118 4.9 a mapped address",
        ours(
            body=SDP.replace("c=IN IP4 192.0.2.7", "c=IN IP6 ::ffff:192.0.2.2"),
            kind=KIND,
            contact="Contact: <sip:a@[::ffff:127.0.1.11]>",
        ),
        [100],
        True,
    ),
    ("5118 4.10 three colons", ours("OPTIONS", uri="sip:li@[2001:db8:::192.0.2.1]"), [200], False),
]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("what", "data", "statuses", "rings"), POINTS, ids=[point[0] for point in POINTS])
def test_point(what: str, data: bytes, statuses: Sequence[int], rings: bool, transport: str) -> None:
    scene = Scene(transport=transport)
    caller = Stranger(scene.world, ALICE)
    engine = scene.engine
    flow = Flow(transport, HOST, PORT, 1, "pstn")
    wanted = list(statuses)
    messages = [data.replace(b"{t}", transport.upper().encode())]
    if transport == "tcp":
        try:
            messages = StreamFramer().feed(messages[0])
        except StreamError as error:
            messages = error.messages  # and the connection is closed
        if what.startswith("3.1.1.8 "):
            wanted, rings = [200, 100], True  # on a stream it is a message of its own
        elif what.startswith("3.1.2.2 "):
            assert messages == []  # the rest may come yet; `transport/streams.py` waits for it, not for long
            wanted = []
    for message in messages:
        engine.receive(message, flow, scene.world.now)
    answers = [sent.decode() for to, sent in engine.outbox if (to.host, to.port) == ALICE]
    assert [int(answer[8:11]) for answer in answers] == wanted
    scene.run(0.1)
    assert bool(scene.bob.calls) is rings
    for answer in answers:
        if not answer.startswith("SIP/2.0 100") and header(answer, "To"):
            assert header(answer, "To").count("tag=") == 1
    if rings:
        scene.ringing.reject(486)
        scene.run(0.1)
        assert caller.last("SIP/2.0").startswith("SIP/2.0 486 ")
    scene.run(70)
    scene.check_nothing_left()


def test_every_point_is_there() -> None:
    sections = {
        *(f"3.1.1.{number}" for number in range(1, 14)),
        *(f"3.1.2.{number}" for number in range(1, 20)),
        "3.2.1",
        *(f"3.3.{number}" for number in range(1, 16)),
        "3.4.1",
    }
    assert len(sections) == 49
    assert {what.split()[0] for what, *_ in POINTS} == sections | {"5118"}
    assert {what.split()[1] for what, *_ in POINTS if what.startswith("5118")} == {
        f"4.{n}" for n in range(1, 11)
    }
