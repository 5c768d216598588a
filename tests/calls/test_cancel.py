"""CANCEL in all its races (RFC 3261 9): with provisional responses, answers, look-ups and other next hops."""

from __future__ import annotations

import pytest

from engine.numbering.binding import Found, Model
from engine.sip.flow import Flow
from tests.simulation.scene import B, Scene, X, expect
from tests.simulation.stranger import Stranger
from tests.simulation.world import ENGINE, Conditions, Passed


def expect_cancelled(scene: Scene) -> None:
    expect(
        scene.finish(), disposition="cancelled", reason="cancelled", released_by="caller", sip_status=487,
        q850_cause=16, answer_time=None,
    )  # fmt: skip


def test_cancel_while_ringing() -> None:
    """200 to the CANCEL, 487 to the INVITE at once, a CANCEL to the callee."""
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    call.cancel()
    scene.run(0.006)
    assert [passed.start for passed in scene.sent_to(scene.alice)][-2:] == [
        "SIP/2.0 200 OK",
        "SIP/2.0 487 Request Terminated",
    ]
    assert scene.sent_to(scene.bob)[-1].start == f"CANCEL sip:{B}@127.0.2.22:5090 SIP/2.0"
    scene.run(1)
    assert (call.status, scene.ringing.status) == (487, 487)
    (cancel,) = [item for item in scene.ringing.heard.requests if item.method == "CANCEL"]
    assert cancel.cseq == scene.ringing.invite.cseq
    assert cancel.value("reason") == "Q.850;cause=16"
    expect_cancelled(scene)


def test_487_does_not_wait_for_the_callee() -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    scene.world.drop = lambda passed: scene.bob.address in (passed.source, passed.target)
    call.cancel()
    scene.run(0.1)
    assert call.status == 487
    expect_cancelled(scene)


def test_cancel_is_held_until_a_provisional_response() -> None:
    """RFC 3261 9.1."""
    scene = Scene()
    scene.world.drop = lambda passed: passed.source == scene.bob.address
    call = scene.dial()
    call.cancel()
    scene.run(0.1)
    assert call.status == 487
    assert scene.sent_to(scene.bob, "CANCEL") == []
    scene.world.drop = lambda passed: False
    scene.ringing.ring(180)
    scene.run(0.1)
    assert len(scene.sent_to(scene.bob, "CANCEL")) == 1
    assert scene.ringing.status == 487
    expect_cancelled(scene)


@pytest.mark.parametrize("status", [100, 183])
def test_any_provisional_response_lets_it_go_once(status: int) -> None:
    scene = Scene()
    call = scene.dial()
    call.cancel()
    scene.run(0.1)
    for _ in range(2):
        scene.ringing.ring(status)
    scene.run(0.1)
    assert len(scene.sent_to(scene.bob, "CANCEL")) == 1
    assert call.heard.statuses() == [100, 487]
    expect_cancelled(scene)


def test_cancel_without_any_response_ends_with_timer_b() -> None:
    scene = Scene()
    call = scene.dial()
    call.cancel()
    scene.run(40)
    assert scene.sent_to(scene.bob, "CANCEL") == []
    assert scene.engine.board.legs == {}
    # The callee goes on ringing, since nobody could tell it; its late answer is nobody's any more.
    scene.ringing.answer()
    scene.run(40)
    expect_cancelled(scene)


@pytest.mark.parametrize("provisional", [True, False])
def test_a_2xx_that_crosses_the_cancel_is_acknowledged_and_hung_up(provisional: bool) -> None:
    scene = Scene()
    call = scene.dial()
    if provisional:
        scene.ringing.ring(180)
        scene.run(0.1)
    call.cancel()
    scene.run(0.006)  # the engine has sent its CANCEL, or holds it
    scene.ringing.answer()
    scene.run(0.5)
    assert call.status == 487
    assert scene.ringing.confirmed
    assert scene.ringing.released_by == "peer"
    starts = [passed.start.split(" ")[0] for passed in scene.sent_to(scene.bob)]
    assert starts == ["INVITE", *(["CANCEL"] if provisional else []), "ACK", "BYE"]
    expect_cancelled(scene)


def test_that_2xx_again_is_only_acknowledged_again() -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    call.cancel()
    scene.run(0.006)
    scene.world.drop = lambda passed: passed.start.startswith(("ACK", "BYE")) and passed.source == ENGINE
    scene.ringing.answer()
    scene.run(3.0)
    scene.world.drop = lambda passed: False
    scene.run(10.0)
    branches = {passed.text.split("branch=")[1][:24] for passed in scene.sent_to(scene.bob, "BYE")}
    assert len(branches) == 1  # one BYE, repeated
    assert len({passed.text for passed in scene.sent_to(scene.bob, "ACK")}) == 1
    assert scene.ringing.released_by == "peer"
    expect_cancelled(scene)


