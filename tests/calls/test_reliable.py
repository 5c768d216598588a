"""Reliable provisional responses (RFC 3262): each leg's own RSeq, PRACK and its answer across, and what goes wrong."""

from __future__ import annotations

import pytest

from tests.simulation.by_hand import ByHand, body, header, sdp
from tests.simulation.scene import expect

RELIABLE = "Supported: 100rel"


def statuses(call: ByHand, cseq: str) -> list[int]:
    return [int(text[8:11]) for text in call.alice.heard if header(text, "CSeq") == cseq]


@pytest.mark.parametrize(
    ("line", "supported", "required"),
    [
        ("Supported: 100rel", "100rel, timer", ""),
        ("Require: 100rel", "100rel, timer", "100rel"),
        ("k: timer, 100REL , replaces", "100rel, timer", ""),
        ("Supported: precondition,100rel", "100rel, timer, precondition", ""),
        ("Supported: replaces", "timer", ""),
    ],
)
def test_it_is_offered_to_the_callee_only_if_the_caller_offered_it(
    line: str, supported: str, required: str
) -> None:
    call = ByHand()
    invite = call.dial(line, offer=sdp(4000))
    assert header(invite, "Supported") == supported
    assert header(invite, "Require") == required
    call.ring(486)
    call.run(70)


def test_a_reliable_response_and_its_prack_cross_with_each_legs_own_numbers() -> None:
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    progress = call.ring_reliably(183, 77, session=sdp(5000))
    assert progress.startswith("SIP/2.0 183")
    assert header(progress, "Require") == "100rel"
    sequence = int(header(progress, "RSeq"))
    assert 1 <= sequence < 2**31
    assert sequence != 77
    assert "m=audio 5000" in body(progress)

    call.prack(progress)
    prack = call.bob.last("PRACK")
    assert header(prack, "RAck") == f"77 {header(call.invite, 'CSeq')}"
    assert header(prack, "CSeq") == "2 PRACK"
    assert prack.startswith("PRACK sip:b-b@")
    call.bob.answer(prack, 200)
    call.run()
    assert statuses(call, "2 PRACK") == [200]

    # The next one counts up by one on its own leg.
    again = call.ring_reliably(180, 78)
    assert int(header(again, "RSeq")) == sequence + 1
    call.prack(again)
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run()
    ok = call.ring(200)
    assert ok.startswith("SIP/2.0 200")
    assert header(ok, "To") == header(progress, "To")
    call.ack(ok)
    assert header(call.bob.last("ACK"), "CSeq") == header(call.invite, "CSeq").replace("INVITE", "ACK")
    call.hang_up(ok)
    # The dialog goes on counting where its early self was.
    assert header(call.bob.last("BYE"), "CSeq") == "4 BYE"
    expect(call.scene.record, reason="normal", released_by="caller")


def test_it_is_repeated_with_doubled_intervals_until_its_prack_comes() -> None:
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    progress = call.ring_reliably(183, 1, session=sdp(5000))
    call.run(8.0)  # 0.5, 1.5, 3.5, 7.5
    assert call.alice.heard.count(progress) == 5
    call.bob.answer(call.invite, 183, "Require: 100rel", "RSeq: 1", tag="b", body=sdp(5000))
    call.run()
    assert call.alice.heard.count(progress) == 5  # the callee's repeats are absorbed
    call.prack(progress)
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run(20)
    assert call.alice.heard.count(progress) == 5
    call.ring(486)


def test_no_prack_in_64_t1_ends_the_call() -> None:
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    call.ring_reliably(183, 1, session=sdp(5000))
    call.run(32.5)
    assert call.alice.last().startswith("SIP/2.0 504 ")
    assert header(call.alice.last(), "Reason") == "Q.850;cause=102"
    assert call.bob.last().startswith("CANCEL ")
    call.ring(487)
    expect(call.scene.record, sip_status=504, reason="no_ack", disposition="failed", released_by="platform")


@pytest.mark.parametrize("with_session", [True, False])
def test_a_2xx_waits_for_the_prack_to_a_response_with_a_session_only(with_session: bool) -> None:
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    progress = call.ring_reliably(183, 9, session=sdp(5000) if with_session else "")
    call.ring(200, session="" if with_session else sdp(5000))
    assert (200 in statuses(call, "1 INVITE")) is not with_session
    assert call.scene.engine.records.starts == [] or not with_session
    call.prack(progress)
    assert header(call.bob.last("PRACK"), "RAck") == f"9 {header(call.invite, 'CSeq')}"
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run()
    assert statuses(call, "2 PRACK") == [200]
    ok = next(text for text in call.alice.heard if text.startswith("SIP/2.0 200") and "1 INVITE" in text)
    call.ack(ok)
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")


