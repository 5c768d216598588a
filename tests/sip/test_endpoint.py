"""The door of the core: which transaction a message belongs to, where answers go, and that nothing stays behind."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.flow import Flow
from tests.sip.door import FAR, Door, answer_to, header, headers, status
from tests.sip.machines import Heard, invite
from tests.sip.samples import SDP, request, response

OLD_VIA = "Via: SIP/2.0/UDP 192.0.2.9:5062"  # of RFC 2543: no branch


# --- requests find their transaction ---


def test_a_request_comes_to_the_core_once_and_its_repeats_are_answered_alike() -> None:
    door = Door(answer=404)
    [answer] = door.receive(request("OPTIONS"))
    assert door.receive(request("OPTIONS")) == [answer]
    assert door.receive(request("OPTIONS")) == [answer]
    assert len(door.given) == 1
    assert door.counts.retransmissions == ["in", "out"] * 2
    assert door.counts.requests == ["in OPTIONS pstn"]
    door.run(33.0)
    assert door.quiet


@pytest.mark.parametrize(
    "via",
    [
        "Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK77eg",
        "Via: SIP/2.0/UDP 192.0.2.8:5062;branch=z9hG4bK77ef",
        "Via: SIP/2.0/UDP 192.0.2.9:5063;branch=z9hG4bK77ef",
        "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK77ef",
        "Via: SIP/2.0/UDP [2001:db8::9]:5062;branch=z9hG4bK77ef",
    ],
)
def test_another_branch_or_sent_by_is_another_transaction(via: str) -> None:
    door = Door()
    door.receive(request())
    door.receive(request(via=via))
    assert len(door.given) == 2
    assert door.counts.retransmissions == []


@pytest.mark.parametrize(
    "via",
    [
        "v: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK77ef;rport",
        "VIA:SIP / 2.0 / UDP  192.0.2.9 : 5062 ; rport ; branch = z9hG4bK77ef",
        "Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK77ef, SIP/2.0/TCP a.example;branch=z9hG4bKdeeper",
    ],
)
def test_the_same_branch_and_sent_by_in_another_spelling_is_the_same_transaction(via: str) -> None:
    door = Door()
    door.receive(request())
    door.receive(request(via=via))
    assert len(door.given) == 1


def test_requests_of_other_methods_with_one_branch_are_transactions_of_their_own() -> None:
    door = Door()
    for method in ("INVITE", "OPTIONS", "BYE", "MESSAGE", "FOO"):
        door.receive(request(method))
    assert [given.request.method for given in door.given] == ["INVITE", "OPTIONS", "BYE", "MESSAGE", "FOO"]


@pytest.mark.parametrize("branch", ["", ";branch=1", ";branch=z9hG4bK"])
def test_without_a_branch_of_rfc_3261_the_whole_of_rfc_2543_decides(branch: str) -> None:
    door = Door(answer=404)
    via = OLD_VIA + branch
    [answer] = door.receive(request(via=via))
    assert door.receive(request(via=via, uri="sip:other@192.0.2.1")) == [answer]
    others = [
        request(via=via, from_="From: <sip:13800000001@192.0.2.9>;tag=b2"),
        request(via=via, call_id="Call-ID: two@192.0.2.9"),
        request(via=via, cseq="CSeq: 8 INVITE"),
        request(via=via.replace("5062", "5063")),
    ]
    for other in others:
        door.receive(other)
    assert len(door.given) == 5


# --- ACK ---


def test_the_ack_to_a_failure_is_the_transactions_own() -> None:
    door = Door(answer=486)
    door.receive(request())
    door.receive(request("ACK", to="To: <sip:700123456789012@192.0.2.1>;tag=ours"))
    assert door.acks == []
    assert door.run(33.0) == []
    assert door.quiet


def test_the_ack_to_a_failure_of_an_old_peer_is_too() -> None:
    door = Door(answer=486)
    door.receive(request(via=OLD_VIA))
    door.receive(request("ACK", via=OLD_VIA, to="To: <sip:700123456789012@192.0.2.1>;tag=ours"))
    assert door.acks == []
    assert door.run(33.0) == []
    assert door.quiet


@pytest.mark.parametrize("branch", ["z9hG4bK77ef", "z9hG4bKother"])
def test_the_ack_to_a_success_is_the_cores(branch: str) -> None:
    """With the branch of the INVITE too, as some peers send it."""
    door = Door(answer=200)
    door.receive(request())
    door.receive(request("ACK", via=f"Via: SIP/2.0/UDP 192.0.2.9:5062;branch={branch}", body=SDP))
    assert [ack.body for ack in door.acks] == [SDP.encode()]
    door.run(33.0)
    door.receive(request("ACK"))
    assert len(door.acks) == 2
    assert door.quiet


def test_an_ack_is_never_answered() -> None:
    door = Door(answer=404)
    assert door.receive(request("ACK")) == []
    assert door.receive(request("ACK", version="SIP/3.0")) == []
    assert door.receive(request("ACK", without="call_id")) == []


# --- CANCEL ---


def test_a_cancel_is_answered_and_told_to_who_answers_the_invite() -> None:
    door = Door()
    door.receive(request())
    [answer] = door.receive(request("CANCEL"))
    assert status(answer) == 200
    assert header(answer, "CSeq") == "7 CANCEL"
    assert ";tag=" in header(answer, "To")
    assert len(door.cancels) == 1
    assert door.receive(request("CANCEL")) == [answer]
    assert len(door.cancels) == 1


@pytest.mark.parametrize("final", [200, 486])
def test_a_cancel_that_comes_too_late_is_answered_and_changes_nothing(final: int) -> None:
    door = Door(answer=final)
    door.receive(request())
    [answer] = door.receive(request("CANCEL"))
    assert status(answer) == 200
    assert door.cancels == []


def test_a_cancel_of_nothing_is_481() -> None:
    door = Door()
    [unknown] = door.receive(request("CANCEL"))
    assert status(unknown) == 481
    door.receive(request("OPTIONS", via="Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bKoptions"))
    [no_invite] = door.receive(request("CANCEL", via="Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bKoptions"))
    assert status(no_invite) == 481
    door.receive(request(via="Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bKinvite"))
    [other_sender] = door.receive(
        request("CANCEL", via="Via: SIP/2.0/UDP 192.0.2.8:5062;branch=z9hG4bKinvite")
    )
    assert status(other_sender) == 481
    assert door.cancels == []


@pytest.mark.parametrize(
    "elsewhere",
    [
        Flow("udp", "192.0.2.9", 5062, 1, "other"),
        Flow("udp", "192.0.2.9", 5062, 1),
        Flow("udp", "192.0.2.7", 1),
    ],
)
@pytest.mark.parametrize("via", ["Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1", OLD_VIA])
def test_nobody_else_ends_an_invite_or_takes_its_place(elsewhere: Flow, via: str) -> None:
    """RFC 3261 22.1: by the same Via from another trunk, or from none."""
    door = Door()
    door.receive(request(via=via), elsewhere)
    door.receive(request(via=via))
    assert len(door.given) == 2
    door.cancels.clear()
    third = Flow("udp", "192.0.2.66", 5062, 1)
    [answer] = door.receive(request("CANCEL", via=via), third)
    assert status(answer) == 481
    assert door.cancels == []
    before = door.endpoint.transactions_active
    assert before == 2
    door.endpoint.respond(door.given[1].transaction, 486, door.now, tag="ours")
    door.take()
    door.receive(request("ACK", via=via), third)
    assert door.run(0.6)  # still repeated: that ACK was none of its own
    door.receive(request("ACK", via=via))
    assert door.run(1.0) == []


def test_hosts_of_one_trunk_may_cancel_for_each_other() -> None:
    door = Door()
    door.receive(request())
    [answer] = door.receive(request("CANCEL"), Flow("udp", "192.0.2.8", 5062, 1, "pstn"))
    assert status(answer) == 200
    assert len(door.cancels) == 1


def test_a_cancel_of_an_old_peer_finds_its_invite() -> None:
    door = Door()
    door.receive(request(via=OLD_VIA))
    [answer] = door.receive(request("CANCEL", via=OLD_VIA))
    assert status(answer) == 200
    assert len(door.cancels) == 1


# --- answers ---


def test_an_answer_repeats_from_to_call_id_and_cseq() -> None:
    door = Door(answer=404)
    [answer] = door.receive(
        request(
            "OPTIONS",
            from_='f: "Anna, \\"A\\"" <sip:a@x.example>;tag=1;x=y',
            to='t:  "Bé" <sip:b@x.example> ',
            call_id="i: folded\r\n  ",
        )
    )
    assert answer.split("\r\n")[2:] == [
        'From: "Anna, \\"A\\"" <sip:a@x.example>;tag=1;x=y',
        'To: "Bé" <sip:b@x.example>;tag=ours',
        "Call-ID: folded",
        "CSeq: 7 OPTIONS",
        "Content-Length: 0",
        "",
        "",
    ]


def test_a_to_that_has_a_tag_gets_no_other() -> None:
    door = Door(answer=481)
    [answer] = door.receive(request("BYE", to="To: <sip:b@x.example>;tag=theirs"))
    assert header(answer, "To") == "<sip:b@x.example>;tag=theirs"


def test_a_body_is_counted_in_octets() -> None:
    door = Door()
    door.receive(request())
    data = door.endpoint.respond(
        door.given[0].transaction,
        200,
        door.now,
        tag="ours",
        headers="Content-Type: text/plain\r\n",
        body="é号",
    )
    assert data.endswith("\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\né号".encode())
    assert door.outbox[0][1] is data


# --- requests of ours ---


def test_every_request_has_a_branch_of_its_own_and_the_via_of_its_transport() -> None:
    door = Door()
    flows = [FAR, Flow("tcp", "192.0.2.9", 5062)]
    for flow in flows:
        door.endpoint.send_invite(invite(), flow, Heard(), door.now)
        door.endpoint.send_request(invite(), flow, Heard(), door.now)
        door.endpoint.send_ack(invite(), flow)
    vias = [header(text, "Via") for text in door.take()]
    assert [via.partition(";")[0] for via in vias] == (
        ["SIP/2.0/UDP 192.0.2.1:5060"] * 3 + ["SIP/2.0/TCP 192.0.2.1:5070"] * 3
    )
    assert all(";branch=z9hG4bK" in via and via.endswith(";rport") for via in vias)
    assert len(set(vias)) == 6


def test_an_answer_finds_its_request_by_branch_and_method() -> None:
    door = Door()
    heard = Heard()
    door.endpoint.send_invite(invite(), FAR, heard, door.now)
    [sent] = door.take()
    branch = header(sent, "Via").partition("branch=")[2].partition(";")[0]
    strangers = [
        answer_to(sent, 200, cseq="CSeq: 7 BYE"),
        answer_to(sent, 200, cseq="CSeq: 7 CANCEL"),
        answer_to(sent, 200, via="Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKforged"),
        answer_to(sent, 200, via="Via: SIP/2.0/UDP 192.0.2.1:5060"),
        answer_to(sent, 200, more="Via: SIP/2.0/UDP 192.0.2.200;branch=z9hG4bKbelow"),
        answer_to(sent, 200, via=f"Via: {header(sent, 'Via')}, SIP/2.0/UDP 192.0.2.200;branch=z9hG4bKbelow"),
    ]
    for data in strangers:
        assert door.receive(data) == []
    assert heard.events == []
    assert door.counts.kinds == ["via", "via"]
    # The far end fills in rport and received, and may write the header otherwise.
    via = f"v: SIP/2.0/udp 192.0.2.1 ;rport=5060;received=192.0.2.1; branch = {branch}"
    door.receive(answer_to(sent, 180, via=via))
    assert heard.events == ["180"]


def test_a_cancel_has_the_branch_of_its_invite_and_an_answer_of_its_own() -> None:
    door = Door()
    heard = Heard()
    machine = door.endpoint.send_invite(invite(), FAR, heard, door.now)
    [sent] = door.take()
    door.receive(answer_to(sent, 180))
    door.endpoint.send_cancel(machine, "Reason: Q.850;cause=16\r\n", door.now)
    [cancel] = door.take()
    assert cancel.split("\r\n") == [
        "CANCEL sip:13800000002@192.0.2.9:5062 SIP/2.0",
        f"Via: {header(sent, 'Via')}",
        *[f"Route: {route}" for route in headers(sent, "Route")],
        "Max-Forwards: 70",
        f"From: {header(sent, 'From')}",
        f"To: {header(sent, 'To')}",
        f"Call-ID: {header(sent, 'Call-ID')}",
        "CSeq: 7 CANCEL",
        "Reason: Q.850;cause=16",
        "Content-Length: 0",
        "",
        "",
    ]
    door.receive(answer_to(cancel, 200))
    assert heard.events == ["180"]
    [ack] = door.receive(answer_to(sent, 487))
    assert ack.startswith("ACK ")
    assert heard.events == ["180", "487"]
    assert door.counts.requests == ["out INVITE pstn", "out CANCEL pstn"]
    assert door.counts.responses == ["in INVITE 180 pstn", "in CANCEL 200 pstn", "in INVITE 487 pstn"]
    door.run(33.0)
    assert door.quiet


def test_a_far_end_that_cannot_be_reached_is_told_to_who_waits_for_it_and_to_nobody_else() -> None:
    door = Door()
    there, same_place = Flow("udp", "192.0.2.9", 5062), Flow("udp", "192.0.2.9", 5062, 2, "other")
    elsewhere = [
        Flow("tcp", "192.0.2.9", 5062),
        Flow("udp", "192.0.2.9", 5063),
        Flow("udp", "192.0.2.8", 5062),
    ]
    waiting = [Heard(), Heard(), Heard()]
    others = [Heard() for _ in elsewhere]
    door.endpoint.send_invite(invite(), there, waiting[0], door.now)
    door.endpoint.send_request(invite(), there, waiting[1], door.now)
    door.endpoint.send_request(invite(), same_place, waiting[2], door.now)
    for flow, heard in zip(elsewhere, others, strict=True):
        door.endpoint.send_invite(invite(), flow, heard, door.now)
    door.receive(request("OPTIONS"))
    door.endpoint.transport_failed(there, door.now)
    assert [heard.events for heard in waiting] == [["error"]] * 3
    assert [heard.events for heard in others] == [[]] * 3
    assert door.endpoint.transactions_active == 4


def test_everything_comes_to_its_end() -> None:
    door = Door(answer=404)
    heard = Heard()
    for number in range(50):
        flow = FAR if number % 2 else Flow("tcp", "192.0.2.9", 41_000, 7, "pstn")
        via = f"Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK{number}"
        for method in ("INVITE", "OPTIONS", "CANCEL", "ACK", "BYE"):
            door.receive(request(method, via=via), flow)
        machine = door.endpoint.send_invite(invite(), flow, heard, door.now)
        door.endpoint.send_cancel(machine, "", door.now)
        door.endpoint.send_request(invite(), flow, heard, door.now)
    assert door.endpoint.transactions_active > 200
    door.run(100.0)
    assert door.quiet
    assert len(heard.events) == 100


# --- figures ---


def test_retransmissions_are_counted_apart() -> None:
    door = Door(answer=486)
    door.receive(request())
    door.receive(request())
    for _ in range(2):
        door.receive(request("ACK"))
    assert door.counts.requests == ["in INVITE pstn", "in ACK pstn"]
    assert door.counts.responses == ["out INVITE 486 pstn"]
    assert door.counts.retransmissions == ["in", "out", "in"]
    ours = Door()
    hop = Flow("udp", "203.0.113.1", 5060, 0, "carrier")
    ours.endpoint.send_invite(invite(), hop, Heard(), ours.now)
    [sent] = ours.take()
    from_the_hop = Flow("udp", "203.0.113.1", 5060, 1)  # a next hop that is none of the trunk's peers
    for tag in ("they", "they", "fork"):
        ours.receive(answer_to(sent, 200, tag), from_the_hop)
    ours.endpoint.send_again(ours.endpoint.send_ack(invite(), hop), hop)
    assert ours.counts.responses == ["in INVITE 200 carrier"] * 2
    assert ours.counts.requests == ["out INVITE carrier", "out ACK carrier"]
    assert ours.counts.retransmissions == ["in", "out"]


# --- anything at all ---


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A message with pieces cut out, doubled, put in or turned round."""
    data = bytearray(
        draw(
            st.sampled_from(
                [
                    request(),
                    request("OPTIONS"),
                    request("BYE", body=SDP),
                    request("CANCEL"),
                    request("ACK"),
                    request(
                        via="Via: SIP/2.0/UDP [2001:db8::9]:5062;branch=z9hG4bK1;rport,SIP/2.0/TCP b.example"
                    ),
                    response(),
                    response("SIP/2.0 486 Busy Here"),
                ]
            )
        )
    )
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        piece = draw(
            st.binary(max_size=8) | st.sampled_from([b"\r\n", b",", b";", b'"', b"<", b"\x00", b": ", b" "])
        )
        cut = draw(st.integers(0, 12))
        data[at : at + cut] = piece
    return bytes(data)


# Only a CANCEL gets a 200 here.
ANSWER = re.compile(
    r"SIP/2\.0 (?:4[0-9]{2}|50[0-5]|200) [^\r\n]+\r\n(?:Via: [^\r\n]+\r\n)+"
    r"(?:From: [^\r\n]+\r\n)?(?:To: [^\r\n]+\r\n)?(?:Call-ID: [^\r\n]+\r\n)?(?:CSeq: [^\r\n]+\r\n)?"
    r"Content-Length: 0\r\n\r\n"
)


@given(st.lists(mutated() | st.binary(max_size=200), max_size=12), st.booleans())
def test_whatever_arrives_is_answered_or_dropped_and_nothing_stays(
    arriving: list[bytes], reliable: bool
) -> None:
    door = Door(answer=404)
    flow = Flow("tcp", "192.0.2.9", 41_000, 7) if reliable else FAR
    for data in arriving:
        for answer in door.receive(data, flow):
            assert ANSWER.fullmatch(answer)
    door.run(100.0)
    assert door.quiet
