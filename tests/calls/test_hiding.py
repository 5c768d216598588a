"""What gives somebody away, row by row, both ways, in requests and responses; and the reading of what may cross.

Every scene checks at its end that nothing of one side shows in what the engine sent to the other, and that the
engine said nothing but what it may say at all. Here every flow is played with canaries everywhere, and every row
of the table is looked at alone.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calls.hiding import Unacceptable, caller_identity, cause_of, crossing_of, dialled_text
from engine.sip.message import Request, parse_message
from tests.calls.flows import FLOWS
from tests.simulation.canaries import ENGINE_HEADERS, ROWS
from tests.simulation.phone import Phone
from tests.simulation.scene import A, B, Scene, X
from tests.simulation.world import ENGINE

# What the engine writes of its own accord under a name that is a row's too.
_OWN_WORDS = {
    "via",
    "route",
    "allow",
    "accept",
    "reason",
    "supported",
    "session-expires",
    "min-se",
    "p-early-media",
}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("flow", FLOWS)
def test_nothing_crosses_in_any_flow(flow: str, transport: str) -> None:
    scene = Scene(transport=transport)
    FLOWS[flow](scene)
    scene.finish()


@pytest.mark.parametrize(
    "flow",
    [
        *("answered", "busy", "cancelled", "redirected", "answered_and_left_by_callee"),
        *("reliable", "updated", "refreshed", "refused_requests"),
    ],
)
@pytest.mark.parametrize("row", ROWS)
def test_no_row_crosses(row: str, flow: str) -> None:
    """Not the values, and of what the engine has no use for not even the names."""
    scene = Scene(rows=(row,))
    FLOWS[flow](scene)
    scene.finish()
    names = scene.alice.canaries.names() - _OWN_WORDS
    assert not names & ENGINE_HEADERS
    for phone in (scene.alice, scene.bob):
        for passed in scene.sent_to(phone):
            head = passed.text.partition("\r\n\r\n")[0]
            said = {line.partition(":")[0].lower() for line in head.split("\r\n")[1:]}
            assert not said & names, passed.text


@pytest.mark.parametrize(
    ("flow", "sender", "starts"),
    [
        ("answered", "alice", ["INVITE", "ACK", "BYE", "SIP/2.0 200"]),
        ("answered", "bob", ["INVITE", "ACK", "SIP/2.0 180", "SIP/2.0 183", "SIP/2.0 200"]),
        ("cancelled", "alice", ["CANCEL", "ACK"]),
        ("cancelled", "bob", ["SIP/2.0 200", "SIP/2.0 487"]),
        ("busy", "bob", ["SIP/2.0 486"]),
        ("redirected", "bob", ["SIP/2.0 302"]),
        ("answered_and_left_by_callee", "bob", ["BYE"]),
    ],
)
def test_the_canaries_were_really_there(flow: str, sender: str, starts: list[str]) -> None:
    scene = Scene()
    FLOWS[flow](scene)
    scene.finish()
    phone = scene.alice if sender == "alice" else scene.bob
    for start in starts:
        sent = [
            passed.text
            for passed in scene.world.log
            if passed.source == phone.address and passed.start.startswith(start)
        ]
        assert sent, start
        for text in sent:
            for name in phone.canaries.names() - {"via", "route"}:
                assert f"\r\n{name}:" in text.lower(), (name, text)


# --- rows that are no headers of their own ---


@pytest.mark.parametrize(
    "uri",
    [
        f"sip:{X}@127.0.0.9",
        f"sip:{X};npdi;rn=+8613canary-alice@127.0.0.9;user=phone;x=canary-alice",
        f"sip:+86{X}@canary-alice.example;transport=udp;canary-alice",
        f"sip:86{X};cic=canary-alice:secret@127.0.0.9:5060",
        f"sips:{X}@127.0.0.9",
        f"tel:+86{X};npdi;rn=+8613canary",
        f"tel:{X};phone-context=+86",
        "tel:+86-700-100-000-000-001;x=canary-alice",
    ],
)
def test_the_request_uri_is_new(uri: str) -> None:
    scene = Scene()
    scene.dial(uri=uri)
    scene.ringing.answer()
    scene.run(0.5)
    assert scene.ringing.invite.uri == f"sip:{B}@127.0.2.22:5090"
    scene.alice.calls[0].hang_up()
    assert scene.finish().dialled == X


def test_from_and_to_of_neither_side_cross() -> None:
    """Names, users, hosts, tags, `epid`, `isup-oli`, `cpc`, `phone-context`."""
    scene = Scene()
    call, callee = scene.talk()
    call.reinvite()
    scene.run(0.5)
    call.hang_up()
    scene.finish()
    for passed in scene.sent_to(scene.bob):
        for value in re.findall(r"^(?:From|To): (.*)\r$", passed.text, re.MULTILINE):
            ours, theirs = re.escape(X) + "@127.0.0.9", re.escape(B) + "@127.0.2.22:5090"
            assert re.fullmatch(rf"<sip:(?:{ours}|{theirs})>(?:;.*)?", value), value
    own = callee.heard.requests[-1]
    assert own.method == "BYE"
    assert own.to_tag == callee.tag


def test_call_id_and_cseq_say_nothing_of_the_other_leg() -> None:
    scene = Scene()
    call, callee = scene.talk()
    assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{16}", callee.call_id)
    assert callee.invite.cseq == 1
    assert call.cseq != 1
    call.hang_up()
    scene.finish()


def test_o_and_s_are_rewritten_and_i_u_e_p_dropped() -> None:
    scene = Scene()
    call, callee = scene.talk()
    for body in (callee.invite.body, call.heard.responses[-1].body):
        lines = body.decode().split("\r\n")
        assert lines[0] == "v=0"
        assert re.fullmatch(r"o=- \d+ 1 IN IP4 127\.0\.0\.9", lines[1])
        assert lines[2] == "s=-"
        assert {line[:2] for line in lines[3:]} <= {"c=", "b=", "t=", "m=", "a=", ""}
        attributes = [line for line in lines if line.startswith("a=")]
        assert attributes == [
            *("a=rtcp:4001", "a=rtpmap:0 PCMU/8000", "a=rtpmap:101 telephone-event/8000"),
            *("a=fmtp:101 0-15", "a=sendrecv"),
        ]
    call.hang_up()
    scene.finish()


def test_c_and_m_pass() -> None:
    scene = Scene()
    call, callee = scene.talk()
    assert b"\r\nc=IN IP4 10.20.30.40\r\n" in callee.invite.body
    assert b"\r\nm=audio 4000 RTP/AVP 0 8 101\r\n" in callee.invite.body
    assert b"\r\nm=audio 5000 RTP/AVP 0 8 101\r\n" in call.heard.responses[-1].body
    call.hang_up()
    scene.finish()


_ISUP = (
    "--{c}\r\nContent-Type: application/ISUP;version=itu-t92+;base=itu-t92+\r\n"
    "Content-Disposition: signal;handling=required\r\n\r\n{c} {n}\r\n"
)
_PIDF = (
    "--{c}\r\nContent-Type: application/pidf+xml\r\nContent-ID: <{c}@{c}>\r\n\r\n<p>{n} {c}</p>\r\n"
    "--{c}\r\nContent-Type: message/sipfrag\r\n\r\nINVITE sip:{n}@{c}\r\n"
    "--{c}\r\nContent-Type: message/cpim\r\n\r\nFrom: <sip:{n}@{c}>\r\n"
    '--{c}\r\nContent-Type: message/external-body;access-type=URL;URL="http://{c}"\r\n\r\n{n}\r\n'
)


@pytest.mark.parametrize("others", [_ISUP, _PIDF, _ISUP + _PIDF])
@pytest.mark.parametrize("sdp_first", [True, False])
def test_multipart_is_taken_apart(others: str, sdp_first: bool) -> None:
    """A lone SDP part goes unwrapped; ISUP goes even where it asks to be handled; both ways."""
    scene = Scene()

    def wrapped(phone: Phone) -> str:
        sdp = f"--{phone.canaries.mark}\r\nContent-Type: application/sdp\r\n\r\n{phone.session()}\r\n"
        rest = phone.canaries.fill(others)
        return (
            f"{sdp}{rest}--{phone.canaries.mark}--\r\n"
            if sdp_first
            else f"{rest}{sdp}--{phone.canaries.mark}--"
        )

    def kind(phone: Phone) -> str:
        return f'MIME-Version: 1.0\r\nContent-Type: multipart/mixed;boundary="{phone.canaries.mark}"\r\n'

    call = scene.dial(offer=wrapped(scene.alice), headers=kind(scene.alice))
    invite = scene.ringing.invite
    assert invite.content_type == "application/sdp"
    assert invite.body.startswith(b"v=0\r\no=- ")
    scene.ringing.answer(wrapped(scene.bob), headers=kind(scene.bob))
    scene.run(0.5)
    assert call.heard.responses[-1].content_type == "application/sdp"
    assert call.heard.responses[-1].body.startswith(b"v=0\r\no=- ")
    call.hang_up()
    scene.finish()


def test_multipart_without_sdp_is_an_invite_without_offer() -> None:
    scene = Scene()
    mark = scene.alice.canaries.mark
    body = scene.alice.canaries.fill(f"{_ISUP}--{mark}--\r\n")
    scene.dial(offer=body, headers=f"Content-Type: multipart/mixed;boundary={mark}\r\n")
    assert scene.ringing.invite.body == b""
    assert scene.ringing.invite.content_type == ""
    scene.ringing.reject(486)
    scene.finish()


@pytest.mark.parametrize("kind", ["application/ISUP;version=x", "message/sipfrag", "message/external-body"])
def test_other_bodies_of_responses_stay_behind(kind: str) -> None:
    scene = Scene()
    call = scene.dial()
    fill = scene.bob.canaries.fill
    scene.ringing.reject(603, f"Content-Type: {kind}\r\n", fill("{c} {n}"))
    scene.run(0.2)
    assert call.heard.responses[-1].body == b""
    assert call.heard.responses[-1].content_type == ""
    scene.finish()


def test_a_body_of_a_provisional_response_that_is_no_session_stays_behind() -> None:
    scene = Scene()
    call = scene.dial()
    transaction_body = scene.bob.canaries.fill("<p>{c} {n}</p>")
    scene.ringing.ring(183, transaction_body)
    scene.run(0.2)
    assert call.heard.responses[-1].status == 183
    assert call.heard.responses[-1].body == b""
    scene.ringing.answer()
    scene.run(0.2)
    call.hang_up()
    scene.finish()


def test_contact_of_a_redirection_never_crosses() -> None:
    scene = Scene()
    FLOWS["redirected"](scene)
    scene.run(0.2)
    answer = scene.last_to(scene.alice, "SIP/2.0 480")
    assert "Contact" not in answer
    assert "Reason: Q.850;cause=20\r\n" in answer
    scene.finish()


@pytest.mark.parametrize("status", [400, 404, 480, 486, 488, 499, 500, 600, 603, 606, 699])
def test_reason_phrases_are_the_engines_own(status: int) -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.reject(status)
    scene.run(0.2)
    (sent,) = scene.sent_to(scene.alice, f"SIP/2.0 {status} ")
    assert re.fullmatch(rf"SIP/2\.0 {status} [A-Za-z ]+", sent.start)
    assert call.status == status
    scene.finish()


def test_a_reason_crosses_as_protocol_and_cause_only() -> None:
    scene = Scene()
    call, callee = scene.talk()
    callee.hang_up('Reason: SIP;cause=200;text="x", Q.850;x=canary-bob;cause=27;text="canary-bob 86"\r\n')
    scene.run(0.5)
    bye = scene.last_to(scene.alice, "BYE")
    assert re.findall(r"^Reason: .*$", bye, re.MULTILINE) == ["Reason: Q.850;cause=27\r"]
    assert call.released_by == "peer"
    assert scene.finish().q850_cause == 27


def test_what_the_engine_makes_itself_comes_from_its_own_leg() -> None:
    """100, 487, ACK to a failure, CANCEL, BYE: only lines that the leg's own state gives."""
    expected = {
        "CANCEL": {"via", "max-forwards", "from", "to", "call-id", "cseq", "reason", "content-length"},
        "ACK": {"via", "max-forwards", "from", "to", "call-id", "cseq", "content-length"},
        "BYE": {"via", "route", "max-forwards", "from", "to", "call-id", "cseq", "reason", "content-length"},
        "SIP/2.0 100": {"via", "from", "to", "call-id", "cseq", "content-length"},
        "SIP/2.0 487": {"via", "from", "to", "call-id", "cseq", "reason", "content-length"},
        "SIP/2.0 408": {"via", "from", "to", "call-id", "cseq", "reason", "content-length"},
        "SIP/2.0 503": {"via", "from", "to", "call-id", "cseq", "reason", "retry-after", "content-length"},
    }
    seen: set[str] = set()
    for flow in ("cancelled", "cancelled_while_answered", "answered", "silent", "draining"):
        scene = Scene()
        if flow == "draining":
            scene.engine.switchboard.drain()
            scene.dial()
        else:
            FLOWS[flow](scene)
        scene.finish()
        for passed in scene.world.log:
            for start, names in expected.items():
                if passed.source != ENGINE or not passed.start.startswith(start):
                    continue
                if start == "ACK" and "\r\nRoute:" in passed.text:
                    continue  # to a 2xx: in the dialog
                head = passed.text.partition("\r\n\r\n")[0].split("\r\n")[1:]
                assert {line.partition(":")[0].lower() for line in head} == names, passed.text
                assert passed.text.endswith("\r\n\r\n")
                seen.add(start)
    assert seen == set(expected)


