"""Random calls over a bad wire: whatever happens, both phones and the record agree, and nothing is left."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from engine.calls.record import CallRecord
from engine.calls.settings import CallSettings
from tests.simulation.phone import Phone
from tests.simulation.phone_call import PhoneCall
from tests.simulation.scene import Scene, X
from tests.simulation.world import Conditions

CALLS_A_BLOCK = 100
BLOCKS = 8
SETTINGS = CallSettings(ring_timeout_s=40, max_duration_s=120, first_response_s=2, session_expires_s=90)


class Plan:
    """What the two sides do in one call, all from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.scene = Scene(
            hops=self.random.choice((1, 1, 2, 3)),
            seed=seed,
            conditions=Conditions(
                delay=self.random.choice((0.001, 0.005, 0.05, 0.3)),
                jitter=self.random.choice((0.0, 0.02, 0.2, 0.7)),
                loss=0.1,
                duplication=0.1,
            ),
            settings=SETTINGS,
            trunk={"symmetric": self.random.random() < 0.5},
        )
        for phone in self.scene.callees:
            phone.script = self.callee
            phone.on_reinvite = self.asked
        self.scene.alice.on_reinvite = self.asked

    def play(self) -> CallRecord:
        scene, chance = self.scene, self.random
        headers = "Supported: 100rel, timer\r\n" if chance.random() < 0.6 else ""
        if chance.random() < 0.7:
            headers += "Session-Expires: 90;refresher=uas\r\n"  # else it promises to refresh, and never does
        call = scene.alice.call(X, offer=chance.choice((None, None, "")), headers=headers)
        call.auto_prack = chance.random() < 0.95
        if chance.random() < 0.1:
            call.auto_ack = False  # its user agent is broken: it never acknowledges
        if chance.random() < 0.35:
            scene.world.at(chance.expovariate(0.3), call.cancel)
        self.talk(call)
        scene.run(130.0)
        for phone in (scene.alice, *scene.callees):
            for other in phone.calls:
                other.hang_up()
        return scene.finish(linger_s=110.0)

    def callee(self, call: PhoneCall) -> None:
        """Rings a while, in one early dialog or several, then decides; some next hops only ever say 503."""
        at, chance = self.scene.world.at, self.random
        call.ring(100)
        if chance.random() < 0.25:
            at(chance.random() * 0.5, lambda: call.reject(503))
            return
        time = 0.0
        forks = chance.choice((("",), ("",), ("one", "two"), ("one", "two", "three")))
        for _ in range(chance.randrange(4)):
            time += chance.expovariate(1.0)
            reliably = chance.random() < 0.4
            self.ring_at(call, time, chance.choice((180, 183)), chance.choice(forks), reliably)
        time += chance.expovariate(0.4)
        decision = chance.random()
        if decision < 0.65:
            self.answer_at(call, time, chance.choice(forks))
            if len(forks) > 1 and chance.random() < 0.5:
                self.answer_at(call, time + chance.random(), chance.choice(forks))
            self.talk(call, time)
        elif decision < 0.9:
            status = chance.choice((404, 408, 480, 486, 487, 488, 500, 503, 600, 603, 302, 407))
            at(time, lambda: call.reject(status))

    def ring_at(self, call: PhoneCall, time: float, status: int, fork: str, reliably: bool) -> None:
        session = call.phone.session() if status == 183 else ""
        ring = call.ring_reliably if reliably else call.ring
        self.scene.world.at(time, lambda: None if call.over else ring(status, session, fork))

    def ask_at(self, call: PhoneCall, time: float, method: str) -> None:
        phone = call.phone
        body = phone.session(port=4008) if method == "UPDATE with a session" else ""
        headers = "" if method == "INFO" else phone.contact()
        self.scene.world.at(
            time,
            lambda: None if call.over or not call.confirmed else call.send(method.split()[0], headers, body),
        )

    def reinvite_at(self, call: PhoneCall, time: float, session: str | None) -> None:
        self.scene.world.at(time, lambda: call.reinvite(session))

    def options_at(self, call: PhoneCall, time: float) -> None:
        self.scene.world.at(time, lambda: None if call.over or not call.confirmed else call.send("OPTIONS"))

    def answer_at(self, call: PhoneCall, time: float, fork: str) -> None:
        headers = "Session-Expires: 90;refresher=uac\r\n" if self.random.random() < 0.7 else ""
        self.scene.world.at(time, lambda: call.answer(fork=fork, headers=headers))

    def talk(self, call: PhoneCall, time: float = 0.0) -> None:
        """Now and then a change of the session, a CANCEL of that, OPTIONS, and in the end perhaps BYE."""
        at, chance = self.scene.world.at, self.random
        for _ in range(chance.randrange(4)):
            time += chance.expovariate(0.3)
            session = chance.choice((None, None, "", call.phone.session("sendonly")))
            self.reinvite_at(call, time, session)
            if chance.random() < 0.2:
                at(time + chance.random(), call.cancel_reinvite)
            if chance.random() < 0.2:
                self.options_at(call, time + chance.random())
            if chance.random() < 0.4:
                method = chance.choice(("UPDATE", "UPDATE with a session", "INFO"))
                self.ask_at(call, time + chance.random(), method)
        if chance.random() < 0.6:
            at(time + chance.expovariate(0.2), call.hang_up)

    def asked(self, call: PhoneCall) -> None:
        chance = self.random
        decision = chance.random()
        if decision < 0.6:
            call.accept_reinvite()
        elif decision < 0.8:
            call.ring_reinvite()
            self.scene.world.at(chance.random() * 3, call.accept_reinvite)
        else:
            status = chance.choice((486, 488, 491, 500, 503, 606))
            call.refuse_reinvite(status)


