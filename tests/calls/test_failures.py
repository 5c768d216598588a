"""Failures downstream: every class of answer, what is settled on its own leg, and the next hops tried in order."""

from __future__ import annotations

import pytest

from engine.calls.causes import cause_of_status
from engine.calls.settings import CallSettings
from tests.simulation.engine import pstn
from tests.simulation.scene import BOB, HOPS, Scene, X, expect
from tests.simulation.world import ENGINE


@pytest.mark.parametrize(
    ("status", "reason", "disposition"),
    [
        (400, "callee_unreachable", "failed"),
        (403, "callee_rejected", "failed"),
        (404, "callee_unknown", "failed"),
        (408, "callee_unreachable", "failed"),
        (410, "callee_unknown", "failed"),
        (480, "callee_unreachable", "failed"),
        (484, "callee_unknown", "failed"),
        (486, "callee_busy", "busy"),
        (487, "callee_unreachable", "failed"),
        (488, "callee_rejected", "failed"),
        (499, "callee_unreachable", "failed"),
        (500, "callee_unreachable", "failed"),
        (502, "callee_unreachable", "failed"),
        (504, "callee_unreachable", "failed"),
        (600, "callee_busy", "busy"),
        (603, "callee_rejected", "failed"),
        (604, "callee_unknown", "failed"),
        (606, "callee_rejected", "failed"),
        (699, "callee_unreachable", "failed"),
    ],
)
@pytest.mark.parametrize("rings", [True, False])
def test_the_callees_answer_is_rebuilt(status: int, reason: str, disposition: str, rings: bool) -> None:
    scene = Scene()
    call = scene.dial()
    if rings:
        scene.ringing.ring(180)
        scene.run(0.1)
    scene.ringing.reject(status)
    scene.run(0.2)
    cause = cause_of_status(status)
    assert call.status == status
    assert call.heard.responses[-1].value("reason") == f"Q.850;cause={cause}"
    record = scene.finish()
    expect(record, disposition=disposition, reason=reason, released_by="callee", sip_status=status)
    expect(record, q850_cause=cause, answer_time=None)
    assert (record.ring_ms is not None) == rings


@pytest.mark.parametrize(
    ("status", "cause", "reason"),
    [
        (480, 17, "callee_busy"),
        (480, 19, "no_answer"),
        (500, 1, "callee_unknown"),
        (486, 21, "callee_rejected"),
    ],
)
def test_the_cause_that_came_with_it_goes_first(status: int, cause: int, reason: str) -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.reject(status, f'Reason: Q.850;cause={cause};text="canary-bob"\r\n')
    scene.run(0.2)
    assert call.heard.responses[-1].value("reason") == f"Q.850;cause={cause}"
    expect(scene.finish(), sip_status=status, q850_cause=cause, reason=reason)


@pytest.mark.parametrize("status", [300, 301, 302, 305, 380, 399])
def test_redirections_end_as_480(status: int) -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.reject(status, "Contact: <sip:13900000002@canary-bob.example>\r\nRetry-After: 3\r\n")
    scene.run(0.2)
    assert call.status == 480
    assert call.heard.responses[-1].value("reason") == "Q.850;cause=20"
    assert call.heard.responses[-1].value("retry-after") == ""
    expect(scene.finish(), reason="callee_unreachable", sip_status=480, q850_cause=20, released_by="callee")


@pytest.mark.parametrize("status", [401, 407, 420, 421, 422, 482, 483])
def test_what_is_settled_on_its_own_leg_becomes_500(status: int) -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.reject(status, "Retry-After: 3\r\n")
    scene.run(0.2)
    assert call.status == 500
    assert call.heard.responses[-1].value("www-authenticate") == ""
    assert call.heard.responses[-1].value("retry-after") == ""
    expect(scene.finish(), sip_status=500, disposition="failed", q850_cause=cause_of_status(status))


def test_a_failure_is_acknowledged_within_its_own_leg() -> None:
    scene = Scene()
    scene.dial()
    scene.ringing.reject(486)
    scene.run(0.2)
    ack = scene.last_to(scene.bob, "ACK")
    assert f"Call-ID: {scene.ringing.call_id}\r\n" in ack
    assert f";tag={scene.ringing.tag}" in ack
    assert "CSeq: 1 ACK\r\n" in ack
    scene.finish()


# --- next hops ---


