"""UPDATE (RFC 3311) and INFO (RFC 6086) across, before and after the answer; glare; what stays behind."""

from __future__ import annotations

import pytest

from engine.sip.info_body import masked_info
from tests.simulation.by_hand import ByHand, body, header, sdp
from tests.simulation.scene import expect

ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, MESSAGE"


def answers(who: object, method: str) -> list[int]:
    heard: list[str] = who.heard  # type: ignore[attr-defined]
    return [
        int(text[8:11]) for text in heard if text.startswith("SIP") and header(text, "CSeq").endswith(method)
    ]


def test_allow_is_what_the_far_end_and_the_engine_both_can() -> None:
    call = ByHand()
    invite = call.dial(ALLOW, offer=sdp(4000))
    assert header(invite, "Allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO"
    ok = call.ring(200, "Allow: INVITE, ACK, BYE, CANCEL, INFO, NOTIFY", session=sdp(5000))
    assert header(ok, "Allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO"
    call.ack(ok)
    call.hang_up(ok)


@pytest.mark.parametrize("by", ["a", "b"])
def test_an_update_with_a_session_crosses(by: str) -> None:
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    if by == "a":
        call.ask_a("UPDATE", ok, session=sdp(4444))
        asker, asked = call.alice, call.bob
    else:
        call.ask_b("UPDATE", session=sdp(4444))
        asker, asked = call.bob, call.alice
    update = asked.last("UPDATE")
    assert "m=audio 4444" in body(update)
    assert header(update, "Contact")
    asked.answer(
        update, 200, "Contact: <sip:x@127.0.2.22:5090>", "Content-Type: application/sdp", body=sdp(6666)
    )
    call.run()
    assert answers(asker, "UPDATE") == [200]
    assert "m=audio 6666" in body(asker.last("SIP/2.0 200"))
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")


@pytest.mark.parametrize("by", ["a", "b"])
def test_an_update_without_a_session_is_answered_on_its_leg(by: str) -> None:
    call = ByHand()
    ok = call.talk(ALLOW, "Supported: timer", answer=(ALLOW,))
    line = "Session-Expires: 300;refresher=uac"
    if by == "a":
        call.ask_a("UPDATE", ok, "Supported: timer", line)
    else:
        call.ask_b("UPDATE", "Supported: timer", line)
    asker, asked = (call.alice, call.bob) if by == "a" else (call.bob, call.alice)
    answer = asker.last("SIP/2.0 200")
    assert header(answer, "CSeq").endswith("UPDATE")
    assert header(answer, "Session-Expires") == "300;refresher=uac"
    assert header(answer, "Require") == "timer"
    assert not [text for text in asked.heard if text.startswith("UPDATE")]
    call.hang_up(ok)


def early(call: ByHand) -> str:
    """An early dialog in which the first offer has its answer."""
    call.dial("Supported: 100rel", ALLOW, offer=sdp(4000))
    progress = call.ring_reliably(183, 5, ALLOW, session=sdp(5000))
    call.prack(progress)
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run()
    return progress


@pytest.mark.parametrize("by", ["a", "b"])
def test_an_update_before_the_answer(by: str) -> None:
    call = ByHand()
    progress = early(call)
    if by == "a":
        call.ask_a("UPDATE", progress, session=sdp(4444))
        asker, asked = call.alice, call.bob
    else:
        call.ask_b("UPDATE", session=sdp(4444))
        asker, asked = call.bob, call.alice
    update = asked.last("UPDATE")
    assert "m=audio 4444" in body(update)
    assert header(update, "Session-Expires") == ""  # there is no session yet
    asked.answer(
        update, 200, "Contact: <sip:x@127.0.2.22:5090>", "Content-Type: application/sdp", body=sdp(6666)
    )
    call.run()
    assert "m=audio 6666" in body(asker.last("SIP/2.0 200"))
    ok = call.ring(200)
    call.ack(ok)
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")


@pytest.mark.parametrize(("by", "status"), [("a", 500), ("b", 491)])
def test_an_update_while_the_first_offer_is_open(by: str, status: int) -> None:
    """RFC 3311 5.2: the caller's own offer has no answer yet: 500; the callee's would be a second one: 491."""
    call = ByHand()
    call.dial("Supported: 100rel", ALLOW, offer=sdp(4000))
    ringing = call.ring_reliably(180, 5)
    if by == "a":
        call.ask_a("UPDATE", ringing, session=sdp(4444))
        answer = call.alice.last("SIP/2.0")
    else:
        call.ask_b("UPDATE", session=sdp(4444))
        answer = call.bob.last("SIP/2.0")
    assert answer.startswith(f"SIP/2.0 {status}")
    assert (header(answer, "Retry-After") != "") is (status == 500)
    call.ring(486)


def test_glare_of_updates() -> None:
    """The engine has passed on A's: B's is turned down, a second one of A's shall wait, and so do re-INVITEs."""
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    call.ask_a("UPDATE", ok, session=sdp(4444))
    call.ask_b("UPDATE", session=sdp(5555))
    assert answers(call.bob, "UPDATE") == [491]
    call.ask_b("INVITE", session=sdp(5555))
    assert answers(call.bob, "INVITE") == [491]
    call.ask_b("ACK", session="", cseq=102)
    call.ask_a("UPDATE", ok, session=sdp(4446))
    assert call.alice.last("SIP/2.0").startswith("SIP/2.0 500 ")
    assert 0 <= int(header(call.alice.last("SIP/2.0"), "Retry-After")) <= 10
    call.bob.answer(call.bob.last("UPDATE"), 200, "Content-Type: application/sdp", body=sdp(6666))
    call.run()
    assert sorted(answers(call.alice, "UPDATE")) == [200, 500]
    call.hang_up(ok)
    call.run(70)


def test_an_update_while_a_reinvite_is_open() -> None:
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    call.ask_a("INVITE", ok, session=sdp(4444))
    call.ask_b("UPDATE", session=sdp(5555))
    assert answers(call.bob, "UPDATE") == [491]
    call.ask_a("UPDATE", ok, session=sdp(4446))
    assert answers(call.alice, "UPDATE") == [500]
    call.bob.answer(call.bob.last("INVITE"), 488)
    call.run()
    call.hang_up(ok)
    call.run(70)


@pytest.mark.parametrize(
    ("answer", "shown", "ends"),
    [
        (488, 488, False),
        (405, 405, False),
        (491, 491, False),
        (503, 500, False),
        (481, 481, True),
        (408, 504, True),
    ],
)
def test_an_update_that_fails(answer: int, shown: int, ends: bool) -> None:
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    call.ask_a("UPDATE", ok, session=sdp(4444))
    call.bob.answer(call.bob.last("UPDATE"), answer)
    call.run()
    assert answers(call.alice, "UPDATE") == [shown]
    assert bool([text for text in call.alice.heard if text.startswith("BYE")]) is ends
    if ends:
        expect(call.scene.record, reason="session_expired", released_by="platform")
    else:
        call.hang_up(ok)


def test_an_update_into_silence() -> None:
    """504 in time for the asker, and then the call ends: the far end is gone (RFC 3261 12.2.1.2)."""
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    call.ask_a("UPDATE", ok, session=sdp(4444))
    call.run(25)
    assert answers(call.alice, "UPDATE") == [504]
    call.run(8)
    expect(call.scene.record, reason="session_expired", released_by="platform")


@pytest.mark.parametrize(
    ("lines", "session", "status"),
    [
        (("Require: replaces",), "", 420),
        (("Content-Type: text/plain",), "hello", 415),
        (("Content-Type: application/sdp",), "hello", 400),
        (("Supported: timer", "Session-Expires: 30"), "", 422),
        (("Max-Forwards: 0",), sdp(4444), 483),
    ],
)
def test_an_update_that_is_refused_on_its_leg(lines: tuple[str, ...], session: str, status: int) -> None:
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    call.ask_a("UPDATE", ok, *lines, session=session)
    assert answers(call.alice, "UPDATE") == [status]
    if status == 422:
        assert header(call.alice.last("SIP/2.0"), "Min-SE") == "90"
    assert not [text for text in call.bob.heard if text.startswith("UPDATE")]
    call.hang_up(ok)


def test_an_answer_to_an_update_that_cannot_be_read_ends_the_call() -> None:
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    call.ask_a("UPDATE", ok, session=sdp(4444))
    call.bob.answer(call.bob.last("UPDATE"), 200, "Content-Type: text/plain", body="no session")
    call.run()
    assert answers(call.alice, "UPDATE") == [500]
    assert call.alice.last("BYE")


# --- INFO ---


@pytest.mark.parametrize("by", ["a", "b"])
@pytest.mark.parametrize(
    ("kind", "sent", "crossed"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "Signal=5\r\nDuration=160\r\n"),
        ("application/dtmf-relay", "Signal= #\nDuration= 250", "Signal=#\r\nDuration=250\r\n"),
        ("Application/DTMF; x=13900000002", "7", "7\r\n"),
    ],
)
def test_key_presses_cross(by: str, kind: str, sent: str, crossed: str) -> None:
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    if by == "a":
        call.ask_a("INFO", ok, f"Content-Type: {kind}", "Info-Package: x-13800000001", session=sent)
        asker, asked = call.alice, call.bob
    else:
        call.ask_b("INFO", f"Content-Type: {kind}", session=sent)
        asker, asked = call.bob, call.alice
    info = asked.last("INFO")
    assert body(info) == crossed
    assert header(info, "Content-Type") == kind.partition(";")[0].lower()
    assert header(info, "Info-Package") == ""
    asked.answer(info, 200, "Content-Type: text/plain", body="13900000002")
    call.run()
    assert answers(asker, "INFO") == [200]
    assert body(asker.last("SIP/2.0 200")) == ""
    call.hang_up(ok)


def test_an_empty_info_crosses_and_others_are_refused() -> None:
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    call.ask_a("INFO", ok)
    call.bob.answer(call.bob.last("INFO"), 200)
    call.run()
    call.ask_a("INFO", ok, "Content-Type: text/plain", session="call me: 13800000001")
    refusal = call.alice.last("SIP/2.0 415")
    assert "application/dtmf-relay" in header(refusal, "Accept")
    assert sum(text.startswith("INFO") for text in call.bob.heard) == 1
    call.hang_up(ok)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("application/dtmf", "13800000001"),
        ("application/dtmf", ""),
        ("application/dtmf-relay", "Signal=13800000001\r\nDuration=160"),
        ("application/dtmf-relay", "Signal=5\r\nDuration=13800000001"),
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\nX-Number=13800000001"),
        ("application/media_control+xml", "<media_control>13800000001</media_control>"),
        ("application/sdp", "v=0"),
    ],
)
def test_a_body_that_may_not_cross(kind: str, text: str) -> None:
    assert masked_info(kind, text) is None


def test_a_request_for_a_picture_is_written_anew() -> None:
    text = "<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive>"
    text += "<x>13800000001</x>"
    crossed = masked_info("application/media_control+xml", text)
    assert crossed is not None
    assert "picture_fast_update" in crossed
    assert "138" not in crossed


def test_too_many_infos_at_once_have_to_wait() -> None:
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    for _ in range(17):
        call.ask_a("INFO", ok)
    assert answers(call.alice, "INFO") == [500]
    call.hang_up(ok)
    assert answers(call.alice, "INFO").count(487) == 16


def test_the_call_ends_while_an_update_is_on_its_way() -> None:
    call = ByHand()
    ok = call.talk(ALLOW, answer=(ALLOW,))
    call.ask_a("UPDATE", ok, session=sdp(4444))
    call.ask_b("BYE")
    assert answers(call.bob, "BYE") == [200]
    assert answers(call.alice, "UPDATE") == [487]
    call.alice.answer(call.alice.last("BYE"), 200)
    call.run(70)
    assert call.scene.engine.board.legs == {}
