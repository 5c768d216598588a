"""Setting up a call (RFC 3261 13): progress, early media, early dialogs, answers, late offers, and their timers."""

from __future__ import annotations

import pytest

from engine.calls.settings import CallSettings
from engine.numbering.binding import Model
from engine.sip.timers import TimerValues
from tests.calls.flows import learn_early_dialog
from tests.simulation.engine import EPOCH_MS
from tests.simulation.scene import ALICE, A, B, Scene, X, expect
from tests.simulation.world import ENGINE


def test_a_whole_call_and_its_record() -> None:
    scene = Scene()
    call = scene.dial()
    scene.run(0.9)
    scene.ringing.ring(180)
    scene.run(2.0)
    scene.ringing.answer()
    scene.run(10.0)
    call.hang_up()
    record = scene.finish()
    assert call.heard.statuses() == [100, 180, 200]
    assert call.released_by == "self"
    assert scene.ringing.released_by == "peer"
    ringing, answered = EPOCH_MS + 1005, EPOCH_MS + 3005
    expect(
        record, schema=1, type="call", node="node", tenant="default", binding_id="0" * 24, order_id=None,
        model="AXB", direction="a_to_b", caller=f"+86{A}", dialled=X, shown=X, callee=f"+86{B}",
        setup_time=EPOCH_MS + 5, ringing_time=ringing, answer_time=answered, release_time=EPOCH_MS + 13005,
        ring_ms=2000, talk_ms=10000, disposition="answered", reason="normal", released_by="caller",
        sip_status=200, q850_cause=16, a_call_id=call.call_id, b_call_id=scene.ringing.call_id,
        in_trunk="pstn", out_trunk="pstn", source=ALICE[0], verification=None, message_parts=None,
        delivered_time=None, content=None, attempts=1,
    )  # fmt: skip
    assert scene.engine.tally.calls == {("AXB", "answered", "normal"): 1}


def test_an_order_id_and_a_tenant_go_into_the_record() -> None:
    scene = Scene(bind=False)
    binding = scene.engine.table.add(Model.AXB, X, A, B)
    binding.tenant, binding.order_id = "courier", "order-17"
    scene.dial()
    scene.ringing.reject(486)
    expect(scene.finish(), tenant="courier", order_id="order-17", binding_id=binding.id)


def test_100_comes_at_once_and_does_not_cross() -> None:
    scene = Scene()
    call = scene.dial()
    assert call.heard.statuses() == [100]
    scene.ringing.ring(100)
    scene.run(0.1)
    assert call.heard.statuses() == [100]
    scene.ringing.reject(486)
    scene.finish()


def test_100_brings_the_timestamp_back() -> None:
    scene = Scene()
    call = scene.dial(headers="Timestamp: 54.21\r\n")
    assert call.heard.responses[0].value("timestamp") == "54.21"
    scene.ringing.reject(486)
    scene.finish()


@pytest.mark.parametrize("status", [180, 181, 182, 183])
def test_every_18x_is_relayed(status: int) -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(status)
    scene.run(0.1)
    scene.ringing.ring(status)
    scene.run(0.1)
    assert call.heard.statuses() == [100, status, status]
    scene.ringing.reject(486)
    scene.finish()


def test_early_media_crosses() -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(183, scene.bob.session(port=5010))
    scene.run(0.1)
    assert b"\r\nm=audio 5010 " in call.heard.responses[-1].body
    scene.ringing.answer()
    scene.run(0.1)
    assert call.heard.responses[-1].to_tag == call.heard.responses[-2].to_tag
    call.hang_up()
    scene.finish()


def test_an_answer_without_any_ringing() -> None:
    scene = Scene()
    call, _ = scene.talk()
    assert call.heard.statuses() == [100, 200]
    call.hang_up()
    expect(scene.finish(), ringing_time=None, ring_ms=None, disposition="answered")


def test_the_callee_is_acknowledged_when_the_callers_ack_arrives() -> None:
    scene = Scene()
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(1.0)
    assert scene.sent_to(scene.bob, "ACK") == []
    call.acknowledge()
    scene.run(0.1)
    assert len(scene.sent_to(scene.bob, "ACK")) == 1
    assert scene.ringing.confirmed
    call.hang_up()
    scene.finish()


