"""Ending a call (RFC 3261 15): BYE from either side, glare, before the ACK, from strangers, by the platform."""

from __future__ import annotations

from typing import Any

import pytest

from engine.calls.record import CallRecord
from tests.simulation.phone_call import PhoneCall
from tests.simulation.scene import Scene, X, expect
from tests.simulation.stranger import Stranger
from tests.simulation.world import Conditions, Passed


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_bye_from_either_side(by: str) -> None:
    scene = Scene()
    call, callee = scene.talk()
    leaving, staying = (call, callee) if by == "caller" else (callee, call)
    leaving.hang_up()
    scene.run(0.2)
    assert (leaving.released_by, staying.released_by) == ("self", "peer")
    (bye,) = [item for item in staying.heard.requests if item.method == "BYE"]
    assert bye.value("reason") == "Q.850;cause=16"
    expect(
        scene.finish(), disposition="answered", reason="normal", released_by=by, sip_status=200, q850_cause=16
    )


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_bye_is_answered_at_once(by: str) -> None:
    """Never after the other leg, which does not answer here at all."""
    scene = Scene()
    call, callee = scene.talk()
    leaving, staying = (call, callee) if by == "caller" else (callee, call)
    scene.world.drop = lambda passed: staying.phone.address in (passed.source, passed.target)
    asking = leaving.send("BYE")
    leaving.released_by = "self"
    scene.run(0.02)
    assert asking.status == 200
    scene.run(40)
    staying.hang_up()
    expect(scene.finish(), released_by=by, reason="normal")


@pytest.mark.parametrize("by", ["caller", "callee"])
def test_the_cause_of_a_bye_crosses_and_is_recorded(by: str) -> None:
    scene = Scene()
    call, callee = scene.talk()
    leaving, staying = (call, callee) if by == "caller" else (callee, call)
    leaving.hang_up("Reason: Q.850;cause=31\r\n")
    scene.run(0.2)
    assert staying.heard.request("BYE").value("reason") == "Q.850;cause=31"
    expect(scene.finish(), q850_cause=31, reason="normal", released_by=by)


def test_bye_glare() -> None:
    scene = Scene(conditions=Conditions(delay=0.05))
    call, callee = scene.talk(seconds=0.4)
    first, second = call.send("BYE"), callee.send("BYE")
    scene.run(1)
    assert (first.status, second.status) == (200, 200)
    assert call.heard.count("BYE") <= 1
    assert callee.heard.count("BYE") == 1
    record = scene.finish()
    expect(record, reason="normal", disposition="answered")
    assert record.released_by in ("caller", "callee")


def test_bye_before_the_ack_of_the_caller() -> None:
    """The callee gets its ACK before its BYE all the same."""
    scene = Scene()
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.1)
    call.hang_up()
    scene.run(0.2)
    starts = [passed.start.split(" ")[0] for passed in scene.sent_to(scene.bob)]
    assert starts == ["INVITE", "ACK", "BYE"]
    assert scene.ringing.confirmed
    assert scene.ringing.released_by == "peer"
    expect(scene.finish(), disposition="answered", released_by="caller", reason="normal")


def test_bye_of_the_callee_before_the_callers_ack() -> None:
    """The caller hears of it once it has acknowledged: a BYE that overtakes the 200 would leave it ringing
    (RFC 3261 15). Here its first 200 is lost."""
    scene = Scene()
    call = scene.alice.call(X)
    scene.run(0.1)
    scene.world.drop = lambda passed: passed.target == scene.alice.address
    scene.ringing.answer()
    scene.run(0.02)
    scene.ringing.hang_up()
    scene.run(0.1)
    scene.world.drop = lambda passed: False
    assert scene.engine.records.ends[0].released_by == "callee"
    assert not call.answered
    scene.run(1)
    assert call.answered
    assert call.released_by == "peer"
    expect(scene.finish(), disposition="answered", reason="normal", released_by="callee")


def test_the_caller_hangs_up_while_that_bye_waits_for_its_ack() -> None:
    scene = Scene()
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.02)
    scene.ringing.hang_up()
    scene.run(0.1)
    bye = call.send("BYE")
    call.released_by = "self"
    scene.run(0.2)
    assert bye.status == 200
    said = len(scene.sent_to(scene.alice, "SIP/2.0 200"))
    scene.run(5)
    assert scene.sent_to(scene.alice, "BYE") == []
    # Its INVITE has an answer that may have been lost.
    assert len(scene.sent_to(scene.alice, "SIP/2.0 200")) > said
    expect(scene.finish(), released_by="callee", reason="normal")


def test_the_caller_never_acknowledges_while_that_bye_waits() -> None:
    scene = Scene()
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.02)
    scene.ringing.hang_up()
    scene.run(31)
    assert scene.sent_to(scene.alice, "BYE") == []
    scene.run(2)
    assert call.released_by == "peer"
    expect(scene.finish(), released_by="callee", reason="normal")


