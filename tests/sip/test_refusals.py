"""What comes back for a request that is malformed or asks too much: at the door, and from the whole core (the
section numbers are those of RFC 4475)."""

from __future__ import annotations

import pytest

from engine.sip.flow import Flow
from tests.simulation.scene import Scene, X
from tests.sip.door import FAR, Door, header, headers, status
from tests.sip.samples import SDP, request, response

CALLER = Flow("udp", "127.0.1.11", 5060, 1, "pstn")
PEER = {
    "via": "Via: SIP/2.0/UDP 127.0.1.11;branch=z9hG4bKtorture",
    "from_": "From: <sip:13800000001@127.0.1.11>;tag=a1",
    "to": f"To: <sip:{X}@127.0.0.9>",
    "call_id": "Call-ID: torture@127.0.1.11",
    "contact": "Contact: <sip:a@127.0.1.11>",
    "uri": f"sip:{X}@127.0.0.9",
}

REFUSED = [
    pytest.param(request(version="SIP/3.0"), 505, "version", id="3.1.2.16"),
    pytest.param(request(uri="nobody:knows"), 416, "uri", id="3.3.2"),
    pytest.param(request(uri="sip:a@192.0.2.1?Subject=x"), 400, "uri", id="3.1.2.11"),
    pytest.param(request(uri="<sip:a@192.0.2.1>"), 400, "uri", id="3.1.2.7"),
    pytest.param(request(body=SDP, length="Content-Length: 9999"), 400, "length", id="3.1.2.2"),
    pytest.param(request(length="Content-Length: -1"), 400, "length", id="3.1.2.3"),
    pytest.param(request(cseq="CSeq: 4294967296 INVITE"), 400, "cseq", id="3.1.2.4"),
    pytest.param(request(max_forwards="Max-Forwards: 256"), 400, "max_forwards", id="3.1.2.4-max-forwards"),
    pytest.param(request(to='To: "A <sip:a@192.0.2.1>'), 400, "to", id="3.1.2.6"),
    pytest.param(request(cseq="CSeq: 7 BYE"), 400, "cseq", id="3.1.2.17"),
    pytest.param(request("FOO", cseq="CSeq: 7 BAR"), 400, "cseq", id="3.1.2.18"),
    pytest.param(request(more="From: <sip:b@192.0.2.9>;tag=b"), 400, "from", id="3.3.8"),
    pytest.param(request(body=SDP, more="l: 3"), 400, "length", id="3.3.9"),
    pytest.param(request("BYE", to="To: <sip:a@x>;tag=1", cseq="CSeq: x BYE"), 400, "cseq", id="in a dialog"),
    pytest.param(request("CANCEL", version="SIP/2.1"), 505, "version", id="a CANCEL"),
]


@pytest.mark.parametrize(("data", "code", "kind"), REFUSED)
def test_a_malformed_request_is_answered_alike_each_time_and_leaves_nothing(
    data: bytes, code: int, kind: str
) -> None:
    door = Door()
    [answer] = door.receive(data)
    assert answer.startswith(f"SIP/2.0 {code} ")
    assert headers(answer, "Via") == ["SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK77ef"]
    assert header(answer, "Call-ID") == "one@192.0.2.9"
    assert header(answer, "To").count(";tag=") == 1
    assert door.receive(data) == [answer]
    assert door.counts.kinds == [kind] * 2
    assert [line.split()[2] for line in door.counts.responses] == [str(code)] * 2
    assert door.given == []
    assert door.quiet


class Elsewhere:
    """The identifiers of another engine, or of this one after a restart."""

    def token(self) -> str:
        return "elsewhere"


def test_two_malformed_requests_get_two_tags_and_nobody_can_tell_them_beforehand() -> None:
    tags = set()
    for door, call_id in ((Door(), "one"), (Door(), "two"), (Door(identifiers=Elsewhere()), "one")):
        [answer] = door.receive(request(version="SIP/3.0", call_id=f"Call-ID: {call_id}"))
        tags.add(header(answer, "To").partition(";tag=")[2])
    assert len(tags) == 3