def test_repeated_2xx_are_absorbed_before_the_ack_and_acknowledged_after() -> None:
    scene = Scene()
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.3)
    assert call.heard.statuses() == [100, 200]
    scene.run(0.6)  # the callee has repeated its 200 by now, and so has the engine, for itself
    assert call.heard.statuses() == [100, 200, 200]
    scene.world.drop = lambda passed: passed.target == scene.bob.address and passed.start.startswith("ACK")
    call.acknowledge()
    scene.run(0.1)
    scene.world.drop = lambda passed: False
    scene.run(8.0)
    assert scene.ringing.confirmed
    acks = [passed.text for passed in scene.sent_to(scene.bob, "ACK")]
    assert len(acks) >= 2
    assert len(set(acks)) == 1  # the very same ACK again (RFC 3261 13.2.2.4)
    call.hang_up()
    scene.finish()


def test_the_engine_repeats_its_2xx_until_the_ack() -> None:
    """At T1, then twice as long each time up to T2 (RFC 3261 13.3.1.4)."""
    scene = Scene()
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(12.3)
    sent = [round(passed.time - 1000.105, 1) for passed in scene.sent_to(scene.alice, "SIP/2.0 200")]
    assert sent == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5]
    call.acknowledge()
    scene.run(10.0)
    assert len(scene.sent_to(scene.alice, "SIP/2.0 200")) == len(sent)
    call.hang_up()
    scene.finish()


def test_no_ack_ends_both_legs() -> None:
    scene = Scene()
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(33)
    assert scene.sent_to(scene.bob, "ACK")
    assert scene.sent_to(scene.alice, "BYE")
    assert call.released_by == "peer"
    expect(scene.finish(), disposition="answered", reason="no_ack", released_by="platform", q850_cause=102)


def test_no_ack_when_the_callee_is_patient() -> None:
    """A callee that waits longer than 64·T1 gets its ACK, then BYE."""
    scene = Scene()
    scene.bob.endpoint.timers = TimerValues(t1=2.0)
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(33)
    to_bob = [passed.start.split(" ")[0] for passed in scene.sent_to(scene.bob)]
    assert to_bob == ["INVITE", "ACK", "BYE"]
    assert [passed.start.split(" ")[0] for passed in scene.sent_to(scene.alice)][-1] == "BYE"
    assert scene.ringing.released_by == "peer"
    expect(scene.finish(), disposition="answered", reason="no_ack", released_by="platform", q850_cause=102)


def test_a_late_offer_is_answered_in_the_ack() -> None:
    scene = Scene()
    call = scene.dial(offer="")
    assert scene.ringing.invite.body == b""
    scene.ringing.answer(scene.bob.session(port=5020))
    scene.run(0.1)
    assert b"\r\nm=audio 5020 " in call.heard.responses[-1].body
    (ack,) = scene.ringing.heard.acks
    assert ack.content_type == "application/sdp"
    assert b"\r\nm=audio 4006 " in ack.body
    call.hang_up()
    scene.finish()


def test_the_answer_of_a_late_offer_that_cannot_be_read_stays_behind() -> None:
    """An ACK cannot be refused: the callee is acknowledged without it."""
    scene = Scene()
    call = scene.alice.call(X, offer="")
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.1)
    call.acknowledge("canary-alice, and no session at all")
    scene.run(0.1)
    assert [ack.body for ack in scene.ringing.heard.acks] == [b""]
    call.hang_up()
    scene.finish()


# --- early dialogs ---


def test_each_early_dialog_has_its_own_tag_and_session() -> None:
    scene = Scene()
    call = scene.dial()
    for fork, port in (("one", 5010), ("two", 5012), ("one", 5010)):
        scene.ringing.ring(183, scene.bob.session(port=port), fork=fork)
        scene.run(0.1)
    first, second, third = call.heard.responses[1:]
    assert first.to_tag == third.to_tag != second.to_tag
    assert first.body == third.body
    assert b" 1 IN IP4" in second.body.split(b"\r\n")[1]  # a session of its own, so version 1
    scene.ringing.reject(486)
    scene.finish()