def test_a_lost_ack_of_the_caller_is_asked_for_again() -> None:
    scene = Scene()
    lost: list[float] = []

    def drop(passed: Passed) -> bool:
        if passed.start.startswith("ACK") and passed.source == scene.alice.address and len(lost) < 3:
            lost.append(scene.world.now)
            return True
        return False

    scene.world.drop = drop
    call = scene.dial()
    scene.ringing.answer()
    scene.run(10)
    assert scene.ringing.confirmed
    assert len(lost) == 3
    call.hang_up()
    expect(scene.finish(), reason="normal")


def test_a_bye_that_nobody_answers_is_given_up() -> None:
    scene = Scene()
    call, _ = scene.talk()
    scene.world.drop = lambda passed: passed.target == scene.bob.address
    call.hang_up()
    scene.run(0.2)
    assert call.over
    scene.run(33)
    assert scene.engine.board.legs == {}
    expect(scene.finish(), reason="normal")


def test_a_bye_that_is_refused_is_the_end_as_well() -> None:
    scene = Scene()
    call, callee = scene.talk()
    scene.bob.calls.remove(callee)  # it has forgotten the call: 481
    call.hang_up()
    scene.run(0.2)
    assert scene.engine.board.legs == {}
    expect(scene.finish(), reason="normal")


def end(scene: Scene) -> CallRecord:
    assert scene.engine.switchboard.end_call(next(iter(scene.engine.board.calls)), scene.world.now)
    scene.run(0.5)
    return scene.finish()


def test_the_platform_ends_a_call_in_progress() -> None:
    scene = Scene()
    call, callee = scene.talk()
    record = end(scene)
    assert (call.released_by, callee.released_by) == ("peer", "peer")
    for heard in (call.heard, callee.heard):
        assert heard.request("BYE").value("reason") == "Q.850;cause=16"
    expect(record, disposition="answered", reason="ended_by_platform", released_by="platform", q850_cause=16)


def test_the_platform_ends_a_call_that_rings() -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    record = end(scene)
    assert call.status == 480
    assert scene.ringing.status == 487
    expect(record, disposition="failed", reason="ended_by_platform", released_by="platform", q850_cause=16)


def test_the_platform_ends_a_call_whose_look_up_waits() -> None:
    scene = Scene()
    scene.engine.table.later = []
    call = scene.dial()
    record = end(scene)
    assert call.status == 480
    expect(record, disposition="failed", reason="ended_by_platform", out_trunk=None)


def test_the_platform_ends_a_call_that_is_not_acknowledged_yet() -> None:
    scene = Scene()
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.1)
    assert scene.engine.switchboard.end_call(next(iter(scene.engine.board.calls)), scene.world.now)
    scene.run(0.1)
    assert scene.ringing.released_by == "peer"
    assert scene.sent_to(scene.alice, "BYE") == []
    call.acknowledge()
    scene.run(0.1)
    assert call.released_by == "peer"
    expect(scene.finish(), reason="ended_by_platform", disposition="answered")


def test_no_call_has_this_record_id() -> None:
    scene = Scene()
    assert not scene.engine.switchboard.end_call("no such call", scene.world.now)


# --- within and outside of dialogs ---


def leg_of(call: PhoneCall) -> dict[str, Any]:
    """What a BYE of this phone says."""
    return {
        "uri": call.remote_uri,
        "from_": call.local,
        "to": call.remote,
        "call_id": call.call_id,
    }


@pytest.mark.parametrize("wrong", ["to", "from_", "call_id", "nothing"])
@pytest.mark.parametrize("side", ["caller", "callee"])
@pytest.mark.parametrize("method", ["BYE", "INVITE", "OPTIONS"])
def test_a_request_from_nowhere_with_wrong_identifiers(method: str, side: str, wrong: str) -> None:
    """481, and the call goes on. Who knows all three identifiers is the far end, wherever it sends from."""
    scene = Scene()
    call, callee = scene.talk()
    leg = leg_of(call if side == "caller" else callee)
    if wrong == "to":
        leg["to"] = leg["to"].rpartition(";tag=")[0] + ";tag=0123456789abcdef"
    elif wrong == "from_":
        leg["from_"] = leg["from_"].rpartition(";tag=")[0] + ";tag=guessed"
    elif wrong == "call_id":
        leg["call_id"] = "guessed@example"
    stranger = Stranger(scene.world)
    stranger.request(method, cseq=100, **leg)
    scene.run(0.2)
    if wrong != "nothing":
        assert stranger.statuses() == [481]
        assert scene.engine.records.ends == []
        assert not call.over
        assert not callee.over
    else:
        assert stranger.statuses()[-1] == 200
        stranger.request("ACK", cseq=100, **leg)
    scene.run(0.2)
    call.hang_up()
    callee.hang_up()
    scene.finish()


def test_the_tags_of_one_leg_are_worth_nothing_on_the_other() -> None:
    scene = Scene()
    call, callee = scene.talk()
    mixed = leg_of(call) | {"call_id": callee.call_id}
    stranger = Stranger(scene.world)
    stranger.request("BYE", cseq=100, **mixed)
    scene.run(0.1)
    assert stranger.statuses() == [481]
    call.hang_up()
    scene.finish()