def test_503_of_the_only_next_hop_is_a_trunk_that_is_down() -> None:
    """Not passed on as 503, which would make the upstream leave the whole engine (RFC 3261 16.7)."""
    scene = Scene()
    call = scene.dial()
    scene.ringing.reject(503, "Retry-After: 30\r\nReason: Q.850;cause=42\r\n")
    scene.run(0.2)
    assert call.status == 500
    assert call.heard.responses[-1].value("reason") == "Q.850;cause=38"
    assert call.heard.responses[-1].value("retry-after") == ""
    expect(
        scene.finish(), disposition="failed", reason="trunk_down", released_by="platform", sip_status=500,
        q850_cause=38,
    )  # fmt: skip


def test_503_fails_over_in_order() -> None:
    scene = Scene(hops=3)
    call = scene.dial()
    for phone in scene.callees[:2]:
        assert len(phone.calls) == 1
        phone.calls[0].reject(503)
        scene.run(0.1)
    scene.callees[2].calls[0].answer()
    scene.run(0.1)
    assert call.status == 200
    assert [len(phone.calls) for phone in scene.callees] == [1, 1, 1]
    call.hang_up()
    expect(scene.finish(), disposition="answered", b_call_id=scene.callees[2].calls[0].call_id)


def test_no_next_hop_left() -> None:
    scene = Scene(hops=3)
    call = scene.dial()
    for phone in scene.callees:
        phone.calls[0].reject(503)
        scene.run(0.1)
    assert call.status == 500
    expect(scene.finish(), reason="trunk_down", q850_cause=38, sip_status=500)


@pytest.mark.parametrize("status", [486, 480, 500, 504, 408, 302, 603])
def test_other_failures_do_not_fail_over(status: int) -> None:
    scene = Scene(hops=2)
    call = scene.dial()
    scene.ringing.reject(status)
    scene.run(0.2)
    assert call.over
    assert scene.callees[1].calls == []
    scene.finish()


def test_a_transport_error_fails_over_at_once() -> None:
    scene = Scene(hops=3)
    scene.world.unreachable = {HOPS[0], HOPS[1]}
    call = scene.dial()
    scene.callees[2].calls[0].answer()
    scene.run(0.1)
    assert call.status == 200
    call.hang_up()
    expect(scene.finish(), disposition="answered")


@pytest.mark.parametrize("hops", [1, 3])
def test_transport_errors_everywhere(hops: int) -> None:
    scene = Scene(hops=hops)
    scene.world.unreachable = set(HOPS)
    call = scene.dial()
    assert call.status == 500
    expect(scene.finish(), reason="trunk_down", q850_cause=38, released_by="platform")


def test_a_transport_error_after_a_provisional_response_is_waited_out() -> None:
    """What is sent already has arrived; only what is unanswered can fail."""
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    flow = scene.engine.flow_to(scene.bob.address)
    scene.engine.transport_failed(flow, scene.world.now)
    scene.run(0.1)
    assert not call.over
    scene.ringing.answer()
    scene.run(0.1)
    assert call.status == 200
    call.hang_up()
    scene.finish()


def test_silence_fails_over_after_first_response_s() -> None:
    scene = Scene(hops=2, settings=CallSettings(first_response_s=3))
    scene.world.drop = lambda passed: passed.target == BOB
    call = scene.dial(seconds=2.9)
    assert scene.callees[1].calls == []
    scene.run(0.2)
    scene.callees[1].calls[0].answer()
    scene.run(0.1)
    assert call.status == 200
    call.hang_up()
    expect(scene.finish(), disposition="answered", b_call_id=scene.callees[1].calls[0].call_id)


def test_the_last_next_hop_is_waited_for() -> None:
    scene = Scene(hops=2)
    scene.world.drop = lambda passed: passed.target in HOPS
    call = scene.dial(seconds=30)
    assert not call.over
    scene.run(8)
    assert call.status == 408
    expect(scene.finish(), reason="no_response", q850_cause=102)


def test_100_is_no_silence() -> None:
    scene = Scene(hops=2)
    scene.dial()
    scene.ringing.ring(100)
    scene.run(10)
    assert scene.callees[1].calls == []
    scene.ringing.reject(486)
    scene.finish()


def test_503_after_100_still_fails_over() -> None:
    scene = Scene(hops=2)
    call = scene.dial()
    scene.ringing.ring(100)
    scene.run(5)
    scene.ringing.reject(503)
    scene.run(0.1)
    scene.callees[1].calls[0].answer()
    scene.run(0.1)
    assert call.status == 200
    call.hang_up()
    scene.finish()


