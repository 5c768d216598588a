"""re-INVITE (RFC 3261 14, RFC 6141): both ways, hold, late offers, glare, failures, and what crosses its path."""

from __future__ import annotations

import pytest

from engine.calls.settings import CallSettings
from tests.simulation.phone_call import PhoneCall
from tests.simulation.scene import Scene, X, expect
from tests.simulation.world import ENGINE, Conditions, Passed


def sides(scene: Scene, by: str) -> tuple[PhoneCall, PhoneCall]:
    """The side that asks and the side that is asked."""
    call, callee = scene.talk()
    return (call, callee) if by == "caller" else (callee, call)


BOTH_WAYS = pytest.mark.parametrize("by", ["caller", "callee"])


@BOTH_WAYS
def test_hold_and_resume(by: str) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    for direction, port in (("sendonly", 4000), ("inactive", 4000), ("sendrecv", 4010)):
        assert asker.reinvite(asker.phone.session(direction, port))
        scene.run(0.2)
        invite = asked.heard.requests[-1]
        assert invite.method == "INVITE"
        assert f"\r\na={direction}\r\n".encode() in invite.body
        assert f"\r\nm=audio {port} ".encode() in invite.body
        assert asker.heard.responses[-1].status == 200
        assert b"\r\nm=audio 5002 " in asker.heard.responses[-1].body
        assert asked.heard.acks[-1].body == b""
    asker.hang_up()
    scene.run(0.2)
    expect(scene.finish(), reason="normal", released_by=by)
    # Nothing of a dialog's making in its later messages (RFC 3261 12.1.1).
    assert not any("Record-Route" in passed.text for passed in scene.sent_to(asked.phone, "INVITE"))


@BOTH_WAYS
def test_a_late_offer(by: str) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    assert asker.reinvite("")
    scene.run(0.2)
    assert asked.heard.requests[-1].body == b""
    assert b"\r\nm=audio 5002 " in asker.heard.responses[-1].body
    assert b"\r\nm=audio 4006 " in asked.heard.acks[-1].body
    asker.hang_up()
    scene.finish()


@BOTH_WAYS
def test_the_asked_side_is_acknowledged_when_the_askers_ack_arrives(by: str) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    asker.auto_ack = False
    already = len(asked.heard.acks)
    asker.reinvite()
    scene.run(1.0)  # both the asked side and the engine have repeated their 200 meanwhile
    assert len(asked.heard.acks) == already
    asker.acknowledge()
    scene.run(0.2)
    assert len(asked.heard.acks) == already + 1
    asker.auto_ack = True
    assert asker.reinvite()
    scene.run(0.2)
    assert asker.reinvite_statuses == [200, 200]
    asker.hang_up()
    scene.finish()


@BOTH_WAYS
def test_no_ack_ends_both_legs(by: str) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    asker.auto_ack = False
    asked.phone.endpoint.timers.transaction = 192.0  # the asked side is patient
    asker.reinvite()
    scene.run(33)
    assert asked.heard.acks[-1].cseq == asked.heard.requests[-2].cseq
    assert (asker.released_by, asked.released_by) == ("peer", "peer")
    record = scene.finish(linger_s=300)  # as long as the asked side's timers
    expect(record, disposition="answered", reason="no_ack", released_by="platform", q850_cause=102)


@BOTH_WAYS
@pytest.mark.parametrize("status", [400, 403, 415, 486, 488, 491, 500, 504, 603, 606])
def test_its_failure_changes_nothing(by: str, status: int) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: call.refuse_reinvite(status, "Retry-After: 5\r\n")
    asker.reinvite()
    scene.run(0.5)
    assert asker.reinvite_statuses == [status]
    assert not asker.over
    assert not asked.over
    asked.phone.on_reinvite = lambda call: call.accept_reinvite()
    asker.reinvite()
    scene.run(0.5)
    assert asker.reinvite_statuses == [status, 200]
    asker.hang_up()
    expect(scene.finish(), reason="normal", released_by=by)


