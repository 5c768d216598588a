"""The call's table: every event in every state, and any sequence of messages from two ends that keep to no rule."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.calls.call import TABLE, Call
from engine.calls.call_state import State
from engine.calls.events import CallEvent, Event
from engine.numbering.binding import Found
from tests.simulation.ends import BODY, Ends
from tests.simulation.phone_call import PhoneCall
from tests.simulation.scene import Scene, X

# --- every event in every state ---


def bring(scene: Scene, state: State) -> tuple[Call, PhoneCall]:
    """A call in that state, and the caller's view of it."""
    if state == State.SCREENING:
        scene.engine.table.later = []
    phone = scene.alice.call(X)
    phone.auto_ack = state >= State.TALKING
    scene.run(0.1)
    (call,) = scene.engine.board.calls.values()
    if state >= State.RINGING:
        scene.ringing.ring()
        scene.run(0.1)
    if state >= State.ANSWERED:
        scene.ringing.answer()
        scene.run(0.1)
    if state == State.ENDED:
        # The callee does not answer the BYE, so its leg is still there.
        scene.world.drop = lambda passed: passed.target == scene.bob.address
        phone.hang_up()
        scene.run(0.1)
        assert scene.engine.board.legs
    assert call.state == state
    return call, phone


def stimulus(scene: Scene, phone: PhoneCall, event: Event) -> None:
    """Makes the event happen, by what happens on the wire."""
    later = scene.engine.table.later or []
    acts: dict[Event, Callable[[], object]] = {
        Event.ADMITTED: lambda: later[0][0].then(later[0][1], scene.world.now),
        Event.REFUSED: lambda: refuse(scene),
        Event.PROGRESS: lambda: scene.ringing.ring(183),
        Event.ANSWER: lambda: scene.ringing.answer(),
        Event.FAILURE: lambda: scene.ringing.reject(486),
        Event.HOP_LOST: lambda: scene.ringing.reject(503),
        Event.LAST_HOP_LOST: lambda: scene.ringing.reject(503),
        Event.NO_RESPONSE: lambda: scene.run(33),
        Event.GIVEN_UP: phone.cancel,
        Event.RING_TIMEOUT: lambda: scene.run(181),
        Event.REMIND: lambda: scene.run(61),
        Event.CONFIRMED: phone.acknowledge,
        Event.RELEASED: phone.hang_up if phone.answered else lambda: leave_unheard(scene),
        Event.UNACKNOWLEDGED: lambda: ring_unacknowledged(scene),
        Event.PLATFORM_ENDED: lambda: scene.engine.switchboard.end_call(
            next(iter(scene.engine.board.calls)), scene.world.now
        ),
    }
    acts[event]()
    scene.run(0.1)


def refuse(scene: Scene) -> None:
    """By the store; when somebody rings already, because nobody keeps the record of his answer."""
    if scene.engine.table.later:
        scene.engine.table.later[0][0].then(Found(None), scene.world.now)
    else:
        scene.engine.records.accepting = False
        scene.ringing.answer()


def ring_unacknowledged(scene: Scene) -> None:
    """Reliably, to a caller who says that he knows how, and does not."""
    scene.ringing.ring(183, scene.bob.session(), headers="Require: 100rel\r\nRSeq: 7\r\n")
    scene.run(33)


def leave_unheard(scene: Scene) -> None:
    """The callee answers and hangs up while its answer waits for the caller's PRACK."""
    scene.ringing.ring(183, scene.bob.session(), headers="Require: 100rel\r\nRSeq: 7\r\n")
    scene.run(0.1)
    scene.ringing.answer()
    scene.run(0.1)
    scene.ringing.hang_up()


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_every_event_in_every_state(state: State, event: Event) -> None:
    """Rows of the table are gone through on the wire; what is no row changes nothing and says nothing."""
    scene = Scene()
    call, phone = bring(scene, state)
    row = TABLE.get((state, event))
    if row is not None:
        stimulus(scene, phone, event)
        lost_the_only_hop = (state, event) == (State.CALLING, Event.HOP_LOST)
        assert call.state == (State.ENDED if lost_the_only_hop else row[0])
    else:
        written, said = len(scene.engine.records.ends), len(scene.world.log)
        call.handle(CallEvent(event), scene.world.now)
        assert call.state == state
        assert scene.engine.endpoint.outbox == []
        assert (len(scene.engine.records.ends), len(scene.world.log)) == (written, said)
    scene.world.drop = lambda passed: False
    later, scene.engine.table.later = scene.engine.table.later or [], None
    if call.state == State.SCREENING:
        later[0][0].then(later[0][1], scene.world.now)
        scene.run(0.1)
    if scene.bob.calls and not scene.ringing.answered:
        scene.ringing.reject(486)
    scene.run(0.1)
    if not phone.confirmed and phone.answered:
        phone.acknowledge()
    phone.hang_up()
    scene.finish()


