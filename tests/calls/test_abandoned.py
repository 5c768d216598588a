"""Calls that an engine before this one left behind: both sides hear BYE, and nothing goes wrong with their answers."""

from engine.calls.abandoned import AbandonedLeg, AbandonedLegs
from engine.sip.message import Request, parse_message
from tests.simulation.engine import SimulatedEngine
from tests.simulation.world import World


def leg(number: int, transport: str = "udp", routes: list[str] | None = None) -> AbandonedLeg:
    return AbandonedLeg(
        f"call-{number}", "<sip:700@127.0.0.1>;tag=ours", "<sip:138@127.0.0.9>;tag=theirs", "sip:138@127.0.0.9:5080",
        routes or [], 3, transport, "127.0.0.9", 5080, 1, "pstn",
    )  # fmt: skip


def told(engine: SimulatedEngine) -> list[Request]:
    """The BYEs that have been sent meanwhile."""
    messages = [parse_message(data) for _, data in engine.outbox]
    engine.outbox.clear()
    return [message for message in messages if isinstance(message, Request)]


def test_a_bye_in_the_dialog_as_it_was() -> None:
    engine = SimulatedEngine(World())
    AbandonedLegs(engine.endpoint, [leg(1, routes=["<sip:proxy@127.0.0.8;lr>"])], 41, 500, 1000.0)
    assert engine.outbox == []
    engine.expire(1000.1)
    ((flow, _),) = engine.outbox
    (bye,) = told(engine)
    assert (bye.method, bye.uri, bye.call_id, bye.cseq) == ("BYE", "sip:138@127.0.0.9:5080", "call-1", 1004)
    assert (bye.value("from"), bye.value("to")) == (
        "<sip:700@127.0.0.1>;tag=ours",
        "<sip:138@127.0.0.9>;tag=theirs",
    )
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
    AbandonedLegs(engine.endpoint, [leg(1, "tcp")], 41, 500, 1000.0)
    engine.expire(1000.1)
    assert [(flow.transport, flow.local) for flow, _ in engine.outbox] == [("tcp", 0)]


def test_a_restart_is_no_flood() -> None:
    engine = SimulatedEngine(World())
    legs = AbandonedLegs(engine.endpoint, [leg(number) for number in range(1200)], 41, 500, 1000.0)
    seen: dict[str, int] = {}
    for step in range(1, 31):
        while engine.next_deadline <= 1000 + step / 10:
            engine.expire(engine.next_deadline)
        for bye in told(engine):
            seen.setdefault(bye.call_id, step)
        assert legs.parted <= 50 * step
        assert legs.left == 1200 - legs.parted
    assert len(seen) == 1200
    assert max(seen.values()) in (24, 25)


def test_those_who_are_left_hear_it_when_the_engine_stops() -> None:
    engine = SimulatedEngine(World())
    legs = AbandonedLegs(engine.endpoint, [leg(number) for number in range(10)], 41, 500, 1000.0)
    legs.finish(1000.0)
    assert len(told(engine)) == 10
    assert (legs.left, legs.parted) == (0, 10)


def test_it_is_repeated_until_it_is_answered_and_given_up_in_the_end() -> None:
    engine = SimulatedEngine(World())
    AbandonedLegs(engine.endpoint, [leg(1)], 41, 500, 1000.0)
    engine.expire(1000.1)
    engine.outbox.clear()
    engine.expire(1000.7)
    assert [bye.method for bye in told(engine)] == ["BYE"]
    for step in range(1, 400):
        engine.expire(1000.7 + step / 10)
    assert engine.endpoint.transactions_active == 0
    assert engine.faults == []