# --- reading ---


def request(*lines: str, method: str = "INVITE", uri: str = f"sip:{X}@h", body: str = "") -> Request:
    text = (
        f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:{A}@h>;tag=f\r\n"
        f"To: <sip:{X}@h>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContact: <sip:h>\r\n"
        + "".join(f"{line}\r\n" for line in lines)
        + f"\r\n{body}"
    )
    message = parse_message(text.encode())
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ("Q.850;cause=17", 17),
        ('q.850 ; text="a;cause=3, b" ;cause = 21', 21),
        ('SIP;cause=486;text="Q.850;cause=9", Q.850;cause=31', 31),
        ("SIP;cause=600", 0),
        ("Q.850;cause=0", 0),
        ("Q.850;cause=128", 0),
        ("Q.850;cause=9999", 0),
        ("Q.850;cause=x", 0),
        ("Q.850", 0),
        ("X-Q.850;cause=16", 0),
    ],
)
def test_the_cause_of_a_reason(value: str, cause: int) -> None:
    assert cause_of(request(f"Reason: {value}")) == cause


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_no_reason_gives_anything_but_a_q850_cause(value: str) -> None:
    assert 0 <= cause_of(request(f"Reason: {value}")) <= 127


@pytest.mark.parametrize(
    ("lines", "hops"),
    [((), 70), (("Max-Forwards: 70",), 69), (("Max-Forwards: 1",), 0), (("Max-Forwards: 0",), 0)],
)
def test_max_forwards_falls_by_one(lines: tuple[str, ...], hops: int) -> None:
    assert crossing_of(request(*lines)).max_forwards == hops


