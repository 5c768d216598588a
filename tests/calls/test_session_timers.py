"""Session timers (RFC 4028): each leg's own, refreshed by the engine where it is its turn, and what ends with them."""

from __future__ import annotations

import pytest

from engine.calls.settings import CallSettings
from tests.simulation.by_hand import ByHand, body, header, sdp
from tests.simulation.scene import expect

UPDATES = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"


def heard(who: object, method: str) -> list[str]:
    texts: list[str] = who.heard  # type: ignore[attr-defined]
    return [text for text in texts if text.startswith(method)]


def by_hand(seconds: int = 1800, shortest: int = 90) -> ByHand:
    return ByHand(settings=CallSettings(session_expires_s=seconds, min_session_expires_s=shortest))


@pytest.mark.parametrize(
    ("lines", "told", "required"),
    [
        ((), "1800;refresher=uas", ""),
        (("Supported: timer",), "1800;refresher=uac", "timer"),
        (("Supported: timer", "Session-Expires: 600"), "600;refresher=uac", "timer"),
        (("Supported: timer", "Session-Expires: 600;refresher=uas"), "600;refresher=uas", ""),
        (("Session-Expires: 600;refresher=uac",), "600;refresher=uas", ""),  # it says so for a proxy
        (("k: timer", "x: 7200 ; Refresher=UAC"), "1800;refresher=uac", "timer"),
        (("Supported: timer", "Session-Expires: 7200", "Min-SE: 3600"), "3600;refresher=uac", "timer"),
        (("Supported: timer", "Session-Expires: soon"), "1800;refresher=uac", "timer"),
    ],
)
def test_what_the_caller_is_told(lines: tuple[str, ...], told: str, required: str) -> None:
    call = by_hand()
    ok = call.talk(*lines)
    assert header(ok, "Session-Expires") == told
    assert header(ok, "Require") == required
    call.hang_up(ok)


def test_where_it_is_switched_off_only_who_asks_gets_it() -> None:
    call = by_hand(0)
    ok = call.talk()
    assert header(ok, "Session-Expires") == ""
    assert header(call.invite, "Session-Expires") == ""
    call.run(20_000)
    assert heard(call.alice, "INVITE") == []
    call.hang_up(ok)
    call = by_hand(0)
    ok = call.talk("Supported: timer", "Session-Expires: 300")
    assert header(ok, "Session-Expires") == "300;refresher=uac"
    call.hang_up(ok)


def test_an_interval_that_is_too_short_is_refused() -> None:
    call = by_hand()
    call.alice.request("INVITE", "Supported: timer", "Session-Expires: 60", body="")
    call.run()
    refusal = call.alice.last()
    assert refusal.startswith("SIP/2.0 422 ")
    assert header(refusal, "Min-SE") == "90"
    assert call.bob.heard == []
    # Who cannot know what 422 means is not refused (section 9): a proxy on the way may have put it in.
    call.alice.request("INVITE", "Session-Expires: 60", branch="z9hG4bKtwo", call_id="two", body="")
    call.run()
    assert call.bob.last("INVITE")
    call.bob.answer(call.invite, 486)
    call.run(2)


def test_the_callee_is_asked_and_its_422_is_heeded() -> None:
    call = by_hand()
    first = call.dial("Supported: timer, 100rel", offer=sdp(4000))
    assert header(first, "Supported") == "100rel, timer"
    assert header(first, "Session-Expires") == "1800"
    call.bob.answer(first, 422, "Min-SE: 3600")
    call.run()
    second = call.invite
    assert second != first
    assert header(second, "Session-Expires") == "3600"
    assert header(second, "Min-SE") == "3600"
    assert header(second, "Call-ID") == header(first, "Call-ID")
    assert header(second, "CSeq") == "2 INVITE"
    assert body(second) == body(first)
    ok = call.ring(200, "Session-Expires: 3600;refresher=uas", session=sdp(5000))
    call.ack(ok)
    assert header(call.bob.last("ACK"), "CSeq") == "2 ACK"
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")


def test_a_callee_that_is_never_content_fails() -> None:
    call = by_hand()
    call.dial(offer=sdp(4000))
    for shortest in (3600, 7200, 14_400):
        call.bob.answer(call.invite, 422, f"Min-SE: {shortest}")
        call.run()
    assert len(set(heard(call.bob, "INVITE"))) == 3
    assert call.alice.last().startswith("SIP/2.0 500 ")