def test_the_table_is_complete_and_ends() -> None:
    """Every state but the last can end by either side and by the platform, and nothing leads out of the last."""
    for state in State:
        rows = {event: row[0] for (at, event), row in TABLE.items() if at == state}
        if state == State.ENDED:
            assert rows == {}
            continue
        assert rows[Event.PLATFORM_ENDED] == State.ENDED
        assert rows[Event.GIVEN_UP if state < State.ANSWERED else Event.RELEASED] == State.ENDED
        assert all(after >= state for after in rows.values())


# --- any sequence ---

FORKS = ("a", "b")
ACTIONS: dict[str, Callable[[Ends], None]] = {
    "INVITE": Ends.invite,
    "INVITE again": lambda ends: ends.invite(again=True),
    "CANCEL": Ends.cancel,
    "ACK": lambda ends: ends.within("ACK"),
    "ACK with a session": lambda ends: ends.within("ACK", offer=True),
    "ACK to a failure": Ends.acknowledge_failure,
    "BYE": lambda ends: ends.within("BYE"),
    "re-INVITE": lambda ends: ends.within("INVITE", offer=True),
    "OPTIONS": lambda ends: ends.within("OPTIONS"),
    "found": lambda ends: ends.look_up(True),
    "not found": lambda ends: ends.look_up(False),
    "operator": Ends.end,
    **{
        f"hop {hop} {status} {fork}": lambda ends, hop=hop, status=status, fork=fork: ends.respond(  # type: ignore[misc]
            hop, "INVITE", status, fork, BODY if status in (183, 200) else ""
        )
        for hop in (0, 1)
        for status in (100, 180, 183, 200, 302, 407, 486, 487, 503)
        for fork in FORKS
    },
    "200 with rubbish": lambda ends: ends.respond(0, "INVITE", 200, "a", "rubbish"),
    "BYE answered": lambda ends: ends.respond(0, "BYE", 200),
    "BYE refused": lambda ends: ends.respond(0, "BYE", 481),
    "CANCEL answered": lambda ends: ends.respond(0, "CANCEL", 200),
    "BYE from the callee": lambda ends: ends.from_callee(0, "BYE"),
    "BYE from the other fork": lambda ends: ends.from_callee(0, "BYE", "b"),
    "re-INVITE from the callee": lambda ends: ends.from_callee(0, "INVITE"),
    "ACK from the callee": lambda ends: ends.from_callee(0, "ACK"),
    "INFO from the callee": lambda ends: ends.from_callee(0, "INFO"),
    **{f"{seconds} s": lambda ends, seconds=seconds: ends.world.run(seconds) for seconds in (0.6, 3, 33, 61)},  # type: ignore[misc]
}

# Hypothesis seldom gets far by itself: most sequences begin on a way that leads somewhere.
BEGINNINGS: list[list[str]] = [
    [],
    ["INVITE", "found"],
    ["INVITE", "found", "hop 0 180 a"],
    ["INVITE", "found", "hop 0 180 a", "hop 0 180 b"],
    ["INVITE", "found", "hop 0 200 a"],
    ["INVITE", "found", "hop 0 200 a", "ACK"],
    ["INVITE", "found", "hop 0 200 a", "ACK", "re-INVITE"],
    ["INVITE", "found", "hop 0 200 a", "ACK", "re-INVITE from the callee"],
    ["INVITE", "found", "hop 0 200 a", "ACK", "re-INVITE", "hop 0 200 a"],
    ["INVITE", "found", "3 s"],
    ["INVITE", "found", "hop 0 180 a", "CANCEL"],
]


@settings(
    max_examples=1200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
@given(st.sampled_from(BEGINNINGS), st.lists(st.sampled_from(sorted(ACTIONS)), max_size=14))
def test_any_sequence_keeps_the_invariants(beginning: list[str], rest: list[str]) -> None:
    ends = Ends()
    for name in beginning + rest:
        ACTIONS[name](ends)
        ends.world.run(0.02)
    ends.check()