@pytest.mark.parametrize("winner", ["one", "two", "three", "new"])
def test_the_first_2xx_wins(winner: str) -> None:
    """Its early dialog becomes the dialog; what other forks pick up later is acknowledged and hung up."""
    scene = Scene()
    call = scene.dial()
    callee = scene.ringing
    for fork in ("one", "two", "three"):
        callee.ring(180, fork=fork)
    scene.run(0.1)
    tags = [response.to_tag for response in call.heard.responses[1:]]
    callee.answer(fork=winner)
    scene.run(0.1)
    answer = call.heard.responses[-1]
    if winner == "new":
        assert answer.to_tag not in tags
    else:
        assert answer.to_tag == tags[["one", "two", "three"].index(winner)]
    late = "one" if winner == "two" else "two"
    callee.answer(fork=late)
    scene.run(0.5)
    assert call.heard.statuses() == [100, 180, 180, 180, 200]
    byes = [item for item in callee.heard.requests if item.method == "BYE"]
    assert [item.to_tag for item in byes] == [callee.forks[late]]
    assert {ack.to_tag for ack in callee.heard.acks} == {callee.forks[late], callee.tag}
    assert not callee.over
    call.hang_up()
    scene.run(0.5)
    assert callee.released_by == "peer"
    expect(scene.finish(), disposition="answered", reason="normal")


def test_a_2xx_of_another_fork_that_comes_again_is_only_acknowledged_again() -> None:
    scene = Scene()
    call = scene.dial()
    callee = scene.ringing
    callee.answer(fork="one")
    scene.run(0.1)
    for _ in range(3):
        callee.answer(fork="two")
        scene.run(0.1)
    byes = [item for item in callee.heard.requests if item.method == "BYE"]
    assert [item.to_tag for item in byes] == [callee.forks["two"]]
    assert [ack.to_tag for ack in callee.heard.acks].count(callee.forks["two"]) == 3
    call.hang_up()
    scene.finish()


def test_a_losing_early_dialog_is_unknown_after_the_answer() -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180, fork="one")
    scene.run(0.1)
    losing = call.heard.responses[-1].to_tag
    scene.ringing.answer(fork="two")
    scene.run(0.1)
    remote = call.remote
    call.remote = remote.replace(call.remote_tag, losing)
    asking = call.send("BYE")
    scene.run(0.1)
    assert asking.status == 481
    call.remote = remote
    assert not scene.ringing.over
    call.hang_up()
    scene.finish()


def test_bye_in_an_early_dialog_ends_the_attempt() -> None:
    """RFC 3261 15: a caller may; it says no more than a CANCEL."""
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    learn_early_dialog(call)
    bye = call.send("BYE")
    scene.run(0.1)
    assert bye.status == 200
    assert call.status == 487
    assert scene.ringing.heard.count("CANCEL") == 1
    expect(scene.finish(), disposition="cancelled", reason="cancelled", released_by="caller", sip_status=487)


def test_a_second_invite_in_an_early_dialog_is_too_early() -> None:
    """RFC 3261 14.2: 500 with a Retry-After of 0 to 10 s."""
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    learn_early_dialog(call)
    call.confirmed = True
    assert call.reinvite()
    call.confirmed = False
    scene.run(0.1)
    answer = call.heard.responses[-1]
    assert answer.status == 500
    assert 0 <= int(answer.value("retry-after")) <= 10
    scene.ringing.answer()
    scene.run(0.1)
    call.hang_up()
    scene.finish()


def test_other_requests_in_an_early_dialog() -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    learn_early_dialog(call)
    asked = [call.send("OPTIONS"), call.send("REFER"), call.send("NONSENSE")]
    scene.run(0.1)
    assert [asking.status for asking in asked] == [200, 405, 501]
    scene.ringing.answer()
    scene.run(0.1)
    call.hang_up()
    scene.finish()


# --- how long ---


def test_the_last_18x_is_repeated_each_minute() -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(30)
    scene.ringing.ring(183, scene.bob.session())
    scene.run(100)
    repeated = [(item.status, len(item.body) > 0) for item in call.heard.responses]
    assert repeated == [(100, False), (180, False), (183, True), (183, True), (183, True)]
    assert call.heard.responses[3].body == call.heard.responses[2].body
    scene.ringing.answer()
    scene.run(130)
    assert call.heard.statuses()[-1] == 200
    call.hang_up()
    scene.finish()


@pytest.mark.parametrize("rings", [True, False])
def test_ringing_too_long(rings: bool) -> None:
    scene = Scene(settings=CallSettings(ring_timeout_s=50))
    call = scene.dial()
    scene.ringing.ring(180 if rings else 100)
    scene.run(49.8)
    assert not call.over
    scene.run(0.3)
    assert call.status == 480
    assert call.heard.responses[-1].value("reason") == "Q.850;cause=19"
    (cancel,) = [item for item in scene.ringing.heard.requests if item.method == "CANCEL"]
    assert cancel.value("reason") == "Q.850;cause=19"
    record = scene.finish()
    expect(record, disposition="no_answer", reason="no_answer", released_by="platform", q850_cause=19)
    assert (record.ring_ms is None) == (not rings)