def test_the_caller_gives_up_while_the_answer_waits() -> None:
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    call.ring_reliably(183, 9, session=sdp(5000))
    call.ring(200)
    call.alice.request("CANCEL", branch="z9hG4bKone", contact=False)
    call.run()
    assert statuses(call, "1 CANCEL") == [200]
    assert statuses(call, "1 INVITE")[-1] == 487
    assert call.bob.last("ACK")
    call.bob.answer(call.bob.last("BYE"), 200)
    call.run(40)
    expect(call.scene.record, reason="cancelled", answer_time=None)
    assert call.scene.engine.board.legs == {}


def test_ringing_too_long_while_the_answer_waits_hangs_up() -> None:
    call = ByHand()
    call.dial(RELIABLE, "Expires: 5", offer=sdp(4000))
    call.ring_reliably(183, 9, session=sdp(5000))
    call.ring(200)
    call.run(6)
    assert statuses(call, "1 INVITE")[-1] == 487
    call.bob.answer(call.bob.last("BYE"), 200)
    call.run(40)
    assert call.scene.engine.board.legs == {}


@pytest.mark.parametrize(
    ("rack", "status"),
    [
        ("{rseq} 1 INVITE", 200),
        ("1 1 INVITE", 481),
        ("{rseq} 2 INVITE", 481),
        ("{rseq} 1 UPDATE", 481),
        ("{rseq} 1", 400),
        ("soon", 400),
    ],
)
def test_what_rack_must_say(rack: str, status: int) -> None:
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    progress = call.ring_reliably(183, 5, session=sdp(5000))
    call.prack(progress, rack=rack.format(rseq=header(progress, "RSeq")))
    if status == 200:
        call.bob.answer(call.bob.last("PRACK"), 200)
        call.run()
    assert statuses(call, "2 PRACK") == [status]
    call.ring(486)


def test_a_second_prack_for_the_same_response_finds_nothing() -> None:
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    progress = call.ring_reliably(183, 5, session=sdp(5000))
    call.prack(progress)
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run()
    call.prack(progress)
    assert statuses(call, "3 PRACK") == [481]
    call.ring(486)


def test_prack_and_its_answer_carry_sessions() -> None:
    """A late offer: the reliable 183 brings it, PRACK the answer; PRACK may bring a new offer too (RFC 3262 5)."""
    call = ByHand()
    call.dial(RELIABLE)
    assert body(call.invite) == ""
    progress = call.ring_reliably(183, 5, session=sdp(5000))
    call.prack(progress, session=sdp(4444))
    assert "m=audio 4444" in body(call.bob.last("PRACK"))
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run()
    second = call.ring_reliably(180, 6)
    call.prack(second, session=sdp(4446))
    call.bob.answer(call.bob.last("PRACK"), 200, "Content-Type: application/sdp", body=sdp(5002))
    call.run()
    assert "m=audio 5002" in body(call.alice.last("SIP/2.0 200"))
    ok = call.ring(200)
    call.ack(ok)
    assert body(call.bob.last("ACK")) == ""
    call.hang_up(ok)


def test_responses_behind_one_that_waits_keep_their_order() -> None:
    """The second reliable response must not leave before the first is acknowledged (RFC 3262 3)."""
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    first = call.ring_reliably(183, 5, session=sdp(5000))
    assert call.ring_reliably(180, 6) == first
    call.ring_reliably(183, 8)  # one is missing: it will come again
    call.ring_reliably(183, 6)  # again
    call.prack(first)
    second = call.alice.last("SIP/2.0 180")
    assert int(header(second, "RSeq")) == int(header(first, "RSeq")) + 1
    call.prack(second)
    assert header(call.bob.last("PRACK"), "RAck").startswith("6 ")
    assert [text[8:11] for text in call.alice.heard if "RSeq" in text] == ["183", "180"]
    call.ring(486)


def test_each_fork_has_its_own_sequence_and_tag() -> None:
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    one = call.ring_reliably(183, 5, tag="one", session=sdp(5000))
    two = call.ring_reliably(183, 900, tag="two", session=sdp(5100))
    assert header(one, "To") != header(two, "To")
    call.prack(two)
    assert header(call.bob.last("PRACK"), "RAck").startswith("900 ")
    assert call.bob.last("PRACK").startswith("PRACK sip:b-two@")
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run()
    ok = call.ring(200, tag="two")  # the other fork's session need not wait for its PRACK
    assert header(ok, "CSeq") == "1 INVITE"
    assert header(ok, "To") == header(two, "To")
    heard = call.alice.heard.count(one)
    call.run(2)
    assert call.alice.heard.count(one) == heard
    call.ack(ok)
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")