@pytest.mark.parametrize("status", [180, 181, 182, 183])
def test_never_after_a_provisional_response_other_than_100(status: int) -> None:
    scene = Scene(hops=2)
    call = scene.dial()
    scene.ringing.ring(status)
    scene.run(10)
    assert scene.callees[1].calls == []
    scene.ringing.reject(503)
    scene.run(0.2)
    assert scene.callees[1].calls == []
    assert call.status == 500
    expect(scene.finish(), reason="trunk_down", q850_cause=38)


def test_an_abandoned_next_hop_is_cancelled_when_it_speaks() -> None:
    scene = Scene(hops=2)
    scene.world.drop = lambda passed: passed.source == BOB
    call = scene.dial(seconds=4.1)
    scene.world.drop = lambda passed: False
    second = scene.callees[1].calls[0]
    second.ring(180)
    scene.run(0.1)
    scene.ringing.ring(183, scene.bob.session())  # the first one wakes up: CANCEL, and nothing crosses
    scene.run(0.1)
    assert scene.ringing.status == 487
    assert call.heard.statuses() == [100, 180]
    second.answer()
    scene.run(0.1)
    call.hang_up()
    expect(scene.finish(), disposition="answered", b_call_id=second.call_id)


@pytest.mark.parametrize("already", [True, False])
def test_a_2xx_of_an_abandoned_next_hop_is_acknowledged_and_hung_up(already: bool) -> None:
    scene = Scene(hops=2)
    scene.world.drop = lambda passed: passed.source == BOB
    call = scene.dial(seconds=4.1)
    scene.world.drop = lambda passed: False
    second = scene.callees[1].calls[0]
    if already:
        second.answer()
        scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.2)
    assert scene.ringing.confirmed
    assert scene.ringing.released_by == "peer"
    if not already:
        assert call.heard.statuses() == [100]
        second.answer()
        scene.run(0.1)
    assert call.status == 200
    assert not second.over
    call.hang_up()
    expect(scene.finish(), disposition="answered", b_call_id=second.call_id)


@pytest.mark.parametrize("status", [486, 503, 600, 302])
def test_a_late_failure_of_an_abandoned_next_hop_changes_nothing(status: int) -> None:
    scene = Scene(hops=2)
    scene.world.drop = lambda passed: passed.source == BOB
    call = scene.dial(seconds=4.1)
    scene.world.drop = lambda passed: False
    second = scene.callees[1].calls[0]
    second.ring(180)
    scene.run(0.1)
    scene.ringing.reject(status)
    scene.run(0.2)
    assert not call.over
    second.answer()
    scene.run(0.1)
    assert call.status == 200
    call.hang_up()
    scene.finish()


def test_cancel_reaches_the_next_hop_that_rings_and_the_abandoned_one() -> None:
    scene = Scene(hops=2)
    scene.world.drop = lambda passed: passed.source == BOB
    call = scene.dial(seconds=4.1)
    scene.world.drop = lambda passed: False
    scene.callees[1].calls[0].ring(180)
    scene.run(0.1)
    call.cancel()
    scene.run(0.1)
    scene.ringing.ring(180)
    scene.run(0.1)
    assert scene.ringing.status == scene.callees[1].calls[0].status == 487
    expect(scene.finish(), reason="cancelled")


def test_the_ring_timeout_counts_over_all_next_hops() -> None:
    scene = Scene(hops=2, settings=CallSettings(ring_timeout_s=20))
    scene.world.drop = lambda passed: passed.target == BOB
    call = scene.dial(seconds=5)
    scene.callees[1].calls[0].ring(180)
    scene.run(14.7)
    assert not call.over
    scene.run(0.5)
    assert call.status == 480
    expect(scene.finish(), reason="no_answer")


def test_next_hops_over_different_transports() -> None:
    scene = Scene(
        hops=2,
        trunks=[pstn(next_hops=[f"udp://{HOPS[0][0]}:{HOPS[0][1]}", f"tcp://{HOPS[1][0]}:{HOPS[1][1]}"])],
    )
    scene.dial()
    scene.ringing.reject(503)
    scene.run(0.1)
    invite = scene.last_to(scene.callees[1], "INVITE")
    assert invite.startswith(f"INVITE sip:13900000002@{HOPS[1][0]}:{HOPS[1][1]};transport=tcp SIP/2.0\r\n")
    assert f"Via: SIP/2.0/TCP {ENGINE[0]}:{ENGINE[1]};branch=" in invite
    assert f"@{ENGINE[0]}:{ENGINE[1]};transport=tcp>\r\n" in invite
    scene.callees[1].calls[0].reject(486)
    scene.finish()


