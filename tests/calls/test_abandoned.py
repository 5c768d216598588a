"""Calls that an engine before this one left behind: both sides hear BYE, then the call has its END."""

from engine.calls.abandoned import AbandonedCall, AbandonedCalls, AbandonedLeg
from engine.calls.record import CallRecord
from engine.sip.message import Request, parse_message
from tests.simulation.engine import SimulatedEngine
from tests.simulation.world import World


def leg(
    number: int, side: str = "a", transport: str = "udp", routes: list[str] | None = None
) -> AbandonedLeg:
    return AbandonedLeg(
        f"{side}-{number}", "<sip:700@127.0.0.1>;tag=ours", "<sip:138@127.0.0.9>;tag=theirs", "sip:138@127.0.0.9:5080",
        routes or [], 3, transport, "127.0.0.9", 5080, 1, "pstn",
    )  # fmt: skip


def call(number: int) -> AbandonedCall:
    record = CallRecord(
        record_id=str(number), model="AXB", disposition="interrupted", reason="engine_restart"
    )
    return AbandonedCall(record, [leg(number), leg(number, "b")])


def abandoned(engine: SimulatedEngine, *calls: AbandonedCall) -> AbandonedCalls:
    return AbandonedCalls(engine.endpoint, engine.records, engine.tally, calls, 500, 1000.0)


def told(engine: SimulatedEngine) -> list[Request]:
    """The BYEs that have been sent meanwhile."""
    messages = [parse_message(data) for _, data in engine.outbox]
    engine.outbox.clear()
    return [message for message in messages if isinstance(message, Request)]


def ends(engine: SimulatedEngine) -> list[str]:
    return [record.record_id for record in engine.records.ends]


def test_a_bye_in_the_dialog_as_it_was() -> None:
    engine = SimulatedEngine(World())
    abandoned(engine, AbandonedCall(CallRecord(), [leg(1, routes=["<sip:proxy@127.0.0.8;lr>"])]))
    assert engine.outbox == []
    engine.expire(1000.1)
    ((flow, _),) = engine.outbox
    (bye,) = told(engine)
    assert (bye.method, bye.uri, bye.call_id, bye.cseq) == ("BYE", "sip:138@127.0.0.9:5080", "a-1", 1004)
    assert bye.value("from") == "<sip:700@127.0.0.1>;tag=ours"
    assert bye.value("to") == "<sip:138@127.0.0.9>;tag=theirs"
    assert bye.values("route") == ["<sip:proxy@127.0.0.8;lr>"]
    assert bye.value("reason") == "Q.850;cause=41"
    assert (flow.transport, flow.host, flow.port, flow.local, flow.trunk) == (
        "udp",
        "127.0.0.9",
        5080,
        1,
        "pstn",
    )


def test_a_connection_is_opened_anew() -> None:
    engine = SimulatedEngine(World())
    abandoned(engine, AbandonedCall(CallRecord(), [leg(1, transport="tcp")]))
    engine.expire(1000.1)
    assert [(flow.transport, flow.local) for flow, _ in engine.outbox] == [("tcp", 0)]


def test_the_end_follows_when_the_byes_have_left() -> None:
    """Whoever dies between them leaves a call that has no END, and that is told once more."""
    engine = SimulatedEngine(World())
    calls = abandoned(engine, call(1))
    engine.expire(1000.035)
    assert [bye.call_id for bye in told(engine)] == ["a-1", "b-1"]
    assert (ends(engine), calls.left) == ([], 1)
    engine.expire(1000.08)
    assert (ends(engine), calls.left) == (["1"], 0)
    assert engine.tally.calls == {("AXB", "interrupted", "engine_restart"): 1}
    engine.expire(1000.2)
    assert ends(engine) == ["1"]


def test_a_restart_is_no_flood() -> None:
    engine = SimulatedEngine(World())
    calls = abandoned(engine, *map(call, range(600)))
    seen: dict[str, int] = {}
    for step in range(1, 31):
        while engine.next_deadline <= 1000 + step / 10:
            engine.expire(engine.next_deadline)
        for bye in told(engine):
            seen.setdefault(bye.call_id, step)
        assert len(seen) <= 50 * step + 2
    assert len(seen) == 1200
    assert max(seen.values()) in (24, 25)
    assert calls.left == 0
    assert ends(engine) == [str(number) for number in range(600)]


def test_those_who_are_left_hear_it_when_the_engine_stops() -> None:
    engine = SimulatedEngine(World())
    calls = abandoned(engine, *map(call, range(10)))
    calls.hurry(1000.0)
    assert len(told(engine)) == 20
    calls.wake(1000.0)
    assert len(ends(engine)) == 10
    assert calls.left == 0


def test_a_bye_is_repeated_until_it_is_answered_and_given_up_in_the_end() -> None:
    engine = SimulatedEngine(World())
    abandoned(engine, AbandonedCall(CallRecord(), [leg(1)]))
    engine.expire(1000.1)
    engine.outbox.clear()
    engine.expire(1000.7)
    assert [bye.method for bye in told(engine)] == ["BYE"]
    for step in range(1, 400):
        engine.expire(1000.7 + step / 10)
    assert engine.endpoint.transactions_active == 0
    assert engine.faults == []