@BOTH_WAYS
@pytest.mark.parametrize("status", [302, 401, 407, 420, 421, 422, 482, 483, 503])
def test_failures_that_belong_to_one_leg_become_500(by: str, status: int) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: call.refuse_reinvite(status)
    asker.reinvite()
    scene.run(0.5)
    assert asker.reinvite_statuses == [500]
    asker.hang_up()
    expect(scene.finish(), reason="normal")


@BOTH_WAYS
@pytest.mark.parametrize("status", [408, 481])
def test_408_and_481_end_both_legs(by: str, status: int) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: call.refuse_reinvite(status)
    asker.reinvite()
    scene.run(0.5)
    assert asker.reinvite_statuses == [status]
    assert asker.released_by == "peer"
    assert scene.sent_to(asked.phone, "BYE")
    record = scene.finish()
    expect(record, disposition="answered", reason="session_expired", released_by="platform", q850_cause=102)


@BOTH_WAYS
def test_silence_of_the_asked_side_ends_both_legs(by: str) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    scene.world.drop = lambda passed: asked.phone.address in (passed.source, passed.target)
    asker.reinvite()
    scene.run(33)
    assert asker.reinvite_statuses == [408]
    assert asker.released_by == "peer"
    scene.world.drop = lambda passed: False
    asked.hang_up()
    expect(scene.finish(), disposition="answered", reason="session_expired", released_by="platform")


@BOTH_WAYS
def test_a_transport_error_is_a_failure_like_others(by: str) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    scene.world.unreachable = {asked.phone.address}
    asker.reinvite()
    scene.run(0.5)
    scene.world.unreachable = set()
    assert asker.reinvite_statuses == [500]
    assert not asker.over
    asker.hang_up()
    expect(scene.finish(), reason="normal")


def test_glare() -> None:
    """Both sides at once: each gets 491, neither session changes, and a second try succeeds."""
    scene = Scene(conditions=Conditions(delay=0.05))
    call, callee = scene.talk(seconds=0.4)
    assert call.reinvite()
    assert callee.reinvite()
    scene.run(2)
    assert call.reinvite_statuses == [491]
    assert callee.reinvite_statuses == [491]
    assert call.reinvite()
    scene.run(2)
    assert call.reinvite_statuses == [491, 200]
    call.hang_up()
    expect(scene.finish(), reason="normal")


@BOTH_WAYS
def test_the_other_sides_re_invite_while_one_is_open_gets_491(by: str) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: None  # takes its time
    asker.reinvite()
    scene.run(0.2)
    waiting, asked.reinvited = asked.reinvited, None
    assert asked.reinvite()
    scene.run(0.2)
    assert asked.reinvite_statuses == [491]
    asked.reinvited = waiting
    asked.accept_reinvite()
    scene.run(0.2)
    assert asker.reinvite_statuses == [200]
    asker.hang_up()
    scene.finish()


@BOTH_WAYS
def test_a_second_re_invite_of_the_same_side_gets_500(by: str) -> None:
    """RFC 3261 14.2: with a Retry-After of 0 to 10 s."""
    scene = Scene()
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: None
    asker.reinvite()
    scene.run(0.2)
    first, asker.reinviting = asker.reinviting, None
    assert asker.reinvite()
    scene.run(0.2)
    answer = asker.heard.responses[-1]
    assert answer.status == 500
    assert 0 <= int(answer.value("retry-after")) <= 10
    asker.reinviting = first
    asked.accept_reinvite()
    scene.run(0.2)
    assert asker.reinvite_statuses == [500, 200]
    asker.hang_up()
    scene.finish()