@pytest.mark.parametrize("by", ["a", "b"])
def test_who_does_not_refresh_is_hung_up(by: str) -> None:
    """A third of the interval, or 32 s, before it is over (section 10)."""
    call = by_hand()
    a_lines = ("Supported: timer", "Session-Expires: 90;refresher=uac") if by == "a" else ()
    b_lines = ("Session-Expires: 90;refresher=uas", "Require: timer") if by == "b" else ()
    call.talk(*a_lines, answer=b_lines)
    call.run(59)
    assert heard(call.alice, "BYE") == heard(call.bob, "BYE") == []
    call.run(2)
    for who in (call.alice, call.bob):
        assert header(heard(who, "BYE")[0], "Reason") == "Q.850;cause=102"
    expect(
        call.scene.record, disposition="answered", reason="session_expired", released_by="platform",
        q850_cause=102,
    )  # fmt: skip


@pytest.mark.parametrize("how", ["update", "update with session", "reinvite"])
def test_who_refreshes_stays(how: str) -> None:
    call = by_hand()
    ok = call.talk("Supported: timer", "Session-Expires: 90;refresher=uac", UPDATES)
    for _ in range(4):
        call.run(50)
        lines = ("Supported: timer", "Session-Expires: 90;refresher=uac")
        if how == "update":
            call.ask_a("UPDATE", ok, *lines)
        elif how == "update with session":
            call.ask_a("UPDATE", ok, *lines, session=sdp(4000))
            call.bob.answer(call.bob.last("UPDATE"), 200, "Content-Type: application/sdp", body=sdp(5000))
            call.run()
        else:
            call.ask_a("INVITE", ok, *lines, session=sdp(4000))
            call.bob.answer(call.invite, 200, "Content-Type: application/sdp", body=sdp(5000))
            call.run()
            call.ack(call.alice.last("SIP/2.0 200"))
        assert header(call.alice.last("SIP/2.0 200"), "Session-Expires") == "90;refresher=uac"
    assert heard(call.alice, "BYE") == []
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")


def test_a_reinvite_that_fails_does_not_refresh() -> None:
    call = by_hand()
    ok = call.talk("Supported: timer", "Session-Expires: 90;refresher=uac")
    call.run(50)
    call.ask_a("INVITE", ok, "Supported: timer", "Session-Expires: 90", session=sdp(4444))
    call.bob.answer(call.invite, 488)
    call.run(11)
    assert heard(call.alice, "BYE")


@pytest.mark.parametrize("with_update", [True, False])
def test_the_engine_refreshes_by_update_or_by_the_last_session_unchanged(with_update: bool) -> None:
    call = by_hand(600)
    lines = (UPDATES,) if with_update else ()
    ok = call.talk(*lines, answer=lines)
    method = "UPDATE" if with_update else "INVITE"
    sessions = {"alice": body(ok), "bob": body(call.invite)}
    for turn in range(3):
        call.run(300)
        for who in (call.alice, call.bob):
            asked = heard(who, method)
            wanted = turn + 1 + (0 if with_update or who is call.alice else 1)
            assert len(asked) == wanted, (turn, who.address)
            assert header(asked[-1], "Session-Expires") == "600;refresher=uac"
            assert body(asked[-1]) == (
                "" if with_update else sessions["alice" if who is call.alice else "bob"]
            )
            kind = () if with_update else ("Content-Type: application/sdp",)
            who.answer(
                asked[-1],
                200,
                "Session-Expires: 600;refresher=uac",
                *kind,
                body="" if with_update else sdp(4000 if who is call.alice else 5000),
            )
        call.run(0.5)
        if not with_update:
            assert len(heard(call.alice, "ACK")) == turn + 1
    call.hang_up(ok)
    expect(call.scene.record, reason="normal")


@pytest.mark.parametrize("status", [408, 481])
def test_a_far_end_that_is_gone_ends_the_call(status: int) -> None:
    call = by_hand(600)
    call.talk(answer=(UPDATES,))
    call.run(300)
    call.bob.answer(call.bob.last("UPDATE"), status)
    call.run()
    expect(call.scene.record, reason="session_expired", released_by="platform", disposition="answered")
    assert heard(call.alice, "BYE")


def test_a_far_end_that_is_silent_ends_the_call() -> None:
    call = by_hand(600)
    ok = call.talk(UPDATES, answer=(UPDATES,))
    call.run(300)
    call.alice.answer(call.alice.last("UPDATE"), 200, "Session-Expires: 600;refresher=uac")
    call.run(33)
    expect(call.scene.record, reason="session_expired", released_by="platform")
    assert header(ok, "CSeq") == "1 INVITE"