def test_cancel_after_the_2xx_has_no_effect() -> None:
    """200, and the call is answered."""
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.006)  # the engine's 200 is on its way
    call.cancel()
    scene.run(0.006)
    assert scene.sent_to(scene.alice)[-1].start == "SIP/2.0 200 OK"
    assert "CSeq: 11 CANCEL" in scene.last_to(scene.alice)
    assert scene.sent_to(scene.bob, "CANCEL") == []
    scene.run(0.5)
    # This phone hangs up when its CANCEL was too late: an answered call, released by the caller.
    assert call.status == 200
    assert scene.ringing.released_by == "peer"
    expect(scene.finish(), disposition="answered", reason="normal", released_by="caller", sip_status=200)


def test_a_cancel_that_crosses_the_2xx_of_the_engine() -> None:
    scene = Scene(conditions=Conditions(delay=0.05))
    call = scene.dial(seconds=0.3)
    scene.ringing.ring(180)
    scene.run(0.3)
    scene.ringing.answer()
    scene.run(0.06)
    call.cancel()  # the engine's 200 is under way
    scene.run(1)
    assert call.status == 200
    expect(scene.finish(), disposition="answered", released_by="caller")


def test_cancel_while_the_look_up_is_pending() -> None:
    scene = Scene()
    scene.engine.table.later = []
    call = scene.dial()
    assert call.heard.statuses() == [100]
    call.cancel()
    scene.run(0.1)
    assert call.status == 487
    assert scene.bob.calls == []
    # The store answers afterwards: nobody rings.
    ((ticket, found),) = scene.engine.table.later
    ticket.then(found, scene.world.now)
    scene.run(1)
    assert scene.bob.calls == []
    expect_cancelled(scene)


def test_a_caller_who_gave_up_before_the_look_up_is_not_the_one_to_call_back() -> None:
    scene = Scene(bind=False)
    scene.engine.table.add(Model.AX, X, B, None)
    scene.engine.table.later = []
    call = scene.dial()
    call.cancel()
    scene.run(0.1)
    ((ticket, found),) = scene.engine.table.later
    ticket.then(found, scene.world.now)
    scene.run(0.1)
    assert scene.engine.table.callers == {}
    expect(scene.record, callee=None, out_trunk=None, binding_id=None)
    expect_cancelled(scene)


def test_bye_while_the_look_up_is_pending() -> None:
    scene = Scene()
    scene.engine.table.later = []
    call = scene.dial()
    bye = call.send("BYE")  # there is no dialog it could be in: no To tag has been given
    scene.run(0.1)
    assert bye.status == 481
    ((ticket, found),) = scene.engine.table.later
    ticket.then(found, scene.world.now)
    scene.run(0.1)
    scene.ringing.reject(486)
    scene.finish()


def test_a_pending_look_up_is_answered_in_the_end() -> None:
    scene = Scene()
    scene.engine.table.later = []
    call = scene.dial(seconds=2.0)
    assert call.heard.statuses() == [100]
    ((ticket, found),) = scene.engine.table.later
    ticket.then(found, scene.world.now)
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.1)
    assert call.status == 200
    call.hang_up()
    expect(scene.finish(), disposition="answered", setup_time=1_790_000_000_005)


@pytest.mark.parametrize("answer", [None, Found(None), Found(None, True)])
def test_a_pending_look_up_that_ends_in_a_refusal(answer: Found | None) -> None:
    scene = Scene()
    scene.engine.table.later = []
    call = scene.dial()
    ((ticket, _),) = scene.engine.table.later
    ticket.then(answer, scene.world.now)
    scene.run(0.1)
    reason = "store_unavailable" if answer is None else "not_a_party" if answer.number_bound else "not_bound"
    assert call.status == (503 if answer is None else 404)
    expect(scene.finish(), reason=reason, disposition="refused")


def test_one_pending_look_up_holds_up_nothing_else() -> None:
    scene = Scene()
    scene.engine.table.later = []
    waiting = scene.dial()
    ((ticket, found),) = scene.engine.table.later
    scene.engine.table.later = None
    call, _ = scene.talk()
    assert waiting.heard.statuses() == [100]
    call.hang_up()
    ticket.then(found, scene.world.now)
    scene.run(0.1)
    scene.ringing.reject(486)
    scene.close()
    assert [record.reason for record in scene.engine.records.ends] == ["normal", "callee_busy"]


