"""Messages that come at the wrong time, twice, or not at all, around the answer of a call."""

from __future__ import annotations

import itertools

import pytest

from tests.simulation.scene import Scene, X, expect
from tests.simulation.world import ENGINE, Conditions, Passed


@pytest.mark.parametrize("status", [180, 183])
def test_18x_after_the_2xx_does_not_cross(status: int) -> None:
    """Overtaken on the way; a proxy's other branch may still ring."""
    scene = Scene()
    held: list[Passed] = []

    def hold(passed: Passed) -> bool:
        if passed.start.startswith(f"SIP/2.0 {status}") and passed.source == scene.bob.address and not held:
            held.append(passed)
            return True
        return False

    scene.world.drop = hold
    call = scene.dial()
    scene.ringing.ring(status, scene.bob.session())
    scene.run(0.01)
    scene.ringing.answer()
    scene.run(0.1)
    scene.bob.endpoint.outbox.append((scene.bob.engine, held[0].data))
    scene.run(0.1)
    assert call.heard.statuses() == [100, 200]
    call.hang_up()
    expect(scene.finish(), ringing_time=None, reason="normal")


@pytest.mark.parametrize("status", [486, 503, 302, 600])
def test_a_failure_after_the_2xx_changes_nothing(status: int) -> None:
    scene = Scene()
    call, callee = scene.talk()
    text = callee.invite
    failure = (
        f"SIP/2.0 {status} x\r\nVia: {text.value('via')}\r\nFrom: {text.value('from')}\r\n"
        f"To: {text.value('to')};tag=late\r\nCall-ID: {text.call_id}\r\nCSeq: 1 INVITE\r\n"
        "Content-Length: 0\r\n\r\n"
    )
    scene.bob.endpoint.outbox.append((scene.bob.engine, failure.encode()))
    scene.run(0.2)
    assert not call.over
    call.hang_up()
    expect(scene.finish(), reason="normal", disposition="answered")


def test_everything_twice() -> None:
    """Each datagram comes two times: one call, one record, each thing told once."""
    scene = Scene(conditions=Conditions(duplication=1.0))
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.1)
    assert call.reinvite()
    scene.run(0.5)
    call.hang_up()
    scene.run(0.5)
    assert len(scene.bob.calls) == 1
    assert scene.ringing.heard.count("BYE") == 1
    assert scene.ringing.heard.count("INVITE") == 2
    expect(scene.finish(), reason="normal", disposition="answered")


def test_a_provisional_response_twice_is_relayed_twice() -> None:
    """Nothing tells a repeated 18x from a new one, and the caller's side can bear it."""
    scene = Scene()
    scene.dial()
    scene.ringing.ring(180)
    scene.ringing.ring(180)
    scene.run(0.1)
    assert scene.alice.calls[0].heard.statuses() == [100, 180, 180]
    scene.ringing.reject(486)
    scene.finish()


@pytest.mark.parametrize(
    ("source", "target", "start"),
    [
        ("alice", "engine", "INVITE"),
        ("engine", "bob", "INVITE"),
        ("bob", "engine", "SIP/2.0 200"),
        ("engine", "alice", "SIP/2.0 200"),
        ("alice", "engine", "ACK"),
        ("engine", "bob", "ACK"),
        ("alice", "engine", "BYE"),
        ("engine", "bob", "BYE"),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
def test_any_message_may_get_lost(source: str, target: str, start: str, times: int) -> None:
    scene = Scene()
    places = {"alice": scene.alice.address, "bob": scene.bob.address, "engine": ENGINE}
    lost = itertools.count()

    def drop(passed: Passed) -> bool:
        matches = (passed.source, passed.target) == (places[source], places[target])
        return matches and passed.start.startswith(start) and next(lost) < times

    scene.world.drop = drop
    scene.bob.script = lambda call: call.answer()
    call = scene.dial(seconds=20)
    assert call.confirmed
    assert scene.ringing.confirmed
    call.hang_up()
    scene.run(10)
    assert next(lost) >= times
    assert scene.ringing.released_by == "peer"
    expect(scene.finish(), reason="normal", disposition="answered", released_by="caller")


@pytest.mark.parametrize("after_s", [0.0, 0.4, 5.0, 20.0])
def test_a_late_ack(after_s: float) -> None:
    scene = Scene()
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.05 + after_s)
    call.acknowledge()
    scene.run(0.1)
    assert scene.ringing.confirmed
    call.acknowledge()  # and once more
    scene.run(0.1)
    assert len({passed.text for passed in scene.sent_to(scene.bob, "ACK")}) == 1
    call.hang_up()
    expect(scene.finish(), reason="normal")


def test_an_ack_that_overtakes_a_re_invite_and_bye() -> None:
    """ACK, re-INVITE and BYE in the opposite order: 491 or 481, and the call ends as the BYE says."""
    scene = Scene()
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.1)
    call.confirmed = True
    call.reinvite()
    scene.run(0.006)
    call.hang_up()
    scene.run(0.006)
    call.acknowledge(cseq=11)
    scene.run(1)
    assert call.reinvite_statuses == [491]
    assert scene.ringing.confirmed
    assert scene.ringing.released_by == "peer"
    expect(scene.finish(), reason="normal", released_by="caller")