def test_silence_is_a_408() -> None:
    """Timer B (RFC 3261 17.1.1.2), with the retransmissions that belong to it."""
    scene = Scene()
    scene.world.drop = lambda passed: passed.target == scene.bob.address
    call = scene.dial(seconds=33)
    sent = [passed.time - 1000.005 for passed in scene.sent_to(scene.bob)]
    assert sent == pytest.approx([0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5], abs=0.15)
    assert call.status == 408
    assert call.heard.responses[-1].value("reason") == "Q.850;cause=102"
    expect(scene.finish(), disposition="failed", reason="no_response", released_by="platform", q850_cause=102)


@pytest.mark.parametrize("of_binding", [None, 20])
def test_the_longest_talk_time(of_binding: int | None) -> None:
    """The engine's, or the binding's where that is shorter."""
    scene = Scene(settings=CallSettings(max_duration_s=30), bind=False)
    scene.engine.table.add(Model.AXB, X, A, B).max_duration_s = of_binding or 600
    call, callee = scene.talk()
    scene.run((of_binding or 30) - 0.2)
    assert not call.over
    scene.run(0.3)
    assert (call.released_by, callee.released_by) == ("peer", "peer")
    for phone in (scene.alice, scene.bob):
        assert "\r\nReason: Q.850;cause=102\r\n" in scene.last_to(phone, "BYE")
    expect(
        scene.finish(), disposition="answered", reason="max_duration", released_by="platform", q850_cause=102
    )


def test_timers_follow_t1() -> None:
    scene = Scene(timers=TimerValues(t1=0.1, t2=0.4, t4=0.5))
    scene.world.drop = lambda passed: passed.target == scene.bob.address
    call = scene.dial(seconds=6.3)
    assert call.status == 0
    scene.run(0.3)
    assert call.status == 408
    scene.finish()


def test_a_session_that_cannot_be_read_in_the_answer_fails_the_call() -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.answer("canary-bob, and no session at all")
    scene.run(0.2)
    assert call.status == 502
    assert scene.ringing.confirmed
    assert scene.ringing.released_by == "peer"
    expect(scene.finish(), disposition="failed", sip_status=502, q850_cause=111, answer_time=None)


def test_the_next_call_is_a_new_one() -> None:
    scene = Scene()
    for _ in range(2):
        call, _ = scene.talk()
        call.hang_up()
        scene.run(1)
    scene.close()
    assert len({record.record_id for record in scene.engine.records.ends}) == 2


def test_calls_back_reach_the_last_caller() -> None:
    """AX: N calls X and A's phone rings; then A calls X and reaches N."""
    scene = Scene(bind=False)
    scene.engine.table.add(Model.AX, X, B, None)
    call, _ = scene.talk()
    call.hang_up()
    scene.run(1)
    expect(scene.engine.records.ends[0], direction="b_to_a", model="AX", callee=f"+86{B}")
    assert {number.national for number in scene.engine.table.callers.values()} == {A}
    # Now B's phone calls; both numbers lie behind the same next hop.
    back = scene.bob.call(X)
    scene.run(0.1)
    assert scene.bob.calls[-1].invite.uri.startswith(f"sip:{A}@")
    scene.bob.calls[-1].reject(486)
    scene.run(40)
    assert back.status == 486
    expect(scene.engine.records.ends[1], direction="a_to_b", caller=f"+86{B}", callee=f"+86{A}")


def test_a_start_entry_is_kept_before_anything_tells_of_the_answer() -> None:
    """With everything that a record of an interrupted call needs."""
    scene = Scene()
    call = scene.alice.call(X)
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.004)
    assert scene.engine.records.starts == []
    scene.run(0.002)
    (start,) = scene.engine.records.starts
    place = scene.engine.records.start_places[start.record_id]
    answer = next(
        index
        for index, passed in enumerate(scene.world.log)
        if passed.source == ENGINE and passed.start == "SIP/2.0 200 OK"
    )
    assert place <= answer
    expect(
        start, caller=f"+86{A}", callee=f"+86{B}", shown=X, sip_status=200, answer_time=EPOCH_MS + 105,
        release_time=None, reason=None, disposition=None, b_call_id=scene.ringing.call_id,
    )  # fmt: skip
    scene.run(1)
    call.hang_up()
    scene.finish()