def test_cancel_of_an_unknown_invite() -> None:
    scene = Scene()
    stranger = Stranger(scene.world)
    stranger.request("CANCEL", contact=False)
    scene.run(0.1)
    assert stranger.statuses() == [481]
    scene.close()


def test_cancel_of_another_branch_does_not_match() -> None:
    """RFC 3261 9.2 with 17.2.3: branch and sent-by, not Call-ID."""
    scene = Scene()
    stranger = Stranger(scene.world)
    stranger.request("INVITE")
    scene.run(0.1)
    stranger.request("CANCEL", branch="z9hG4bKtwo", contact=False)
    stranger.request("CANCEL", via="Via: SIP/2.0/UDP 127.0.5.55:5067;branch=z9hG4bKone;rport", contact=False)
    scene.run(0.1)
    assert stranger.statuses() == [100, 481, 481]
    stranger.request("CANCEL", contact=False)
    scene.run(0.1)
    assert sorted(stranger.statuses()[3:]) == [200, 487]
    stranger.request("ACK", to=stranger_to(stranger), contact=False)
    scene.ringing.ring(180)
    scene.close()


def stranger_to(stranger: Stranger) -> str:
    """The To of the last answer to its INVITE."""
    text = next(text for text in reversed(stranger.heard) if " INVITE\r\n" in text)
    return next(line[4:] for line in text.split("\r\n") if line.startswith("To: "))


def test_a_late_failure_after_the_cancel_changes_nothing() -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    call.cancel()
    scene.run(0.006)
    scene.ringing.reject(603)
    scene.run(0.5)
    assert call.status == 487
    expect_cancelled(scene)


def test_18x_after_the_cancel_does_not_cross() -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    call.cancel()
    scene.run(0.006)
    scene.ringing.ring(183, scene.bob.session())
    scene.run(0.5)
    assert call.heard.statuses() == [100, 180, 487]
    expect_cancelled(scene)


def test_a_lost_487_is_repeated_until_acknowledged() -> None:
    scene = Scene()
    lost: list[Passed] = []

    def drop(passed: Passed) -> bool:
        if passed.start.startswith("SIP/2.0 487") and passed.target == scene.alice.address and len(lost) < 2:
            lost.append(passed)
            return True
        return False

    scene.world.drop = drop
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    call.cancel()
    scene.run(5)
    assert call.status == 487
    assert len(scene.sent_to(scene.alice, "SIP/2.0 487")) == 3
    expect_cancelled(scene)


@pytest.mark.parametrize("gap", [0.0, 0.001, 0.004, 0.005, 0.006, 0.01, 0.011, 0.02])
@pytest.mark.parametrize("first", ["cancel", "answer"])
def test_cancel_and_answer_at_about_the_same_time(first: str, gap: float) -> None:
    """Whoever comes first at the engine wins, and everybody agrees on it."""
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    if first == "cancel":
        call.cancel()
        scene.run(gap)
        scene.ringing.answer()
    else:
        scene.ringing.answer()
        scene.run(gap)
        call.cancel()
    scene.run(1)
    record = scene.finish()
    if record.disposition == "answered":
        assert call.status == 200
        expect(record, released_by="caller", reason="normal")
    else:
        assert call.status == 487
        expect(record, released_by="caller", reason="cancelled")
    assert scene.ringing.over
    assert record.dialled == X


def test_the_engine_answers_a_cancel_on_the_transport_it_came_by() -> None:
    scene = Scene(transport="tcp")
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    call.cancel()
    scene.run(0.1)
    assert call.status == 487
    assert isinstance(scene.alice.engine, Flow)
    expect_cancelled(scene)


@pytest.mark.parametrize("when", ["unanswered", "ringing", "refused", "another fork"])
def test_its_answer_has_the_tag_of_the_invites_answers(when: str) -> None:
    """RFC 3261 9.2, also when it comes too late."""
    scene = Scene()
    call = scene.dial()
    if when != "unanswered":
        scene.ringing.ring(180)
        if when == "another fork":
            scene.ringing.ring(180, fork="another")
        scene.run(0.1)
    if when == "refused":
        scene.ringing.reject(486)
        scene.run(0.002)
    call.cancel()
    scene.run(0.2)
    answers = [passed.text for passed in scene.sent_to(scene.alice) if " CANCEL\r\n" in passed.text]
    (to_cancel,) = {text.partition("\r\nTo: ")[2].partition("\r\n")[0] for text in answers}
    assert answers[0].startswith("SIP/2.0 200")
    assert to_cancel == call.heard.responses[-1].value("to")
    assert call.status == (486 if when == "refused" else 487)
    scene.finish()
