"""What is on its way in an early dialog when another fork answers, or when the INVITE begins anew."""

from __future__ import annotations

import pytest

from tests.simulation.by_hand import KIND, ByHand, body, header, sdp
from tests.simulation.scene import expect

ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO"


def forked() -> tuple[ByHand, str, str]:
    """Two early dialogs, whose first offer has its answer in the one and the other."""
    call = ByHand()
    call.dial("Supported: 100rel", ALLOW, offer=sdp(4000))
    progress = []
    for place, tag in enumerate(("one", "two")):
        heard = call.ring_reliably(183, 10 * place + 1, ALLOW, tag=tag, session=sdp(5000 + place))
        call.prack(heard)
        call.bob.answer(call.bob.last("PRACK"), 200)
        call.run()
        progress.append(heard)
    return call, progress[0], progress[1]


def answered_by_two(call: ByHand) -> str:
    call.ring(200, ALLOW, tag="two")
    (ok,) = {text for text in call.alice.heard if text.startswith("SIP/2.0 200") and "1 INVITE" in text}
    call.ack(ok)
    return ok


def test_an_update_of_the_caller_in_the_fork_that_loses() -> None:
    """It is told at once that its early dialog is gone; what that fork says then moves nothing of the other."""
    call, one, _ = forked()
    call.ask_a("UPDATE", one, session=sdp(4444))
    update = call.bob.last("UPDATE")
    assert update.startswith("UPDATE sip:b-one@")
    ok = answered_by_two(call)
    assert header(call.alice.last("SIP/2.0 481"), "CSeq").endswith("UPDATE")
    call.bob.answer(update, 200, "Contact: <sip:elsewhere@127.0.2.22:5090>", KIND, body=sdp(6666))
    call.run()
    # Nobody has to wait for its end.
    call.ask_a("INVITE", ok, session=sdp(4448))
    assert call.bob.last("INVITE").startswith("INVITE sip:b-two@")
    call.bob.answer(call.bob.last("INVITE"), 488)
    call.run()
    call.hang_up(ok)
    assert call.bob.last("BYE").startswith("BYE sip:b-two@")
    assert "6666" not in "".join(call.alice.heard)
    expect(call.scene.record, reason="normal")


def test_an_update_of_the_callee_in_the_fork_that_loses() -> None:
    call, one, two = forked()
    call.ask_b("UPDATE", tag="one", session=sdp(5555))
    update = call.alice.last("UPDATE")
    assert header(update, "From") == header(one, "To")
    ok = answered_by_two(call)
    assert header(ok, "To") == header(two, "To")
    assert header(call.bob.last("SIP/2.0 481"), "CSeq").endswith("UPDATE")
    call.alice.answer(update, 200, "Contact: <sip:elsewhere@127.0.1.11:5060>", KIND, body=sdp(4446))
    call.run()
    call.ask_b("BYE", tag="two")
    assert call.alice.last("BYE").startswith("BYE sip:by-hand@")


def test_an_update_in_the_fork_that_wins_goes_on() -> None:
    """The callee answers the INVITE while the caller's UPDATE is on its way; its answer comes after the ACK."""
    call, _, two = forked()
    call.ask_a("UPDATE", two, session=sdp(4444))
    update = call.bob.last("UPDATE")
    ok = answered_by_two(call)
    call.ask_b("INVITE", tag="two", session=sdp(5556))
    assert call.bob.last("SIP/2.0 491")
    call.bob.answer(update, 200, "Contact: <sip:moved@127.0.2.22:5090>", KIND, body=sdp(6666))
    call.run()
    answer = call.alice.last("SIP/2.0 200")
    assert header(answer, "CSeq").endswith("UPDATE")
    assert "m=audio 6666" in body(answer)
    call.hang_up(ok)
    assert call.bob.last("BYE").startswith("BYE sip:moved@")