@BOTH_WAYS
def test_before_the_callers_ack_it_is_too_early(by: str) -> None:
    scene = Scene()
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.1)
    asker = call if by == "caller" else scene.ringing
    asker.confirmed = True
    if by == "callee":
        asker.session_version += 1
    assert asker.reinvite()
    scene.run(0.1)
    assert asker.reinvite_statuses == [491]
    call.auto_ack = True
    call.acknowledge(cseq=11)
    scene.run(0.1)
    call.hang_up()
    expect(scene.finish(), reason="normal")


@BOTH_WAYS
@pytest.mark.parametrize("ender", ["asker", "asked"])
def test_bye_while_a_re_invite_is_open(by: str, ender: str) -> None:
    """The asker's INVITE gets 487 (RFC 3261 15.1.2)."""
    scene = Scene()
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: call.ring_reinvite()
    asker.reinvite()
    scene.run(0.2)
    leaving, staying = (asker, asked) if ender == "asker" else (asked, asker)
    leaving.hang_up()
    if leaving is asked:
        asked.refuse_reinvite(487)
    scene.run(0.5)
    assert asker.reinvite_statuses == [487]
    assert staying.released_by == "peer"
    side = by if ender == "asker" else {"caller": "callee", "callee": "caller"}[by]
    expect(scene.finish(), reason="normal", released_by=side)


@BOTH_WAYS
def test_a_2xx_that_crosses_the_end_of_the_call_is_acknowledged(by: str) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: call.ring_reinvite()
    asker.reinvite()
    scene.run(0.2)
    acks = len(asked.heard.acks)
    asker.hang_up()
    scene.run(0.006)
    asked.accept_reinvite()  # the BYE is on its way
    scene.run(1)
    assert asker.reinvite_statuses == [487]
    assert len(asked.heard.acks) == acks + 1
    expect(scene.finish(), reason="normal", released_by=by)


@BOTH_WAYS
def test_an_asked_side_that_never_ends_its_re_invite_is_forgotten_with_the_call(by: str) -> None:
    """Its INVITE got a provisional response, so no timer runs for it: the end of the call must end it."""
    scene = Scene()
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: call.ring_reinvite()
    asker.reinvite()
    scene.run(0.2)
    asked.reinvited = None  # it forgets what it was asked
    asker.hang_up()
    scene.run(1)
    assert asker.reinvite_statuses == [487]
    expect(scene.finish(), reason="normal")


@BOTH_WAYS
def test_an_asked_side_that_speaks_first_after_the_end_is_forgotten_too(by: str) -> None:
    """Its provisional response stops timer B, when nobody waits for a final one any more."""
    scene = Scene()
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: None
    asker.reinvite()
    scene.run(0.2)
    waiting, asked.reinvited = asked.reinvited, None
    asker.hang_up()
    scene.run(0.2)
    asked.reinvited = waiting
    asked.ring_reinvite()
    asked.reinvited = None
    scene.run(0.2)
    assert asker.reinvite_statuses == [487]
    expect(scene.finish(), reason="normal")


@BOTH_WAYS
def test_bye_between_a_2xx_and_its_ack(by: str) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    asker.auto_ack = False
    asker.reinvite()
    scene.run(0.2)
    acks = len(asked.heard.acks)
    asked.hang_up()
    scene.run(0.5)
    assert asker.released_by == "peer"
    assert len(asked.heard.acks) == acks + 1
    other = {"caller": "callee", "callee": "caller"}[by]
    expect(scene.finish(), reason="normal", released_by=other)


@BOTH_WAYS
@pytest.mark.parametrize("provisional", [True, False])
def test_cancel_of_a_re_invite(by: str, provisional: bool) -> None:
    """It crosses, held until a provisional response; the call stays."""
    scene = Scene()
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: call.ring_reinvite() if provisional else None
    asker.reinvite()
    scene.run(0.2)
    asker.cancel_reinvite()
    scene.run(0.2)
    if not provisional:
        assert asked.heard.count("CANCEL") == 0
        asked.ring_reinvite(100)
        scene.run(0.2)
    assert asked.heard.count("CANCEL") == 1
    assert asker.reinvite_statuses == [487]
    assert not asker.over
    asker.hang_up()
    expect(scene.finish(), reason="normal")


