"""The call's table: every event in every state, and any sequence of messages from two ends that keep to no rule."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.calls.call import TABLE, Call
from engine.calls.call_state import State
from engine.calls.events import CallEvent, Event
from engine.calls.settings import CallSettings
from engine.numbering.binding import Found, Model
from tests.simulation.engine import SimulatedEngine, pstn
from tests.simulation.phone_call import PhoneCall
from tests.simulation.scene import ALICE, HOPS, A, B, Scene, X
from tests.simulation.stranger import Stranger
from tests.simulation.world import World

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

SETTINGS = CallSettings(ring_timeout_s=100, max_duration_s=90, first_response_s=2)
BODY = "v=0\r\no=x 1 1 IN IP4 h\r\ns=x\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
SDP = "Content-Type: application/sdp"


class Ends:
    """Two ends that keep to no rule: the caller and two next hops, whose every message is written by hand."""

    def __init__(self) -> None:
        self.world = World()
        self.engine = SimulatedEngine(self.world, [pstn(*HOPS[:2])], SETTINGS)
        self.engine.table.later = []
        self.engine.table.add(Model.AXB, X, A, B)
        self.caller = Stranger(self.world, ALICE)
        self.hops = [Stranger(self.world, address) for address in HOPS[:2]]
        self.invites = 0
        self.cseq = 1
        self.invited_at = 0.0
        self.branches = 0

    # the caller

    def invite(self, again: bool = False) -> None:
        """An INVITE; each new one is an attempt, with a Call-ID of its own. The old one is repeated only while its
        transaction must still be there: T4 after an ACK it would be an attempt of its own."""
        if not again or self.world.now > self.invited_at + 4:
            self.invites += 1
            self.cseq = 1
            self.invited_at = self.world.now
        self.caller.request(
            "INVITE", SDP, branch=f"z9hG4bKi{self.invites}", call_id=f"c{self.invites}", body=BODY
        )

    def cancel(self) -> None:
        self.caller.request(
            "CANCEL", branch=f"z9hG4bKi{self.invites}", call_id=f"c{self.invites}", contact=False
        )

    def within(self, method: str, offer: bool = False) -> None:
        """Something in the dialog of the caller's last answer, as far as there is one."""
        to = next(
            (_value(text, "To") for text in reversed(self.caller.heard) if "SIP/2.0 1" not in text[:9]),
            "<sip:x@y>;tag=none",
        )
        self.branches += 1
        if method != "ACK":
            self.cseq += 1
        self.caller.request(
            method,
            *([SDP] if offer else []),
            branch=f"z9hG4bKw{self.branches}",
            call_id=f"c{max(1, self.invites)}",
            cseq=1 if method == "ACK" else self.cseq,
            to=to,
            body=BODY if offer else "",
        )

    def acknowledge_failure(self) -> None:
        self.caller.request(
            "ACK", branch=f"z9hG4bKi{self.invites}", call_id=f"c{self.invites}", contact=False
        )

    # the callee's side

    def respond(self, hop: int, method: str, status: int, fork: str = "a", body: str = "") -> None:
        """Any answer to the last request of that method."""
        heard = [text for text in self.hops[hop].heard if text.startswith(f"{method} ")]
        if heard:
            lines = [SDP] if body else []
            host, port = self.hops[hop].address
            lines.append(f"Contact: <sip:hop@{host}:{port}>")
            self.hops[hop].answer(heard[-1], status, *lines, tag=fork, body=body)

    def from_callee(self, hop: int, method: str, fork: str = "a") -> None:
        heard = [text for text in self.hops[hop].heard if text.startswith("INVITE ")]
        if heard:
            self.branches += 1
            to = _value(heard[-1], "To")
            self.hops[hop].request(
                method,
                branch=f"z9hG4bKh{self.branches}",
                from_=to if ";tag=" in to else f"{to};tag={fork}",
                to=_value(heard[-1], "From"),
                call_id=_value(heard[-1], "Call-ID"),
                cseq=self.branches,
            )

    # the engine's own world

    def look_up(self, found: bool) -> None:
        assert self.engine.table.later is not None
        if self.engine.table.later:
            ticket, binding = self.engine.table.later.pop(0)
            ticket.then(binding if found else None, self.world.now)

    def end(self) -> None:
        for record_id in list(self.engine.board.calls)[:1]:
            self.engine.switchboard.end_call(record_id, self.world.now)


def _value(text: str, name: str) -> str:
    match = re.search(rf"^{name}: (.*)\r$", text, re.MULTILINE)
    assert match is not None, text
    return match[1]


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
    """One END record for each attempt, a START for exactly the answered ones, no fault, and nothing left."""
    ends = Ends()
    for name in beginning + rest:
        ACTIONS[name](ends)
        ends.world.run(0.02)
    while ends.engine.table.later:
        ends.look_up(True)
    ends.world.run(400)
    engine = ends.engine
    if engine.faults:
        raise engine.faults[0]
    records = engine.records.ends
    assert len(records) == ends.invites
    assert len({record.record_id for record in records}) == len(records)
    answered = {record.record_id for record in records if record.answer_time is not None}
    assert {record.record_id for record in engine.records.starts} == answered
    assert len(engine.records.starts) == len(answered)
    assert engine.board.calls == {}
    assert engine.board.legs == {}
    assert engine.endpoint.attempts_claimed == 0
    assert engine.endpoint.transactions_active == 0
    assert engine.next_deadline > 1e17
    finals = [
        text
        for text in ends.caller.heard
        if re.match(r"SIP/2\.0 [2-6]", text) and re.search(r"^CSeq: 1 INVITE\r$", text, re.MULTILINE)
    ]
    assert len({_value(text, "Call-ID") for text in finals}) == ends.invites  # each got a final answer
    for text in [text for hop in ends.hops for text in hop.heard]:
        assert A not in text
    for text in ends.caller.heard:
        assert B not in text