@pytest.mark.parametrize("missing", ["from", "to", "call_id", "cseq"])
def test_what_a_request_lacks_its_answer_lacks_too(missing: str) -> None:
    """3.3.1: answered as far as it goes, with no empty header."""
    door = Door()
    [answer] = door.receive(request(without=missing))
    names = [line.partition(":")[0] for line in answer.split("\r\n")[1:-2]]
    expected = {"from": "From", "to": "To", "call_id": "Call-ID", "cseq": "CSeq"}
    assert names == ["Via", *[name for key, name in expected.items() if key != missing], "Content-Length"]
    assert answer.startswith("SIP/2.0 400 ")


def test_a_broken_via_still_shows_the_way_back() -> None:
    """3.1.2.1: extra separators."""
    door = Door()
    door.endpoint.receive(
        request(via="Via: SIP/2.0/UDP 192.0.2.9:5062;;,;branch=z9hG4bK1"),
        Flow("udp", "192.0.2.9", 6000, 2),
        door.now,
    )
    [(flow, data)] = door.outbox
    assert (flow.host, flow.port, flow.local) == ("192.0.2.9", 5062, 2)
    assert data.startswith(b"SIP/2.0 400 ")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(b"", "empty", id="nothing"),
        pytest.param(b"\x00\x00\x00\x00", "start_line", id="NULs"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "start_line", id="HTTP"),
        pytest.param(request(without="via"), "via", id="no Via"),
        pytest.param(request("ACK", cseq="CSeq: 7 INVITE"), "cseq", id="ACK"),
        pytest.param(response("SIP/2.0 99999 x"), "status", id="3.1.2.19"),
        pytest.param(response(cseq="CSeq: 18446744073709551616 INVITE"), "cseq", id="3.1.2.5"),
        pytest.param(response("SIP/3.0 200 OK"), "version", id="a response of another version"),
        pytest.param(response(without="to"), "to", id="a response without To"),
        pytest.param(response(more="Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1"), "via", id="3.3.10"),
    ],
)
def test_what_cannot_be_answered_is_dropped_and_counted(data: bytes, kind: str) -> None:
    door = Door()
    assert door.receive(data) == []
    assert door.counts.kinds == [kind]
    assert door.quiet


def test_a_response_to_nothing_is_dropped() -> None:
    """3.3.10 too: its Via names somebody else, or its branch nobody."""
    door = Door()
    assert door.receive(response()) == []
    assert door.counts.responses == ["in INVITE 200 pstn"]
    assert door.quiet


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        pytest.param(request("OPTIONS", **PEER), 200, "Allow", id="OPTIONS"),
        pytest.param(
            request("OPTIONS", **PEER | {"via": "Via: SIP/2.0/UDP 127.0.1.11;branch=z9hG4bK"}), 200, "Allow",
            id="3.2.1",
        ),
        pytest.param(request("NEWMETHOD", **PEER), 501, "Allow", id="an unknown method"),
        pytest.param(request("REGISTER", **PEER), 405, "Allow", id="3.3.7"),
        pytest.param(request("REFER", **PEER), 405, "Allow", id="REFER"),
        pytest.param(request("SUBSCRIBE", **PEER), 405, "Allow", id="SUBSCRIBE"),
        pytest.param(request("OPTIONS", **PEER, more="Require: nothing, else"), 420, "Unsupported", id="3.3.5"),
        pytest.param(request(**PEER, more="Require: nothing"), 420, "Unsupported", id="INVITE with Require"),
        pytest.param(
            request(**PEER, body="x", more="Content-Type: application/unknown"), 415, "Accept", id="3.3.6"
        ),
        pytest.param(request(**PEER, max_forwards="Max-Forwards: 0"), 483, "Reason", id="3.3.11"),
        pytest.param(request(**PEER | {"uri": "soap.beep://192.0.2.103:3002"}), 416, "To", id="3.3.3"),
        pytest.param(request("BYE", **PEER | {"to": "To: <sip:a@x>;tag=t"}), 481, "To", id="BYE to no dialog"),
        pytest.param(request(**PEER | {"to": "To: <sip:a@x>;tag=t"}), 481, "To", id="re-INVITE to no dialog"),
        pytest.param(request("INFO", **PEER | {"to": "To: <sip:a@x>;tag=t"}), 481, "To", id="INFO to no dialog"),
        pytest.param(request("CANCEL", **PEER), 481, "To", id="CANCEL of nothing"),
        pytest.param(request(**PEER | {"contact": "X: y"}), 400, "To", id="INVITE without Contact"),
        pytest.param(request(**PEER | {"contact": "Contact: *"}), 400, "To", id="INVITE with a star"),
        pytest.param(request(**PEER | {"contact": "Contact: <http://a/>"}), 400, "To", id="INVITE from the web"),
        pytest.param(
            request(**PEER, body="v=0\r\nx", more="Content-Type: application/sdp"), 400, "To", id="broken SDP"
        ),
        pytest.param(
            request(**PEER, body="x", more="Content-Type: multipart/mixed"), 400, "To", id="no boundary"
        ),
    ],
)  # fmt: skip
def test_the_core_answers_what_the_rfcs_ask(data: bytes, code: int, says: str) -> None:
    scene = Scene()
    engine = scene.engine
    engine.receive(data, CALLER, scene.world.now)
    [(flow, sent)] = engine.outbox
    answer = sent.decode()
    engine.outbox.clear()
    assert status(answer) == code
    assert (flow.host, flow.port) == ("127.0.1.11", 5060)
    assert header(answer, "To").count(";tag=") == 1
    assert header(answer, says)
    engine.receive(data, CALLER, scene.world.now)
    assert [sent.decode() for _, sent in engine.outbox] == [answer]
    assert engine.faults == []