def test_a_prack_in_a_fork_that_has_lost_while_the_answer_of_another_waits() -> None:
    call = ByHand()
    call.dial("Supported: 100rel", offer=sdp(4000))
    one = call.ring_reliably(183, 1, tag="one", session=sdp(5000))
    two = call.ring_reliably(183, 11, tag="two", session=sdp(5001))
    call.ring(200, tag="two")
    call.prack(one)
    assert header(call.alice.last("SIP/2.0"), "CSeq") == "2 PRACK"
    assert call.alice.last("SIP/2.0").startswith("SIP/2.0 481")
    assert not [text for text in call.bob.heard if text.startswith("PRACK")]
    call.prack(two)
    assert header(call.bob.last("PRACK"), "RAck").startswith("11 ")
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run()
    ok = next(text for text in call.alice.heard if text.startswith("SIP/2.0 200") and "1 INVITE" in text)
    assert header(ok, "To") == header(two, "To")
    call.ack(ok)
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")


@pytest.mark.parametrize("method", ["PRACK", "UPDATE", "INFO"])
def test_an_early_dialog_of_an_invite_that_began_anew(method: str) -> None:
    """A fork rang, another wanted a longer session interval: the first is none any more."""
    call = ByHand()
    call.dial("Supported: 100rel", ALLOW, offer=sdp(4000))
    old = call.ring_reliably(183, 1, tag="one", session=sdp(5000))
    call.bob.answer(call.invite, 422, "Min-SE: 3600")
    call.run()
    assert header(call.invite, "CSeq") == "2 INVITE"
    if method == "PRACK":
        call.prack(old)
    else:
        call.ask_a(method, old, session=sdp(4444) if method == "UPDATE" else "")
    assert call.alice.last("SIP/2.0").startswith("SIP/2.0 481")
    again = call.ring_reliably(183, 41, tag="two", session=sdp(5001))
    call.prack(again)
    assert header(call.bob.last("PRACK"), "RAck") == "41 2 INVITE"
    assert call.scene.engine.faults == []
    call.ring(486)


def test_requests_of_a_callee_whose_answer_waits() -> None:
    """Its 200 is held back for the caller's PRACK: it is not gone, only too early."""
    call = ByHand()
    call.dial("Supported: 100rel", ALLOW, offer=sdp(4000))
    progress = call.ring_reliably(183, 5, ALLOW, session=sdp(5000))
    call.ring(200)
    for method, status in (("INVITE", 491), ("UPDATE", 491), ("INFO", 500)):
        call.ask_b(method, session=sdp(5002) if method != "INFO" else "")
        assert call.bob.last("SIP/2.0").startswith(f"SIP/2.0 {status}"), method
    call.prack(progress)
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run()
    ok = next(text for text in call.alice.heard if text.startswith("SIP/2.0 200") and "1 INVITE" in text)
    call.ack(ok)
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")


def test_the_answer_waits_for_a_session_that_has_not_had_its_turn() -> None:
    """180 and 183 with the session, both reliable, then 200 without one: the caller gets all in this order."""
    call = ByHand()
    call.dial("Supported: 100rel", offer=sdp(4000))
    ringing = call.ring_reliably(180, 5)
    call.ring_reliably(183, 6, session=sdp(5000))
    call.ring(200)
    assert call.alice.last("SIP/2.0") == ringing
    call.prack(ringing)
    media = call.alice.last("SIP/2.0 183")
    assert "m=audio 5000" in body(media)
    assert not [text for text in call.alice.heard if text.startswith("SIP/2.0 200") and "1 INVITE" in text]
    call.prack(media)
    ok = next(text for text in call.alice.heard if text.startswith("SIP/2.0 200") and "1 INVITE" in text)
    call.ack(ok)
    call.hang_up(ok)


def test_a_seventeenth_fork_that_wants_its_response_acknowledged() -> None:
    call = ByHand()
    call.dial("Supported: 100rel", ALLOW, offer=sdp(4000))
    for place in range(17):
        heard = call.ring_reliably(183, 1, ALLOW, tag=f"fork{place}", session=sdp(5000 + 2 * place))
    call.prack(heard)
    call.ask_b("INFO", tag="fork16")
    assert call.scene.engine.faults == []
    call.ring(486)
    call.run(70)