@pytest.mark.parametrize("status", [405, 500, 503])
def test_a_refresh_that_fails_otherwise_is_tried_again_as_reinvite(status: int) -> None:
    call = by_hand(600)
    ok = call.talk(UPDATES, answer=(UPDATES,))
    call.run(300)
    call.alice.answer(call.alice.last("UPDATE"), 200, "Session-Expires: 600;refresher=uac")
    call.bob.answer(call.bob.last("UPDATE"), status)
    call.run(80)
    again = heard(call.bob, "INVITE")[-1]
    assert again != call.bob.heard[0]
    call.bob.answer(
        again, 200, "Session-Expires: 600;refresher=uac", "Content-Type: application/sdp", body=sdp(5000)
    )
    call.run(200)
    assert heard(call.bob, "BYE") == []
    call.hang_up(ok)


def test_a_refresh_that_never_succeeds_ends_with_the_session() -> None:
    call = by_hand(600)
    call.talk(UPDATES, answer=())
    while call.scene.engine.board.calls:
        call.run(10)
        for who in (call.alice, call.bob):
            for text in heard(who, "INVITE" if who is call.bob else "UPDATE")[1 if who is call.bob else 0 :]:
                who.answer(text, 500 if who is call.bob else 200, "Session-Expires: 600;refresher=uac")
        assert call.scene.world.now < 3000
    expect(call.scene.record, reason="session_expired")


def test_glare_with_a_refresh_backs_off() -> None:
    """491: again after 2.1 to 4 s where the engine made the Call-ID, after up to 2 s where the far end did."""
    call = by_hand(600)
    ok = call.talk()
    call.run(300)
    first = {"alice": call.alice.last("INVITE"), "bob": call.bob.last("INVITE")}
    began = call.scene.world.now
    for who in (call.alice, call.bob):
        who.answer(who.last("INVITE"), 491)
    times: dict[str, float] = {}
    while len(times) < 2 and call.scene.world.now < began + 5:
        call.run(0.05)
        for name, who in (("alice", call.alice), ("bob", call.bob)):
            if who.last("INVITE") != first[name]:
                times.setdefault(name, call.scene.world.now - began)
    assert times["alice"] <= 2.2
    assert 2.0 <= times["bob"] <= 4.2
    call.hang_up(ok)
    call.run(70)


def test_an_offer_while_the_engine_refreshes_gets_491() -> None:
    call = by_hand(600)
    ok = call.talk()
    call.run(300)
    call.ask_a("INVITE", ok, session=sdp(4444))
    assert call.alice.last("SIP/2.0").startswith("SIP/2.0 491 ")
    call.hang_up(ok)
    call.run(70)


def test_the_call_ends_while_the_engine_refreshes() -> None:
    call = by_hand(600)
    ok = call.talk()
    call.run(300)
    refresh = call.bob.last("INVITE")
    call.hang_up(ok)
    call.bob.answer(refresh, 200, "Content-Type: application/sdp", body=sdp(5000))
    call.run()
    assert header(call.bob.last("ACK"), "CSeq").split()[0] == header(refresh, "CSeq").split()[0]
    call.run(70)
    assert call.scene.engine.board.legs == {}
    assert call.scene.engine.endpoint.transactions_active == 0
    expect(call.scene.record, reason="normal")


@pytest.mark.parametrize("by", ["a", "b"])
def test_an_interval_that_becomes_shorter_counts_at_once(by: str) -> None:
    call = by_hand(1800)
    ok = call.talk(UPDATES, "Supported: timer", answer=(UPDATES, "Session-Expires: 1800;refresher=uas"))
    lines = ("Supported: timer", "Session-Expires: 90;refresher=uac")
    if by == "a":
        call.ask_a("UPDATE", ok, *lines)
    else:
        call.ask_b("UPDATE", *lines)
    call.run(59)
    assert heard(call.alice, "BYE") == []
    call.run(3)
    assert heard(call.alice, "BYE")
    assert heard(call.bob, "BYE")


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_refresh_that_the_other_side_has_to_answer_first_is_not_too_late(succeeds: bool) -> None:
    """A re-INVITE with which the far end refreshes came in time, but B thinks about it."""
    call = by_hand()
    ok = call.talk("Supported: timer", "Session-Expires: 90;refresher=uac")
    call.run(58)
    call.ask_a("INVITE", ok, "Supported: timer", "Session-Expires: 90;refresher=uac", session=sdp(4000))
    call.bob.answer(call.invite, 180)
    call.run(10)
    assert heard(call.alice, "BYE") == []
    if succeeds:
        call.bob.answer(call.invite, 200, "Content-Type: application/sdp", body=sdp(5000))
        call.run()
        call.ack(call.alice.last("SIP/2.0 200"))
        call.run(58)
        assert heard(call.alice, "BYE") == []
        call.hang_up(ok)
    else:
        call.bob.answer(call.invite, 488)
        call.run(3)
        assert heard(call.alice, "BYE")