@BOTH_WAYS
def test_cancel_of_a_re_invite_that_is_answered_all_the_same(by: str) -> None:
    """Both sides keep the same session: the answer counts."""
    scene = Scene()
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: call.ring_reinvite()
    asker.reinvite()
    scene.run(0.2)
    asker.cancel_reinvite()
    scene.run(0.006)
    asked.accept_reinvite()
    scene.run(0.5)
    assert asker.reinvite_statuses == [200]
    assert not asker.over
    asker.hang_up()
    expect(scene.finish(), reason="normal")


@BOTH_WAYS
def test_provisional_responses_stay_on_their_leg(by: str) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    before = len(asker.heard.responses)
    asked.phone.on_reinvite = lambda call: call.ring_reinvite(183)
    asker.reinvite()
    scene.run(0.2)
    assert [response.status for response in asker.heard.responses[before:]] == [100]
    asked.accept_reinvite()
    scene.run(0.2)
    asker.hang_up()
    scene.finish()


@BOTH_WAYS
def test_lost_messages_are_made_up_for(by: str) -> None:
    """Each of INVITE, 200 and ACK gets lost once on each leg."""
    scene = Scene()
    asker, asked = sides(scene, by)
    lost: set[tuple[object, ...]] = set()

    def drop(passed: Passed) -> bool:
        key = (passed.source, passed.target, passed.start.split(" ")[0])
        if ENGINE in key and key not in lost:
            lost.add(key)
            return True
        return False

    scene.world.drop = drop
    asker.reinvite()
    scene.run(30)
    assert asker.reinvite_statuses == [200]
    assert len(lost) >= 6
    assert not asked.over
    scene.world.drop = lambda passed: False
    assert asker.reinvite()
    scene.run(1)
    asker.hang_up()
    expect(scene.finish(), reason="normal")


@BOTH_WAYS
def test_required_extensions_and_bodies_are_refused_on_their_leg(by: str) -> None:
    scene = Scene()
    asker, asked = sides(scene, by)
    before = asked.heard.count("INVITE")
    asker.reinvite(headers="Require: replaces\r\n")
    scene.run(0.2)
    asker.reinvite("hello", "Content-Type: text/plain\r\n")
    scene.run(0.2)
    asker.reinvite("hello", "Content-Type: application/sdp\r\n")
    scene.run(0.2)
    assert asker.reinvite_statuses == [420, 415, 400]
    assert asked.heard.count("INVITE") == before
    asker.hang_up()
    expect(scene.finish(), reason="normal")


@BOTH_WAYS
def test_an_answer_that_cannot_be_read_ends_the_call(by: str) -> None:
    """The asked side has changed its session to one that cannot be masked."""
    scene = Scene()
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: call.accept_reinvite("no session")
    asker.reinvite()
    scene.run(0.5)
    assert asker.reinvite_statuses == [500]
    assert (asker.released_by, asked.released_by) == ("peer", "peer")
    expect(scene.finish(), disposition="answered", released_by="platform")


@BOTH_WAYS
def test_a_re_invite_moves_the_remote_target(by: str) -> None:
    """RFC 3261 12.2.2: later requests go to the new Contact."""
    scene = Scene()
    asker, asked = sides(scene, by)
    asker.phone.record_route = False
    asker.phone.device = f"moved-{asker.phone.device}"
    asker.reinvite()
    scene.run(0.2)
    asked.hang_up()
    scene.run(0.2)
    assert scene.last_to(asker.phone, "BYE").startswith("BYE sip:moved-canary-")
    scene.finish()