def test_the_callees_200_repeated_long_after_the_ack() -> None:
    scene = Scene()
    call, callee = scene.talk()
    (answer,) = [passed for passed in scene.world.log if passed.start.startswith("SIP/2.0 200 canary-bob")]
    for seconds in (1, 10, 15):
        scene.run(seconds)
        before = len(scene.sent_to(scene.bob, "ACK"))
        scene.bob.endpoint.outbox.append((scene.bob.engine, answer.data))
        scene.run(0.1)
        assert len(scene.sent_to(scene.bob, "ACK")) == before + 1
    assert call.heard.statuses() == [100, 200]
    assert not callee.over
    call.hang_up()
    scene.finish()


def test_the_callees_200_repeated_after_the_end() -> None:
    scene = Scene()
    call, _ = scene.talk()
    (answer,) = [passed for passed in scene.world.log if passed.start.startswith("SIP/2.0 200 canary-bob")]
    call.hang_up()
    scene.run(1)
    byes = len(scene.sent_to(scene.bob, "BYE"))
    acks = len(scene.sent_to(scene.bob, "ACK"))
    scene.bob.endpoint.outbox.append((scene.bob.engine, answer.data))
    scene.run(1)
    assert len(scene.sent_to(scene.bob, "ACK")) == acks + 1
    assert len(scene.sent_to(scene.bob, "BYE")) == byes
    scene.finish()


def test_a_fork_that_answers_after_the_end_is_hung_up() -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180, fork="one")
    scene.ringing.ring(180, fork="two")
    scene.run(0.1)
    scene.ringing.answer(fork="one")
    scene.run(0.1)
    call.hang_up()
    scene.run(0.003)  # the BYE is on its way to the engine
    scene.ringing.answer(fork="two")
    scene.run(1)
    assert scene.ringing.over
    tags = {item.to_tag for item in scene.ringing.heard.requests if item.method == "BYE"}
    assert tags == set(scene.ringing.forks.values())
    expect(scene.finish(), reason="normal", released_by="caller")


def test_a_busy_and_an_answer_of_two_forks() -> None:
    """A proxy sends on the one 2xx and forgets the failures; one that does not is not believed."""
    scene = Scene()
    call = scene.dial()
    scene.ringing.reject(486)
    scene.run(0.1)
    assert call.status == 486
    scene.ringing.released_by = ""
    invite = scene.ringing.invite
    late = (
        f"SIP/2.0 200 x\r\nVia: {invite.value('via')}\r\nFrom: {invite.value('from')}\r\n"
        f"To: {invite.value('to')};tag=late\r\nCall-ID: {invite.call_id}\r\nCSeq: 1 INVITE\r\n"
        f"{scene.bob.contact()}Content-Length: 0\r\n\r\n"
    )
    scene.bob.endpoint.outbox.append((scene.bob.engine, late.encode()))
    scene.run(0.1)
    assert call.heard.statuses() == [100, 486]
    assert call.released_by == "nobody"
    scene.ringing.released_by = "nobody"
    expect(scene.finish(), reason="callee_busy")
