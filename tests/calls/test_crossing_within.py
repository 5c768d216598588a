"""What crosses in each kind of message within a call, and what stays behind in it: sessions of every kind, other
bodies, Max-Forwards, routes."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.simulation.by_hand import KIND, ByHand, body, header, sdp
from tests.simulation.scene import A, B, expect

ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO"
MARK = "canary"

# --- every message with a body, and who hears it ---


def to_b(method: str) -> Callable[[ByHand, str, tuple[str, ...], str], str]:
    def play(call: ByHand, heard: str, kind: tuple[str, ...], session: str) -> str:
        call.ask_a(method, heard, *kind, session=session)
        return call.bob.last(method)

    return play


def from_b(method: str) -> Callable[[ByHand, str, tuple[str, ...], str], str]:
    def play(call: ByHand, heard: str, kind: tuple[str, ...], session: str) -> str:
        call.ask_b(method, *kind, session=session)
        return call.alice.last(method)

    return play


def answer_of_b(method: str) -> Callable[[ByHand, str, tuple[str, ...], str], str]:
    def play(call: ByHand, heard: str, kind: tuple[str, ...], session: str) -> str:
        call.ask_a(method, heard, session=sdp(4444))
        call.bob.answer(call.bob.last(method), 200, *kind, body=session)
        call.run()
        return call.alice.last("SIP/2.0 200")

    return play


def late_ack(call: ByHand, heard: str, kind: tuple[str, ...], session: str) -> str:
    call.ask_a("INVITE", heard)
    call.bob.answer(call.invite, 200, KIND, body=sdp(5555))
    call.run()
    ok = call.alice.last("SIP/2.0 200")
    call.ask_a("ACK", ok, *kind, session=session, cseq=int(header(ok, "CSeq").split()[0]))
    return call.bob.last("ACK")


WITHIN = {
    "re-INVITE of A": to_b("INVITE"),
    "re-INVITE of B": from_b("INVITE"),
    "UPDATE of A": to_b("UPDATE"),
    "UPDATE of B": from_b("UPDATE"),
    "200 to INVITE": answer_of_b("INVITE"),
    "200 to UPDATE": answer_of_b("UPDATE"),
    "ACK": late_ack,
}

FAX = (
    "m=image 4002 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxRateManagement:transferredTCF\r\n"
    "a=T38FaxMaxDatagram:262\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"
)
VIDEO = (
    "m=audio 0 RTP/AVP 8\r\nm=video 4004 RTP/AVPF 99\r\nb=AS:512\r\na=rtpmap:99 H264/90000\r\n"
    "a=fmtp:99 profile-level-id=42801F;packetization-mode=1\r\n"
    "a=rtcp-fb:99 nack pli\r\na=content:main\r\na=sendonly\r\n"
)
SRTP = (
    "m=audio 4006 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"
    "a=rtpmap:8 PCMA/8000\r\n"
)
DTLS = (
    "m=audio 4008 UDP/TLS/RTP/SAVPF 8\r\na=rtcp-mux\r\na=setup:actpass\r\n"
    "a=fingerprint:SHA-256 " + ":".join(["4A"] * 32) + "\r\n"
)
SECRET = f"a=label:{MARK}\r\na=candidate:1 1 UDP 1 {MARK}.example 4000 typ host\r\na=x-{MARK}:{A}\r\n"
FRAME = "c=IN IP4 192.0.2.1\r\nt=0 0\r\n"


@pytest.mark.parametrize("media", [FAX, VIDEO, SRTP, DTLS], ids=["T.38", "video", "SRTP", "DTLS"])
@pytest.mark.parametrize("how", WITHIN)
def test_sessions_of_every_kind(how: str, media: str) -> None:
    """Line by line as they are, but for what gives somebody away; streams keep number and order."""
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    session = f"v=0\r\no={MARK} 1 1 IN IP4 {MARK}\r\ns={MARK}\r\ni={A}\r\n{FRAME}{media}{SECRET}"
    heard = WITHIN[how](call, ok, (KIND,), session)
    assert body(heard).split("\r\n", 3)[3] == FRAME + media
    assert body(heard).startswith("v=0\r\no=- ")
    assert MARK not in heard
    call.scene.engine.switchboard.close(call.scene.world.now)
    call.run(80)


def multipart(mark: str) -> tuple[str, str]:
    isup = "Content-Type: application/ISUP;base=itu-t92+\r\nContent-Disposition: signal;handling=required\r\n\r\n"
    return (
        f'Content-Type: multipart/mixed;boundary="{mark}"',
        f"--{mark}\r\n{isup}{mark}\r\n--{mark}\r\n{KIND}\r\n\r\n{sdp(4646)}\r\n--{mark}--\r\n",
    )


@pytest.mark.parametrize("how", WITHIN)
def test_a_lone_session_goes_unwrapped_and_isup_stays(how: str) -> None:
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    kind, content = multipart(f"{MARK}-{B}")
    heard = WITHIN[how](call, ok, (kind,), content)
    assert header(heard, "Content-Type") == "application/sdp"
    assert "m=audio 4646" in body(heard)
    assert MARK not in heard
    call.scene.engine.switchboard.close(call.scene.world.now)
    call.run(80)


def test_the_same_before_the_answer() -> None:
    """In a reliable 183, PRACK, the answer to that, UPDATE and its answer."""
    call = ByHand()
    call.dial("Supported: 100rel", ALLOW, offer=sdp(4000))
    kind, content = multipart(f"{MARK}-{B}")
    heard = []
    progress = call.ring(183, "Require: 100rel", "RSeq: 1", kind, tag="b", session="")
    assert body(progress) == ""
    call.bob.answer(
        call.invite, 183, "Contact: <sip:b@127.0.2.22:5090>", "Require: 100rel", "RSeq: 2", kind, tag="b",
        body=content,
    )  # fmt: skip
    call.run()
    call.prack(progress)
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run()
    heard.append(call.alice.last("SIP/2.0 183"))
    call.prack(heard[0], kind, session=content)
    heard.append(call.bob.last("PRACK"))
    call.bob.answer(heard[1], 200, kind, body=content)
    call.run()
    heard.append(call.alice.last("SIP/2.0 200"))
    call.ask_b("UPDATE", kind, session=content)
    heard.append(call.alice.last("UPDATE"))
    call.alice.answer(heard[3], 200, kind, body=content)
    call.run()
    heard.append(call.bob.last("SIP/2.0 200"))
    for text in heard:
        assert header(text, "Content-Type") == "application/sdp"
        assert "m=audio 4646" in body(text)
        assert MARK not in text
    call.ring(486)


# --- Max-Forwards, routes, silence ---


@pytest.mark.parametrize(
    ("line", "forwarded"), [("Max-Forwards: 41", "40"), ("X: y", "70"), ("Max-Forwards: 0", "")]
)
@pytest.mark.parametrize("method", ["PRACK", "UPDATE", "INFO", "INVITE"])
def test_max_forwards_falls_by_one_in_each_request(method: str, line: str, forwarded: str) -> None:
    call = ByHand()
    call.dial("Supported: 100rel", ALLOW, offer=sdp(4000))
    progress = call.ring_reliably(183, 1, session=sdp(5000))
    if method == "PRACK":
        call.prack(progress, line)
    else:
        call.prack(progress)
        call.bob.answer(call.bob.last("PRACK"), 200)
        ok = call.ring(200, ALLOW)
        call.ack(ok)
        call.ask_a(method, ok, line, session="" if method == "INFO" else sdp(4444))
    asked = [text for text in call.bob.heard if text.startswith(f"{method} ") and text != call.bob.heard[0]]
    if forwarded:
        assert header(asked[-1], "Max-Forwards") == forwarded
    else:
        assert asked == []
        assert call.alice.last("SIP/2.0 483")
    call.scene.engine.switchboard.close(call.scene.world.now)
    call.run(80)


def test_routes_of_an_early_dialog() -> None:
    """PRACK takes the callee's own way (12.1.2): the Record-Route of its response, reversed; never the caller's."""
    call = ByHand()
    call.dial("Supported: 100rel", "Record-Route: <sip:127.0.1.77;lr>", offer=sdp(4000))
    ways = ("Record-Route: <sip:127.0.2.22:5090;lr>", "Record-Route: <sip:127.0.2.88;lr>")
    progress = call.ring_reliably(183, 1, *ways, session=sdp(5000))
    assert header(progress, "Record-Route") == "<sip:127.0.1.77;lr>"
    call.scene.world.drop = lambda passed: False
    call.prack(progress)
    (prack,) = {passed.text for passed in call.scene.world.log if passed.start.startswith("PRACK sip:b-b@")}
    routes = re.findall(r"^Route: (.*)\r$", prack, re.MULTILINE)
    assert routes == ["<sip:127.0.2.88;lr>", "<sip:127.0.2.22:5090;lr>"]
    call.ring(486)


def test_an_info_into_silence() -> None:
    """504 after 50·T1, never 408 (RFC 4320); then the far end counts as gone (RFC 3261 12.2.1.2)."""
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    call.ask_a("INFO", ok)
    call.run(24.5)
    assert not [text for text in call.alice.heard if header(text, "CSeq").endswith("INFO")]
    call.run(0.6)
    assert header(call.alice.last("SIP/2.0 504"), "CSeq").endswith("INFO")
    call.run(8)
    expect(call.scene.record, reason="session_expired", released_by="platform")


def test_a_lost_ack_of_a_late_offer() -> None:
    """The caller's 2xx comes again until the ACK with the answer arrives; the callee's are absorbed until then."""
    call = ByHand()
    call.dial()
    assert body(call.invite) == ""
    ok = call.ring(200, session=sdp(5000))
    for _ in range(3):
        call.ring(200, session=sdp(5000))
        call.run(1)
    assert call.alice.heard.count(ok) >= 3
    assert not [text for text in call.bob.heard if text.startswith("ACK")]
    call.ack(ok, sdp(4000))
    (ack,) = [text for text in call.bob.heard if text.startswith("ACK")]
    assert "m=audio 4000" in body(ack)
    call.ring(200, session=sdp(5000))
    assert [text for text in call.bob.heard if text.startswith("ACK")] == [ack, ack]
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")