def test_max_forwards_of_a_re_invite() -> None:
    scene = Scene()
    call, callee = scene.talk()
    call.reinvite()
    ((flow, data),) = scene.alice.outbox
    scene.alice.outbox[:] = [(flow, data.replace(b"Max-Forwards: 70", b"Max-Forwards: 9"))]
    scene.run(0.2)
    assert callee.heard.requests[-1].max_forwards == 8
    call.reinvite()
    ((flow, data),) = scene.alice.outbox
    scene.alice.outbox[:] = [(flow, data.replace(b"Max-Forwards: 70", b"Max-Forwards: 0"))]
    scene.run(0.2)
    assert call.reinvite_statuses == [200, 483]
    call.hang_up()
    expect(scene.finish(), reason="normal")


@BOTH_WAYS
@pytest.mark.parametrize("answer", ["487", "200", "nothing", "cancelled"])
def test_one_that_rings_for_ever(by: str, answer: str) -> None:
    """As long as a callee may ring, then CANCEL: 487 is the asker's 504 and changes nothing, a 2xx that crosses the
    CANCEL counts, and who says nothing even then is gone."""
    scene = Scene(settings=CallSettings(ring_timeout_s=50))
    asker, asked = sides(scene, by)
    asked.phone.on_reinvite = lambda call: call.ring_reinvite()
    asker.reinvite()
    scene.run(49.5)
    assert asker.reinvite_statuses == []
    assert not scene.sent_to(asked.phone, "CANCEL")
    if answer == "nothing":
        asked.on_cancel = lambda request, now: None  # type: ignore[method-assign]
    elif answer == "200":
        asked.on_cancel = lambda request, now: asked.accept_reinvite()  # type: ignore[method-assign]
    elif answer == "cancelled":
        scene.world.drop = lambda passed: (
            passed.start.startswith("CANCEL") and passed.target == asked.phone.address
        )
        scene.run(1)
        asker.cancel_reinvite()
        scene.run(0.2)
        scene.world.drop = lambda passed: False
    scene.run(3)
    assert len({passed.text for passed in scene.sent_to(asked.phone, "CANCEL")}) == 1
    if answer == "nothing":
        scene.run(33)
        assert asker.reinvite_statuses == [408]
        assert asker.over
        expect(scene.finish(), reason="session_expired")
        return
    assert asker.reinvite_statuses == [{"487": 504, "200": 200, "cancelled": 487}[answer]]
    assert not asker.over
    asked.phone.on_reinvite = lambda call: call.accept_reinvite()
    assert asker.reinvite()
    scene.run(0.2)
    asker.hang_up()
    expect(scene.finish(), reason="normal")


def test_its_answer_makes_no_dialog() -> None:
    """So it has no Record-Route (RFC 3261 12.1.1); the first INVITE's answer has the caller's."""
    scene = Scene()
    call, callee = scene.talk()
    assert "Record-Route" in scene.last_to(scene.alice, "SIP/2.0 200")
    assert call.reinvite()
    scene.run(0.2)
    answer = scene.last_to(scene.alice, "SIP/2.0 200")
    assert f"CSeq: {call.cseq} INVITE\r\n" in answer
    assert "Record-Route" not in answer
    callee.hang_up()
    scene.finish()


@BOTH_WAYS
@pytest.mark.parametrize("ender", ["asker", "asked"])
def test_a_2xx_goes_on_when_the_call_ends_before_its_ack(by: str, ender: str) -> None:
    """It may have been lost, and the asker's INVITE would never end (RFC 3261 13.3.1.4); the ACK stops it."""
    scene = Scene()
    asker, asked = sides(scene, by)
    asker.auto_ack = False
    asker.reinvite()
    scene.run(0.2)
    (asker if ender == "asker" else asked).hang_up()
    scene.run(0.5)
    before = asker.heard.statuses(asker.cseq - (ender == "asker")).count(200)
    scene.run(5)
    after = asker.heard.statuses(asker.cseq - (ender == "asker")).count(200)
    assert after > before
    asker.acknowledge()
    scene.run(0.2)
    assert scene.engine.board.legs == {}
    scene.finish()