def test_a_caller_who_requires_it_gets_even_an_unreliable_response_reliably() -> None:
    """Its PRACK ends at the engine then."""
    call = ByHand()
    call.dial("Require: 100rel", offer=sdp(4000))
    ringing = call.ring(180)
    assert header(ringing, "Require") == "100rel"
    call.prack(ringing)
    assert statuses(call, "2 PRACK") == [200]
    assert not [text for text in call.bob.heard if text.startswith("PRACK")]
    call.ring(486)


def test_a_callee_who_does_it_unasked_is_not_believed() -> None:
    call = ByHand()
    call.dial(offer=sdp(4000))
    progress = call.ring_reliably(183, 5, session=sdp(5000))
    assert header(progress, "RSeq") == ""
    call.ring(486)


@pytest.mark.parametrize(("answer", "shown"), [(486, 486), (481, 481), (500, 500), (503, 500), (408, 504)])
def test_a_prack_that_fails_over_there_fails_here(answer: int, shown: int) -> None:
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    progress = call.ring_reliably(183, 5, session=sdp(5000))
    call.prack(progress)
    call.bob.answer(call.bob.last("PRACK"), answer)
    call.run()
    assert statuses(call, "2 PRACK") == [shown]
    call.ring(486)


def test_a_prack_that_is_not_answered_gets_504_in_time() -> None:
    """After 50·T1, never 408 (RFC 4320)."""
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    progress = call.ring_reliably(183, 5, session=sdp(5000))
    call.prack(progress)
    call.run(24.5)
    assert statuses(call, "2 PRACK") == []
    call.run(1)
    assert statuses(call, "2 PRACK") == [504]
    call.ring(486)
    call.run(40)
    assert call.scene.engine.endpoint.transactions_active == 0


def test_the_call_ends_while_a_prack_is_on_its_way() -> None:
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    progress = call.ring_reliably(183, 5, session=sdp(5000))
    call.prack(progress)
    call.ring(486)
    assert statuses(call, "2 PRACK") == [487]
    assert statuses(call, "1 INVITE")[-1] == 486
    call.run(70)
    assert call.scene.engine.board.legs == {}


def test_a_reminder_needs_no_second_session() -> None:
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    progress = call.ring_reliably(183, 5, session=sdp(5000))
    call.prack(progress)
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run(61)
    reminder = call.alice.last("SIP/2.0 183")
    assert reminder != progress
    assert (header(reminder, "RSeq"), body(reminder)) == ("", "")
    call.ring(486)


@pytest.mark.parametrize("answer", [0, 200, 481])
def test_a_prack_after_the_answer(answer: int) -> None:
    """It crosses; what becomes of it does not end a call that is answered."""
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    ringing = call.ring_reliably(180, 5)
    ok = call.ring(200, session=sdp(5000))
    heard = call.alice.heard.count(ringing)
    call.ack(ok)
    call.run(1)
    assert call.alice.heard.count(ringing) == heard  # repeated no more
    call.prack(ringing)
    prack = call.bob.last("PRACK")
    assert header(prack, "RAck").startswith("5 ")
    if answer:
        call.bob.answer(prack, answer)
    call.run(40)
    assert statuses(call, "2 PRACK") == [answer or 504]
    call.prack(ringing)
    assert statuses(call, "3 PRACK") == [481]
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")


def test_a_prack_that_comes_again_gets_the_same_answer() -> None:
    call = ByHand()
    call.dial(RELIABLE, offer=sdp(4000))
    progress = call.ring_reliably(183, 5, session=sdp(5000))
    rack = f"{header(progress, 'RSeq')} 1 INVITE"
    for _ in range(2):
        call.ask_a("PRACK", progress, f"RAck: {rack}", cseq=2)
    assert len({text for text in call.bob.heard if text.startswith("PRACK")}) == 1
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run()
    call.ask_a("PRACK", progress, f"RAck: {rack}", cseq=2)
    assert statuses(call, "2 PRACK") == [200, 200]
    call.ring(486)


def test_no_fail_over_after_a_reliable_response() -> None:
    call = ByHand(hops=2)
    call.dial(RELIABLE, offer=sdp(4000))
    progress = call.ring_reliably(183, 5, session=sdp(5000))
    call.prack(progress)
    call.ring(503)
    assert statuses(call, "2 PRACK") == [487]
    assert call.alice.last("SIP/2.0 500")
    expect(call.scene.record, sip_status=500, reason="trunk_down")
