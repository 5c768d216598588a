"""What a caller gets, and what stands in the record: the contract's table, situation by situation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from engine.authorization.gate import Policy
from engine.calls.settings import CallSettings
from engine.numbering.binding import Direction, Model
from tests.calls.flows import FLOWS
from tests.simulation.engine import EPOCH_MS, pstn
from tests.simulation.phone_call import PhoneCall
from tests.simulation.scene import BOB, HOPS, A, B, Scene, X, expect

STRANGER = "13700000007"


@dataclass
class Outcome:
    """`status` is what the caller's phone saw last for its INVITE, `cause` the Q.850 cause in that answer (or in the
    BYE to the caller), `by` who released."""

    name: str
    play: Callable[[Scene], None]
    status: int
    cause: int
    reason: str
    disposition: str
    by: str = "platform"
    retry_after: bool = False
    scene: dict[str, Any] = field(default_factory=dict)
    wants_faults: bool = False


def dial(number: str) -> Callable[[Scene], None]:
    def play(scene: Scene) -> None:
        scene.dial(number)

    return play


def rejected(status: int) -> Callable[[Scene], None]:
    def play(scene: Scene) -> None:
        scene.dial()
        scene.ringing.reject(status)

    return play


def expired(scene: Scene) -> None:
    scene.engine.table.add(Model.AXB, X, A, B, expires_at=EPOCH_MS / 1000)
    scene.dial()


def one_way(direction: Direction, a: str, b: str) -> Callable[[Scene], None]:
    def play(scene: Scene) -> None:
        scene.engine.table.add(Model.AXB, X, a, b, direction=direction)
        scene.dial()

    return play


def somebody_elses(scene: Scene) -> None:
    scene.engine.table.add(Model.AXB, X, STRANGER, B)
    scene.dial()


def nobody_to_call_back(scene: Scene) -> None:
    scene.engine.table.add(Model.AX, X, A, None)
    scene.dial()


def draining(scene: Scene) -> None:
    scene.engine.switchboard.drain()
    scene.dial()


def store_down(scene: Scene) -> None:
    scene.engine.table.unavailable = True
    scene.dial()


def store_broken(scene: Scene) -> None:
    scene.engine.table.broken = True
    scene.dial()


def last_caller_broken(scene: Scene) -> None:
    """The fault comes after the decision, while it is carried out."""
    scene.engine.table.add(Model.AX, X, B, None)
    scene.engine.table.later = []
    scene.dial()
    scene.engine.table.broken = True
    ((ticket, found),) = scene.engine.table.later
    ticket.then(found, scene.world.now)
    scene.run(0.1)


def no_next_hop(scene: Scene) -> None:
    scene.world.unreachable = set(HOPS)
    scene.dial()


def no_trunk(scene: Scene) -> None:
    scene.dial()


def ended_by_operator(scene: Scene) -> None:
    scene.talk()
    scene.engine.switchboard.end_call(next(iter(scene.engine.board.calls)), scene.world.now)


def ended_by_operator_while_ringing(scene: Scene) -> None:
    scene.dial()
    scene.ringing.ring()
    scene.run(0.1)
    scene.engine.switchboard.end_call(next(iter(scene.engine.board.calls)), scene.world.now)


def left(by: str) -> Callable[[Scene], None]:
    def play(scene: Scene) -> None:
        call, callee = scene.talk()
        (call if by == "caller" else callee).hang_up()

    return play


def used_up(scene: Scene) -> None:
    scene.alice.call(X)
    ((flow, data),) = scene.alice.outbox
    scene.alice.outbox[:] = [(flow, data.replace(b"Max-Forwards: 70", b"Max-Forwards: 0"))]
    scene.run(0.1)


UNBOUND: dict[str, Any] = {"bind": False}
OUTCOMES = [
    Outcome("answered, the caller leaves", left("caller"), 200, 16, "normal", "answered", "caller"),
    Outcome("answered, the callee leaves", left("callee"), 200, 16, "normal", "answered", "callee"),
    Outcome("nobody bound", dial("700100000000099"), 404, 1, "not_bound", "refused"),
    Outcome("a real number", dial(STRANGER), 404, 1, "not_bound", "refused"),
    Outcome("16 digits", dial(X + "1"), 404, 1, "not_bound", "refused"),
    Outcome("an emergency number", dial("110"), 404, 1, "not_bound", "refused"),
    Outcome("no number at all", dial("alice"), 404, 1, "not_bound", "refused"),
    Outcome(
        "not one of ours", dial(X), 404, 1, "not_bound", "refused",
        scene={"policy": Policy(own_prefixes=("7003",))},
    ),
    Outcome("expired", expired, 404, 1, "expired", "refused", scene=UNBOUND),
    Outcome("too few digits", dial("70010000000001"), 484, 28, "incomplete_number", "refused"),
    Outcome("only 700", dial("700"), 484, 28, "incomplete_number", "refused"),
    Outcome("stranger", somebody_elses, 404, 1, "not_a_party", "refused", scene=UNBOUND),
    Outcome(
        "stranger, told so", somebody_elses, 403, 21, "not_a_party", "refused",
        scene={"bind": False, "policy": Policy(strangers="403")},
    ),
    Outcome("nobody to call back", nobody_to_call_back, 404, 1, "no_callback", "refused", scene=UNBOUND),
    Outcome(
        "direction a_to_b", one_way(Direction.A_TO_B, B, A), 403, 21, "direction", "refused", scene=UNBOUND
    ),
    Outcome(
        "direction b_to_a", one_way(Direction.B_TO_A, A, B), 403, 21, "direction", "refused", scene=UNBOUND
    ),
    Outcome("unverified", dial(X), 403, 21, "unverified", "refused", scene={"trunk": {"trust_identity": False}}),
    Outcome("draining", draining, 503, 42, "draining", "refused", retry_after=True),
    Outcome(
        "store unavailable", store_down, 503, 41, "store_unavailable", "refused", retry_after=True,
        wants_faults=True,
    ),
    Outcome("busy", rejected(486), 486, 17, "callee_busy", "busy", "callee"),
    Outcome("busy everywhere", rejected(600), 600, 17, "callee_busy", "busy", "callee"),
    Outcome("declined", rejected(603), 603, 21, "callee_rejected", "failed", "callee"),
    Outcome("forbidden", rejected(403), 403, 21, "callee_rejected", "failed", "callee"),
    Outcome("unavailable", rejected(480), 480, 18, "callee_unreachable", "failed", "callee"),
    Outcome("redirected", rejected(302), 480, 20, "callee_unreachable", "failed", "callee"),
    Outcome("unknown", rejected(404), 404, 1, "callee_unknown", "failed", "callee"),
    Outcome("gone", rejected(410), 410, 22, "callee_unknown", "failed", "callee"),
    Outcome("rings too long", FLOWS["never_answered"], 480, 19, "no_answer", "no_answer"),
    Outcome("silence", FLOWS["silent"], 408, 102, "no_response", "failed"),
    Outcome("503", rejected(503), 500, 38, "trunk_down", "failed"),
    Outcome("no next hop", no_next_hop, 500, 38, "trunk_down", "failed"),
    Outcome(
        "no trunk for the callee", no_trunk, 500, 38, "trunk_down", "failed",
        scene={"trunks": [pstn(BOB, prefixes=["86138"])]},
    ),
    Outcome("gave up", FLOWS["cancelled"], 487, 16, "cancelled", "cancelled", "caller"),
    Outcome("gave up by BYE", FLOWS["hung_up_early"], 487, 16, "cancelled", "cancelled", "caller"),
    Outcome(
        "talked too long", FLOWS["talked_too_long"], 200, 102, "max_duration", "answered",
        scene={"settings": CallSettings(max_duration_s=9)},
    ),
    Outcome("never acknowledged", FLOWS["unacknowledged"], 200, 102, "no_ack", "answered"),
    Outcome("ended by an operator", ended_by_operator, 200, 16, "ended_by_platform", "answered"),
    Outcome(
        "ended while it rang", ended_by_operator_while_ringing, 480, 16, "ended_by_platform", "failed"
    ),
    Outcome("Max-Forwards used up", used_up, 483, 25, "loop", "refused"),
    Outcome("our own fault", store_broken, 500, 41, "internal_error", "failed", wants_faults=True),
    Outcome(
        "our own fault, later", last_caller_broken, 500, 41, "internal_error", "failed", scene=UNBOUND,
        wants_faults=True,
    ),
]  # fmt: skip


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.name)
def test_outcome(outcome: Outcome) -> None:
    scene = Scene(**outcome.scene)
    scene.wants_faults = outcome.wants_faults
    outcome.play(scene)
    record = scene.finish()
    call = scene.alice.calls[0]
    assert call.status == outcome.status
    final = call.heard.responses[-1]
    assert bool(final.value("retry-after")) == outcome.retry_after
    if outcome.status != 200:
        assert final.value("reason") == f"Q.850;cause={outcome.cause}"
    elif call.released_by == "peer":
        assert call.heard.request("BYE").value("reason") == f"Q.850;cause={outcome.cause}"
    expect(
        record, reason=outcome.reason, disposition=outcome.disposition, released_by=outcome.by,
        sip_status=outcome.status, q850_cause=outcome.cause, attempts=1, in_trunk="pstn", source="127.0.1.11",
        a_call_id=call.call_id,
    )  # fmt: skip
    assert len(scene.engine.faults) == outcome.wants_faults
    model = record.model or "none"
    assert scene.engine.tally.calls == {(model, outcome.disposition, outcome.reason): 1}


# --- faults of ours, wherever they happen ---


def break_records(scene: Scene, writes: int) -> None:
    scene.wants_faults = True
    scene.engine.records.broken = writes


def test_an_answer_that_cannot_be_kept_is_not_given() -> None:
    """The START entry could not be written: the caller hears 500, the callee is hung up."""
    scene = Scene()
    call = scene.dial()
    break_records(scene, 1)
    scene.ringing.answer()
    scene.run(0.5)
    assert call.status == 500
    assert scene.ringing.confirmed
    assert scene.ringing.released_by == "peer"
    expect(
        scene.finish(), reason="internal_error", disposition="failed", sip_status=500, q850_cause=41,
        answer_time=None, released_by="platform",
    )  # fmt: skip


@pytest.mark.parametrize("moment", ["caller leaves", "callee leaves", "ringing", "cancel", "failure"])
def test_a_record_that_cannot_be_written_leaves_nobody_hanging(moment: str) -> None:
    scene = Scene()
    play: dict[str, Callable[[], tuple[PhoneCall, PhoneCall]]] = {
        "caller leaves": scene.talk,
        "callee leaves": scene.talk,
    }
    if moment in play:
        call, callee = play[moment]()
        break_records(scene, 1)
        (call if moment == "caller leaves" else callee).hang_up()
    else:
        call = scene.dial()
        callee = scene.ringing
        callee.ring()
        scene.run(0.1)
        break_records(scene, 1)
        if moment == "cancel":
            call.cancel()
        elif moment == "failure":
            callee.reject(486)
        else:
            scene.engine.switchboard.end_call(next(iter(scene.engine.board.calls)), scene.world.now)
    scene.run(1)
    assert call.over
    assert callee.over
    scene.run(70)
    scene.check_nothing_left()
    assert scene.engine.records.ends == []
    assert len(scene.engine.faults) == 1


def test_a_fault_in_one_call_is_none_of_the_others() -> None:
    scene = Scene()
    call, callee = scene.talk()
    broken = scene.dial()
    break_records(scene, 2)
    scene.bob.calls[1].answer()
    scene.run(0.5)
    assert broken.status == 500
    assert not call.over
    assert not callee.over
    call.hang_up()
    scene.finish()


def test_a_fault_within_a_timer_does_not_stop_the_others() -> None:
    scene = Scene(settings=CallSettings(ring_timeout_s=5))
    calls = [scene.alice.call(X) for _ in range(3)]
    scene.run(0.1)
    break_records(scene, 1)
    scene.run(6)
    assert [call.status for call in calls].count(480) == 2
    assert all(call.over for call in calls)
    for callee in scene.bob.calls:
        callee.ring()
    scene.close()
    assert len(scene.engine.records.ends) == 2