@pytest.mark.parametrize(
    ("lines", "trusted", "number"),
    [
        ((), True, A),
        ((), False, None),
        (('P-Asserted-Identity: "x" <sip:+8613900000009@h>',), True, "13900000009"),
        (("P-Asserted-Identity: <sip:anonymous@h>, <tel:+86-139-0000-0009>",), True, "13900000009"),
        (("P-Asserted-Identity: <sip:nobody@h>",), True, None),  # what is asserted goes first (RFC 3325 9.1)
        (("P-Asserted-Identity: garbage",), True, None),
        (("P-Asserted-Identity: <sip:+8613900000009@h>",), False, None),
        (("P-Preferred-Identity: <sip:+8613900000009@h>",), True, A),
    ],
)
def test_who_calls(lines: tuple[str, ...], trusted: bool, number: str | None) -> None:
    caller = caller_identity(request(*lines), trusted)
    assert (None if caller is None else caller.national) == number


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        (f"sip:{X}@h", X),
        ("sip:+86700;npdi@h", "+86700;npdi"),
        ("sip:%37%30%30@h", "700"),
        ("tel:700-1;phone-context=+86", "700-1;phone-context=+86"),
        ("tel:+867001", "+867001"),
        ("sip:h", ""),
    ],
)
def test_what_was_dialled(uri: str, text: str) -> None:
    assert dialled_text(request(uri=uri)) == text


@pytest.mark.parametrize(
    ("lines", "body", "status", "headers"),
    [
        (("Content-Type: text/plain",), "x", 415, "Accept: application/sdp\r\n"),
        (("Content-Type: application/ISUP",), "x", 415, "Accept: application/sdp\r\n"),
        ((), "v=0\r\n", 415, "Accept: application/sdp\r\n"),
        (("Content-Type: application/sdp",), "not sdp", 400, ""),
        (("Content-Type: multipart/mixed",), "x", 400, ""),
        (
            ("Content-Type: application/sdp", "Content-Encoding: gzip"),
            "v=0\r\n",
            415,
            "Accept-Encoding: identity\r\n",
        ),
    ],
)
def test_what_cannot_cross_and_may_not_be_ignored(
    lines: tuple[str, ...], body: str, status: int, headers: str
) -> None:
    with pytest.raises(Unacceptable) as raised:
        crossing_of(request(*lines, body=body))
    assert (raised.value.status, raised.value.headers) == (status, headers)


def test_an_optional_body_is_left_behind() -> None:
    lines = ("Content-Type: text/plain", "Content-Disposition: render; handling = optional")
    assert crossing_of(request(*lines, body="x")).session == ""