def test_a_stranger_on_the_network_gets_no_more_than_403() -> None:
    scene = Scene()
    stranger = Flow("udp", "198.51.100.1", 5060, 1)
    for method in ("INVITE", "OPTIONS", "REGISTER", "MESSAGE"):
        via = f"Via: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bK{method}"
        scene.engine.receive(request(method, **PEER | {"via": via}), stranger, scene.world.now)
    assert [status(sent.decode()) for _, sent in scene.engine.outbox] == [403] * 4
    assert scene.engine.endpoint.transactions_active == 0
    scene.engine.outbox.clear()
    scene.run(40.0)
    assert scene.world.log == []  # nothing is repeated to an address that perhaps never asked
    [record] = scene.engine.records.ends
    assert (record.reason, record.attempts) == ("unknown_source", 1)


def test_a_stranger_in_no_dialog_gets_481() -> None:
    scene = Scene()
    stranger = Flow("udp", "198.51.100.1", 5060, 1)
    inside = PEER | {"to": "To: <sip:a@x>;tag=t", "via": "Via: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bK1"}
    for method in ("BYE", "INVITE", "CANCEL"):
        scene.engine.receive(request(method, **inside), stranger, scene.world.now)
    assert [status(sent.decode()) for _, sent in scene.engine.outbox] == [481] * 3
    assert scene.engine.endpoint.transactions_active == 0


def test_what_is_turned_away_gets_the_same_answer_each_time_and_leaves_nothing() -> None:
    door = Door()
    door.refusal = (503, "Retry-After: 5\r\n")
    [answer] = door.receive(request())
    assert door.receive(request("ACK", to="To: <sip:700123456789012@192.0.2.1>;tag=x")) == []
    assert door.receive(request()) == [answer]
    assert status(answer) == 503
    assert header(answer, "Retry-After") == "5"
    assert header(answer, "To").count(";tag=") == 1
    assert door.given == []
    assert door.quiet


def test_keep_alives_are_no_faults() -> None:
    door = Door()
    flow = Flow("udp", "192.0.2.9", 5062)
    for data in (b"\r\n\r\n", b"\r\n"):
        assert door.receive(data, flow) == []
    assert door.counts.kinds == []
    assert flow.faults == 0
    door.receive(b"x", flow)
    assert flow.faults == 1


def test_the_flow_of_a_refusal_is_that_of_the_request() -> None:
    door = Door()
    door.endpoint.receive(request(version="SIP/3.0"), FAR, door.now)
    assert door.outbox[0][0] is FAR
