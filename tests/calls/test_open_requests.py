"""Whatever is on its way: what a second offer is told (RFC 3261 14.2, RFC 3311 5.2), and how the call ends all the
same, from either side, by the platform and by its own deadline."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.calls.settings import CallSettings
from tests.simulation.by_hand import KIND, ByHand, header, sdp

ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO"
SOON = CallSettings(session_expires_s=600, max_duration_s=2000)


def talking(call: ByHand, *, update: bool = True) -> str:
    lines = (ALLOW,) if update else ()
    return call.talk(*lines, answer=lines)


def ask_of_a(method: str) -> Callable[[ByHand], str]:
    def play(call: ByHand) -> str:
        ok = talking(call)
        call.ask_a(method, ok, session="" if method == "INFO" else sdp(4444))
        return ok

    return play


def ask_of_b(method: str) -> Callable[[ByHand], str]:
    def play(call: ByHand) -> str:
        ok = talking(call)
        call.ask_b(method, session="" if method == "INFO" else sdp(5555))
        return ok

    return play


def ringing_reinvite(call: ByHand) -> str:
    ok = ask_of_a("INVITE")(call)
    call.bob.answer(call.invite, 180)
    call.run()
    return ok


def unacknowledged_reinvite(call: ByHand) -> str:
    ok = ask_of_a("INVITE")(call)
    call.bob.answer(call.invite, 200, KIND, body=sdp(5555))
    call.run()
    return ok


def unacknowledged_reinvite_of_b(call: ByHand) -> str:
    ok = ask_of_b("INVITE")(call)
    call.alice.answer(call.alice.last("INVITE"), 200, KIND, body=sdp(4444))
    call.run()
    return ok


def refresh(update: bool) -> Callable[[ByHand], str]:
    def play(call: ByHand) -> str:
        ok = talking(call, update=update)
        call.run(300)
        return ok

    return play


def news(call: ByHand) -> str:
    """A has changed its session when it was refreshed; B is being told."""
    ok = talking(call, update=False)
    call.run(300)
    call.bob.answer(call.invite, 200, KIND, body=sdp(5000))
    call.alice.answer(call.alice.last("INVITE"), 200, KIND, body=sdp(4444))
    call.run()
    return ok


OPEN: dict[str, Callable[[ByHand], str]] = {
    **{f"{method} of A": ask_of_a(method) for method in ("INVITE", "UPDATE", "INFO")},
    **{f"{method} of B": ask_of_b(method) for method in ("INVITE", "UPDATE", "INFO")},
    "INVITE of A that rings": ringing_reinvite,
    "INVITE of A without its ACK": unacknowledged_reinvite,
    "INVITE of B without its ACK": unacknowledged_reinvite_of_b,
    "refresh by UPDATE": refresh(True),
    "refresh by INVITE": refresh(False),
    "news": news,
}
BY_A, BY_B = ["INVITE of A", "UPDATE of A", "INVITE of A that rings"], ["INVITE of B", "UPDATE of B"]
REINVITE_WITHOUT_ACK = ["INVITE of A without its ACK", "INVITE of B without its ACK"]
FREE = ["INFO of A", "INFO of B", "refresh by UPDATE"]


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
@pytest.mark.parametrize("by", ["a", "b"])
@pytest.mark.parametrize("is_open", OPEN)
def test_a_second_offer(is_open: str, by: str, method: str) -> None:
    """500 to who has an offer on its way himself, 491 to the other; none of it where nothing is offered."""
    call = ByHand(settings=SOON)
    ok = OPEN[is_open](call)
    asker, asked = (call.alice, call.bob) if by == "a" else (call.bob, call.alice)
    before = len(asked.heard)
    if by == "a":
        call.ask_a(method, ok, session=sdp(4646))
    else:
        call.ask_b(method, session=sdp(5656))
    crossed = any("4646" in text or "5656" in text for text in asked.heard[before:])
    assert crossed is (is_open in FREE)
    if not crossed:
        answer = asker.last("SIP/2.0")
        same = is_open in (BY_A if by == "a" else BY_B)
        if is_open in REINVITE_WITHOUT_ACK:
            # The first offer has its answer; whose ACK is still awaited may be told either.
            same = method == "UPDATE" and is_open.startswith(f"INVITE of {by.upper()}")
        assert answer.startswith(f"SIP/2.0 {500 if same else 491} "), answer
        assert header(answer, "CSeq").endswith(method)
        assert ("Retry-After" in answer) is same
    call.scene.engine.switchboard.end_call(next(iter(call.scene.engine.board.calls)), call.scene.world.now)
    finish(call)


ENDS: dict[str, Callable[[ByHand, str], None]] = {
    "BYE of A": lambda call, ok: call.ask_a("BYE", ok),
    "BYE of B": lambda call, ok: call.ask_b("BYE"),
    "BYE of both": lambda call, ok: bye_glare(call, ok),
    "operator": lambda call, ok: operator(call),
    "longest talk time": lambda call, ok: call.run(2001),
    "stopping": lambda call, ok: call.scene.engine.switchboard.close(call.scene.world.now),
}


def bye_glare(call: ByHand, ok: str) -> None:
    call.ask_a("BYE", ok)
    call.ask_b("BYE")


def operator(call: ByHand) -> None:
    call.scene.engine.switchboard.end_call(next(iter(call.scene.engine.board.calls)), call.scene.world.now)


def finish(call: ByHand, answers: bool = True) -> None:
    """Both sides answer what they are asked, or nothing; then nothing is left."""
    call.run()
    if answers:
        for who in (call.alice, call.bob):
            for text in list(who.heard):
                if text.startswith("BYE "):
                    who.answer(text, 200)
                elif text.startswith("INVITE ") and ";tag=" in header(text, "To"):
                    who.answer(text, 487)
    call.run(80)
    engine = call.scene.engine
    assert engine.faults == []
    assert (engine.board.legs, engine.board.calls) == ({}, {})
    assert engine.endpoint.transactions_active == 0
    assert len(engine.records.ends) == len(engine.records.starts) == 1


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("is_open", OPEN)
def test_the_call_ends_whatever_is_open(is_open: str, end: str, answers: bool) -> None:
    call = ByHand(settings=SOON)
    ok = OPEN[is_open](call)
    ENDS[end](call, ok)
    finish(call, answers)
    for who, name in ((call.alice, "A"), (call.bob, "B")):
        byes = [text for text in who.heard if text.startswith("BYE ")]
        hung_up_itself = end in (f"BYE of {name}", "BYE of both")
        assert bool(byes) is not hung_up_itself or end == "BYE of both"
        # Each request of its own has been answered.
        asked = {
            header(text, "CSeq") for text in sent_by(call, who.address) if " SIP/2.0" in text.split("\r\n")[0]
        }
        told = {header(text, "CSeq") for text in who.heard if text.startswith("SIP/2.0 ") and text[8] != "1"}
        assert {cseq for cseq in asked if not cseq.endswith("ACK")} <= told


def sent_by(call: ByHand, address: tuple[str, int]) -> list[str]:
    return [passed.text for passed in call.scene.world.log if passed.source == address]


# --- before the answer ---


def reliable(call: ByHand) -> str:
    call.dial("Supported: 100rel", ALLOW, offer=sdp(4000))
    return call.ring_reliably(183, 7, ALLOW, session=sdp(5000))


def acknowledged(call: ByHand) -> str:
    progress = reliable(call)
    call.prack(progress)
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run()
    return progress


def pracked_with_an_offer(call: ByHand) -> str:
    progress = reliable(call)
    call.prack(progress, session=sdp(4002))
    return progress


def answer_held(call: ByHand) -> str:
    progress = reliable(call)
    call.ring(200)
    return progress


def early(method: str, by: str) -> Callable[[ByHand], str]:
    def play(call: ByHand) -> str:
        progress = acknowledged(call)
        session = "" if method == "INFO" else sdp(4444)
        if by == "a":
            call.ask_a(method, progress, session=session)
        else:
            call.ask_b(method, session=session)
        return progress

    return play


EARLY: dict[str, Callable[[ByHand], str]] = {
    "reliable 183": reliable,
    "PRACK": pracked_with_an_offer,
    "answer that waits": answer_held,
    **{f"{method} of {by}": early(method, by) for method in ("UPDATE", "INFO") for by in ("a", "b")},
}
EARLY_ENDS: dict[str, Callable[[ByHand, str], None]] = {
    "CANCEL": lambda call, early: call.alice.request("CANCEL", branch="z9hG4bKone", contact=False),
    "BYE of A": lambda call, early: call.ask_a("BYE", early),
    "BYE of B": lambda call, early: call.ask_b("BYE"),  # only once it has answered
    "failure": lambda call, early: call.bob.answer(call.invite, 486, tag="b"),
    "503": lambda call, early: call.bob.answer(call.invite, 503, tag="b"),
    "operator": lambda call, early: operator(call),
    "too long": lambda call, early: call.run(181),
}


@pytest.mark.parametrize("end", EARLY_ENDS)
@pytest.mark.parametrize("is_open", EARLY)
def test_the_attempt_ends_whatever_is_open(is_open: str, end: str) -> None:
    call = ByHand()
    progress = EARLY[is_open](call)
    EARLY_ENDS[end](call, progress)
    call.run()
    if call.bob.heard[-1].startswith("CANCEL "):
        call.bob.answer(call.invite, 487, tag="b")
    call.run(260)
    engine = call.scene.engine
    assert engine.faults == []
    assert (engine.board.legs, engine.board.calls) == ({}, {})
    assert engine.endpoint.transactions_active == 0
    (record,) = engine.records.ends
    assert (record.answer_time, engine.records.starts) == (None, [])
    finals = {
        text[8:11] for text in call.alice.heard if header(text, "CSeq") == "1 INVITE" and text[8] != "1"
    }
    assert finals == {str(record.sip_status)}
    for who in (call.alice, call.bob):
        asked = {
            header(text, "CSeq") for text in sent_by(call, who.address) if " SIP/2.0" in text.split("\r\n")[0]
        }
        told = {header(text, "CSeq") for text in who.heard if text.startswith("SIP/2.0 ") and text[8] != "1"}
        assert asked <= told


def late_offer(call: ByHand) -> str:
    """The callee's offer has its answer in a PRACK; the next reliable response leaves room for another offer."""
    call.dial("Supported: 100rel", ALLOW)
    call.prack(call.ring_reliably(183, 7, ALLOW, session=sdp(5000)), session=sdp(4000))
    call.bob.answer(call.bob.last("PRACK"), 200)
    call.run()
    return call.ring_reliably(180, 8, ALLOW)


@pytest.mark.parametrize("begin", [reliable, late_offer])
def test_a_prack_with_an_offer_meets_an_update(begin: Callable[[ByHand], str]) -> None:
    """The callee's UPDATE is turned down while the caller's offer in PRACK is open; then it may come."""
    call = ByHand()
    progress = begin(call)
    call.prack(progress, session=sdp(4002))
    call.ask_b("UPDATE", session=sdp(5555))
    assert call.bob.last("SIP/2.0").startswith("SIP/2.0 491 ")
    call.ask_a("UPDATE", progress, session=sdp(4004))
    assert call.alice.last("SIP/2.0").startswith("SIP/2.0 500 ")
    call.bob.answer(call.bob.last("PRACK"), 200, KIND, body=sdp(5002))
    call.run()
    call.ask_b("UPDATE", session=sdp(5556))
    assert "m=audio 5556" in call.alice.last("UPDATE")
    call.alice.answer(call.alice.last("UPDATE"), 200, KIND, body=sdp(4006))
    call.run()
    assert "m=audio 4006" in call.bob.last("SIP/2.0 200")
    call.ring(486)