def test_an_ack_from_nowhere_confirms_nothing() -> None:
    scene = Scene()
    call = scene.alice.call(X)
    call.auto_ack = False
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.1)
    stranger = Stranger(scene.world)
    wrong = leg_of(call) | {"call_id": "guessed"}
    stranger.request("ACK", cseq=11, **wrong)
    stranger.request("ACK", cseq=12, **leg_of(call))  # of another INVITE
    stranger.request("ACK", cseq=11, **(leg_of(call) | {"to": "<sip:x@y>"}))
    scene.run(0.1)
    assert stranger.heard == []
    assert scene.sent_to(scene.bob, "ACK") == []
    call.acknowledge()
    scene.run(0.1)
    assert scene.ringing.confirmed
    call.hang_up()
    scene.finish()


@pytest.mark.parametrize("cseq", [0, 5, 11])
def test_a_cseq_out_of_order_is_refused(cseq: int) -> None:
    """RFC 3261 12.2.2: 500, and nothing happens. 11 was the INVITE's."""
    scene = Scene()
    call, _ = scene.talk()
    stranger = Stranger(scene.world)
    stranger.request("BYE", cseq=cseq, **leg_of(call))
    scene.run(0.1)
    assert stranger.statuses() == [500]
    assert not call.over
    call.hang_up()
    scene.finish()


@pytest.mark.parametrize("cseq", [0, 1, 2**31 - 1])
def test_the_callee_may_begin_its_cseq_anywhere(cseq: int) -> None:
    scene = Scene()
    call, callee = scene.talk()
    callee.cseq = cseq - 1
    callee.hang_up()
    scene.run(0.1)
    assert call.released_by == "peer"
    expect(scene.finish(), released_by="callee")


def test_gaps_in_cseq_are_no_mistake() -> None:
    scene = Scene()
    call, callee = scene.talk()
    call.cseq += 1000
    call.hang_up()
    scene.run(0.1)
    assert callee.released_by == "peer"
    scene.finish()


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("OPTIONS", 200),
        ("REFER", 405),
        ("MESSAGE", 405),
        ("NOTIFY", 405),
        ("SUBSCRIBE", 405),
        ("FROBNICATE", 501),
    ],
)
@pytest.mark.parametrize("side", ["caller", "callee"])
def test_other_requests_within_a_call(method: str, status: int, side: str) -> None:
    """What is not carried through is refused on its leg, and the call goes on."""
    scene = Scene()
    call, callee = scene.talk()
    asking = (call if side == "caller" else callee).send(method)
    scene.run(0.2)
    assert asking.status == status
    assert asking.responses[-1].value("allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO"
    assert (callee if side == "caller" else call).heard.count(method) == 0
    call.hang_up()
    expect(scene.finish(), reason="normal")


def test_requests_after_the_end_are_unknown() -> None:
    scene = Scene()
    call, callee = scene.talk()
    call.hang_up()
    scene.run(0.2)
    asked = [call.send("OPTIONS"), callee.send("BYE")]
    scene.run(0.2)
    assert [asking.status for asking in asked] == [481, 481]
    scene.finish()


def test_a_bye_that_comes_again_gets_the_same_answer() -> None:
    scene = Scene()
    call, callee = scene.talk()
    lost: list[str] = []

    def drop(passed: Passed) -> bool:
        text = passed.text
        if "CSeq: 12 BYE" in text and text.startswith("SIP/2.0") and len(lost) < 2:
            lost.append(text)
            return True
        return False

    scene.world.drop = drop
    call.hang_up()
    scene.run(5)
    assert len(set(lost)) == 1
    assert len(lost) == 2
    assert callee.heard.count("BYE") == 1
    scene.finish()


def test_a_contact_that_is_a_name_leads_back_to_where_the_caller_sent_from() -> None:
    """Names are never looked up on the call path."""
    scene = Scene()
    stranger = Stranger(scene.world)
    scene.alice.record_route = scene.bob.record_route = False
    stranger.request(
        "INVITE",
        "Contact: <sip:somebody@phones.example:5080>",
        "Content-Type: application/sdp",
        contact=False,
        via="Via: SIP/2.0/UDP phones.example:5080;branch=z9hG4bKname;rport",
        body=scene.alice.session(),
    )
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.1)
    answer = stranger.last("SIP/2.0 200")
    to = next(line[4:] for line in answer.split("\r\n") if line.startswith("To: "))
    stranger.request("ACK", to=to, contact=False)
    scene.run(0.1)
    scene.ringing.hang_up()
    scene.run(0.1)
    bye = stranger.last("BYE ")
    assert bye.startswith("BYE sip:somebody@phones.example:5080 SIP/2.0\r\n")
    stranger.answer(bye, 200)
    scene.run(1)
    assert scene.engine.board.legs == {}