def test_the_far_end_may_take_over_the_refreshing_and_give_it_back() -> None:
    """By a re-INVITE, which crosses: each leg's own refresher is what its last 2xx said."""
    call = by_hand(600)
    ok = call.talk("Supported: timer", UPDATES, answer=("Session-Expires: 600;refresher=uas",))
    assert header(ok, "Session-Expires") == "600;refresher=uac"
    call.ask_a("INVITE", ok, "Supported: timer", "Session-Expires: 600;refresher=uas", session=sdp(4000))
    assert header(call.invite, "Session-Expires") == "600;refresher=uas"  # B's leg stays as it is
    call.bob.answer(
        call.invite,
        200,
        "Session-Expires: 600;refresher=uac",
        "Content-Type: application/sdp",
        body=sdp(5000),
    )
    call.run()
    answer = call.alice.last("SIP/2.0 200")
    assert header(answer, "Session-Expires") == "600;refresher=uas"
    call.ack(answer)
    call.run(301)
    # Now the engine refreshes both.
    assert header(heard(call.alice, "UPDATE")[-1], "Session-Expires") == "600;refresher=uac"
    assert header(heard(call.bob, "INVITE")[-1], "Session-Expires") == "600;refresher=uac"
    call.hang_up(ok)
    call.run(70)


@pytest.mark.parametrize(("shortest", "again"), [(900, True), (600, False), (60, False)])
def test_a_422_to_a_refresh(shortest: int, again: bool) -> None:
    """Once more at once, with the interval that is wanted; one that says nothing new is a failure like others."""
    call = by_hand(600)
    ok = call.talk(UPDATES, answer=(UPDATES,))
    call.run(300)
    call.alice.answer(call.alice.last("UPDATE"), 200, "Session-Expires: 600;refresher=uac")
    call.bob.answer(call.bob.last("UPDATE"), 422, f"Min-SE: {shortest}")
    call.run(1)
    updates = heard(call.bob, "UPDATE")
    assert (len(set(updates)) == 2) is again
    if again:
        assert header(updates[-1], "Session-Expires") == f"{shortest};refresher=uac"
        assert header(updates[-1], "Min-SE") == str(shortest)
    call.hang_up(ok)
    call.run(70)


def test_the_far_end_refreshes_by_a_reinvite_without_a_session() -> None:
    """It crosses, as each re-INVITE: the other side offers, the answer is in the ACK."""
    call = by_hand()
    ok = call.talk("Supported: timer", "Session-Expires: 90;refresher=uac")
    for turn in range(3):
        call.run(50)
        call.ask_a("INVITE", ok, "Supported: timer", "Session-Expires: 90;refresher=uac")
        assert body(call.invite) == ""
        call.bob.answer(call.invite, 200, "Content-Type: application/sdp", body=sdp(5000 + turn))
        call.run()
        answer = call.alice.last("SIP/2.0 200")
        assert f"m=audio {5000 + turn}" in body(answer)
        call.ack(answer, sdp(4000 + turn))
        assert f"m=audio {4000 + turn}" in body(call.bob.last("ACK"))
    assert heard(call.alice, "BYE") == []
    call.hang_up(ok)


def test_no_refresh_while_the_ack_of_a_reinvite_is_awaited() -> None:
    call = by_hand(600)
    ok = call.talk(UPDATES, answer=())
    call.run(298)
    call.ask_a("INVITE", ok, session=sdp(4002))
    call.bob.answer(call.invite, 200, "Content-Type: application/sdp", body=sdp(5002))
    call.run(5)  # the 2xx starts new intervals; the refresh of before would have been due
    assert heard(call.alice, "UPDATE") == []
    assert len(heard(call.bob, "INVITE")) == 2
    call.ack(call.alice.last("SIP/2.0 200"))
    call.hang_up(ok)


def test_a_refresh_that_rings_after_the_end_is_forgotten_too() -> None:
    call = by_hand(600)
    ok = call.talk()
    call.run(300)
    refresh = call.alice.last("INVITE")
    call.hang_up(ok)
    call.alice.answer(refresh, 180)
    call.run(70)
    assert call.scene.engine.endpoint.transactions_active == 0
