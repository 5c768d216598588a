"""What each side is told that the other can, wants and allows, in every kind of message within a call."""

from __future__ import annotations

import pytest

from engine.calls.settings import CallSettings
from tests.simulation.by_hand import KIND, ByHand, body, header, sdp
from tests.simulation.engine import pstn
from tests.simulation.scene import BOB, expect

ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO"
NEEDS = "a=curr:qos local none\r\na=des:qos mandatory local sendrecv\r\na=conf:qos remote sendrecv\r\n"


def test_a_reinvite_does_not_offer_100rel() -> None:
    """Its provisional responses stay on their leg, so nobody would acknowledge them."""
    call = ByHand()
    ok = call.talk("Supported: 100rel", answer=("Supported: 100rel",))
    call.ask_a("INVITE", ok, "Supported: 100rel, precondition", "Require: 100rel", session=sdp(4444))
    again = call.invite
    assert header(again, "Supported") == "timer, precondition"
    assert header(again, "Require") == ""
    call.bob.answer(again, 200, KIND, body=sdp(5555))
    call.run()
    call.ack(call.alice.last("SIP/2.0 200"))
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")


@pytest.mark.parametrize("by", ["a", "b"])
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_preconditions_cross_as_option_and_lines_together(by: str, method: str) -> None:
    call = ByHand()
    invite = call.dial("Supported: 100rel", "Require: precondition", ALLOW, offer=sdp(4000) + NEEDS)
    assert header(invite, "Require") == "precondition"
    assert NEEDS in body(invite)
    progress = call.ring_reliably(183, 1, "Require: precondition", session=sdp(5000) + NEEDS)
    assert header(progress, "Require") == "100rel, precondition"
    assert NEEDS in body(progress)
    call.prack(progress, "Require: precondition", session=sdp(4002) + NEEDS)
    prack = call.bob.last("PRACK")
    assert header(prack, "Require") == "precondition"
    assert NEEDS in body(prack)
    call.bob.answer(prack, 200, "Require: precondition", KIND, body=sdp(5002) + NEEDS)
    call.run()
    answered = call.alice.last("SIP/2.0 200")
    assert (header(answered, "Require"), NEEDS in body(answered)) == ("precondition", True)
    ok = call.ring(200, ALLOW)
    call.ack(ok)
    lines = ("Require: precondition", "Supported: precondition")
    asker, asked = (call.alice, call.bob) if by == "a" else (call.bob, call.alice)
    if by == "a":
        call.ask_a(method, ok, *lines, session=sdp(4444) + NEEDS)
    else:
        call.ask_b(method, *lines, session=sdp(4444) + NEEDS)
    request = asked.last(method)
    assert header(request, "Require") == "precondition"
    assert "precondition" in header(request, "Supported")
    assert NEEDS in body(request)
    asked.answer(request, 200, "Require: precondition", KIND, body=sdp(5555) + NEEDS)
    call.run()
    answer = asker.last("SIP/2.0 200")
    assert "Require: precondition\r\n" in answer
    assert NEEDS in body(answer)
    call.hang_up(ok)


def test_allow_is_the_other_sides_in_what_the_engine_answers_and_asks_itself() -> None:
    """Else who is refreshed, or refreshes, would believe that UPDATE is not allowed any more."""
    call = ByHand(settings=CallSettings(session_expires_s=600))
    few = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"
    ok = call.talk("Supported: timer", ALLOW, answer=(few,))
    told = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE"
    assert header(ok, "Allow") == told
    call.ask_a("UPDATE", ok, "Supported: timer", "Session-Expires: 300;refresher=uas")
    answer = call.alice.last("SIP/2.0 200")
    assert (header(answer, "CSeq"), header(answer, "Allow")) == ("2 UPDATE", told)
    call.run(151)
    assert header(call.alice.last("UPDATE"), "Allow") == told
    call.alice.answer(call.alice.last("UPDATE"), 200, "Session-Expires: 300;refresher=uac")
    call.run(149)
    assert (
        header(call.bob.last("UPDATE"), "Allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO"
    )
    call.hang_up(ok)
    call.run(70)


def test_allow_in_a_refresh_by_reinvite() -> None:
    call = ByHand(settings=CallSettings(session_expires_s=600))
    ok = call.talk(ALLOW, answer=("Allow: INVITE, ACK, BYE, CANCEL, INFO",))
    call.run(301)
    assert header(call.bob.last("INVITE"), "Allow") == header(ok, "Allow").replace(
        "INFO", "PRACK, UPDATE, INFO"
    )
    assert header(call.alice.last("UPDATE"), "Allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO"
    call.hang_up(ok)
    call.run(70)


@pytest.mark.parametrize("trusting", [True, False])
def test_p_early_media_crosses_between_trusting_trunks_only(trusting: bool) -> None:
    """In each message of an early dialog (RFC 5009 section 8), and in none after the answer."""
    call = ByHand(
        trunks=[
            pstn(name="in", peers=["127.0.1.0/24"]),
            pstn(BOB, name="out", peers=["127.0.2.0/24"], trust_identity=trusting),
        ]
        if not trusting
        else None
    )

    def said(text: str) -> str:
        return header(text, "P-Early-Media")

    invite = call.dial("Supported: 100rel", ALLOW, "P-Early-Media: supported", offer=sdp(4000))
    assert said(invite) == ("supported" if trusting else "")
    words = "P-Early-Media: sendrecv, x-13800000001"
    wanted = "sendrecv" if trusting else ""
    progress = call.ring_reliably(183, 1, words, session=sdp(5000))
    assert said(progress) == wanted
    call.prack(progress, words)
    assert said(call.bob.last("PRACK")) == wanted
    call.bob.answer(call.bob.last("PRACK"), 200, words)
    call.run()
    assert said(call.alice.last("SIP/2.0 200")) == wanted
    call.ask_b("UPDATE", words, session=sdp(5002))
    assert said(call.alice.last("UPDATE")) == wanted
    call.alice.answer(call.alice.last("UPDATE"), 200, words, KIND, body=sdp(4002))
    call.run()
    assert said(call.bob.last("SIP/2.0 200")) == wanted
    ok = call.ring(200, words)
    assert said(ok) == ""
    call.ack(ok)
    call.ask_a("UPDATE", ok, words, session=sdp(4004))
    assert said(call.bob.last("UPDATE")) == ""
    call.hang_up(ok)