def check_agreement(plan: Plan, record: CallRecord) -> None:
    scene = plan.scene
    (caller,) = scene.alice.calls
    callees = [call for phone in scene.callees for call in phone.calls]
    assert caller.over
    answered = record.answer_time is not None
    assert answered == (caller.status == 200)
    assert caller.status == record.sip_status
    for callee in callees:
        assert callee.over
        if callee.call_id != record.b_call_id or not answered:
            # It may have picked up, but too late or elsewhere: then it was hung up at once.
            assert not callee.answered or callee.released_by in ("peer", "self")
    if not answered:
        assert caller.released_by == "nobody"
        return
    winner = next(call for call in callees if call.call_id == record.b_call_id)
    assert winner.answered
    assert winner.released_by in ("self", "peer")
    if record.released_by == "caller":
        assert caller.released_by == "self"
    elif record.released_by == "callee":
        assert winner.released_by == "self"
    else:
        assert record.reason in ("max_duration", "no_ack", "session_expired")
    assert caller.released_by in ("self", "peer")


@pytest.mark.parametrize("block", range(BLOCKS))
def test_random_calls(block: int) -> None:
    """A tenth of all datagrams is lost and a tenth comes twice, on both sides."""
    seen: Counter[str] = Counter()
    for seed in range(block * CALLS_A_BLOCK, (block + 1) * CALLS_A_BLOCK):
        plan = Plan(seed)
        try:
            record = plan.play()
            check_agreement(plan, record)
        except BaseException as error:
            raise AssertionError(f"random call {seed}: {error!r}") from error
        assert record.reason is not None
        seen[record.reason] += 1
    # The plans are such that calls go all ways.
    assert seen["normal"] >= CALLS_A_BLOCK // 6, seen
    assert len(seen) >= 6, seen


def test_many_calls_at_once() -> None:
    """60 calls of one phone to one phone cross each other on a bad wire."""
    scene = Scene(seed=7, conditions=Conditions(delay=0.02, jitter=0.1, loss=0.1, duplication=0.1))
    chance = random.Random(7)

    def pick_up(call: PhoneCall) -> None:
        call.ring(180)
        scene.world.at(chance.random() * 3, call.answer)
        scene.world.at(5 + chance.random() * 5, call.hang_up)

    scene.bob.script = pick_up
    calls: list[PhoneCall] = []
    for _ in range(60):
        scene.world.at(chance.random() * 4, lambda: calls.append(scene.alice.call(X)))
    scene.run(60)
    scene.close()
    assert len(scene.engine.records.ends) == 60
    answered = {record.a_call_id for record in scene.engine.records.ends if record.answer_time is not None}
    assert answered == {call.call_id for call in calls if call.status == 200}
    assert len(answered) >= 59
    pairs = {record.a_call_id: record.b_call_id for record in scene.engine.records.ends}
    assert len(set(pairs.values())) == 60


def test_a_perfect_wire_loses_nothing() -> None:
    """The same plan without loss gives the same record twice."""
    records = []
    for _ in range(2):
        plan = Plan(3)
        plan.scene.world.conditions = Conditions()
        records.append(plan.play())
    assert records[0] == records[1]
    assert isinstance(plan.scene.alice, Phone)