def test_a_stray_2xx_is_dropped() -> None:
    """Its transaction is long over: nobody can acknowledge it, and nothing breaks (RFC 3261 18.1.2)."""
    scene = Scene()
    scene.dial()
    scene.ringing.answer()
    scene.run(0.006)
    answer = next(passed for passed in scene.world.log if passed.start.startswith("SIP/2.0 200"))
    scene.run(1)
    scene.alice.calls[0].hang_up()
    scene.finish()
    count = len(scene.world.log)
    scene.bob.endpoint.outbox.append((scene.bob.engine, answer.data))
    scene.run(1)
    assert len(scene.world.log) == count + 1
    scene.check_nothing_left()


@pytest.mark.parametrize("rung", [False, True])
def test_an_answer_whose_record_cannot_be_kept(rung: bool) -> None:
    """No 200 without its START: the caller gets 503, the callee ACK and BYE, and one record says so."""
    scene = Scene()
    call = scene.dial()
    if rung:
        scene.ringing.ring(180)
        scene.run(0.1)
    scene.engine.records.accepting = False
    scene.ringing.answer()
    scene.run(0.2)
    assert call.status == 503
    answer = call.heard.responses[-1]
    assert (answer.value("retry-after"), answer.value("reason")) == ("5", "Q.850;cause=41")
    assert (len(scene.ringing.heard.acks), scene.ringing.released_by) == (1, "peer")
    assert scene.engine.records.starts == []
    expect(
        scene.finish(), reason="store_unavailable", disposition="refused", sip_status=503, answer_time=None
    )


@pytest.mark.parametrize("rung", [False, True])
def test_an_invite_that_expires(rung: bool) -> None:
    """Its caller has said how long he waits (RFC 3261 13.3.1): 487, as if he had given up then."""
    scene = Scene()
    call = scene.dial(headers="Expires: 20\r\n")
    scene.ringing.ring(180 if rung else 100)
    scene.run(19)
    assert call.status == 0
    scene.run(2)
    assert call.status == 487
    assert (scene.ringing.status, scene.ringing.heard.count("CANCEL")) == (487, 1)
    expect(scene.finish(), reason="cancelled", disposition="cancelled", released_by="caller", q850_cause=16)


@pytest.mark.parametrize("expires", ["20", "soon", "99999999999999", "-1", "", "4294967295"])
def test_an_answered_invite_does_not_expire(expires: str) -> None:
    scene = Scene()
    call = scene.dial(headers=f"Expires: {expires}\r\n")
    scene.ringing.answer()
    scene.run(60)
    assert call.confirmed
    assert not call.over
    call.hang_up()
    expect(scene.finish(), reason="normal")


def test_one_that_expires_while_the_store_is_asked() -> None:
    scene = Scene()
    scene.engine.table.later = []
    call = scene.dial(headers="Expires: 2\r\n")
    scene.run(3)
    assert call.status == 487
    assert scene.bob.calls == []
    ((ticket, found),) = scene.engine.table.later
    ticket.then(found, scene.world.now)
    expect(scene.finish(), reason="cancelled")


def test_stopping_says_goodbye_to_everybody() -> None:
    """At once, also to who has not acknowledged yet and to whom a BYE was waiting for that already."""
    scene = Scene()
    scene.talk()
    ringing = scene.dial()
    for _ in range(2):
        scene.alice.script = lambda call: None
        unsure = scene.alice.call(X)
        unsure.auto_ack = False
        scene.run(0.1)
        scene.ringing.answer()
        scene.run(0.1)
    scene.ringing.hang_up()
    scene.run(0.1)
    assert not unsure.over
    scene.engine.switchboard.close(scene.world.now)
    scene.run(0.1)
    assert ringing.status == 480
    assert [call.released_by for call in scene.alice.calls] == ["peer", "nobody", "peer", "peer"]
    assert all(call.over for call in scene.bob.calls if call.answered)
    reasons = [record.reason for record in scene.engine.records.ends]
    assert sorted(word for word in reasons if word) == ["ended_by_platform"] * 3 + ["normal"]
