"""What is kept of chosen numbers' calls, and the bounds of it."""

from dataclasses import dataclass

import pytest

from engine.observe.trace import Bounds, NoRoom, Trace
from engine.observe.watch import Watch, call_id_of
from engine.sip.flow import Flow
from tests.observe.calls import Clock, NoFaults

A, B, X = "+8613800000001", "+8613900000002", "700100000000001"
FAR = Flow("udp", "127.0.0.1", 5090, 1)


@dataclass
class Record:
    record_id: str
    a_call_id: str | None
    caller: str | None = A
    dialled: str | None = X
    shown: str | None = None
    callee: str | None = None
    model: str | None = None
    direction: str | None = None
    disposition: str | None = None
    reason: str | None = None
    out_trunk: str | None = None
    release_time: int | None = None

    def admit(self) -> None:
        self.callee, self.shown, self.out_trunk = B, X, "pstn"


def message(call_id: str, start: str = "INVITE sip:x SIP/2.0", more: int = 0) -> bytes:
    return f"{start}\r\nCall-ID: {call_id}\r\nX: {'x' * more}\r\n\r\n".encode()


class World:
    def __init__(self, **bounds: float) -> None:
        self.clock = Clock()
        self.trace = Trace(Bounds(**bounds), self.clock)  # type: ignore[arg-type]
        self.watch = Watch(None, self.trace, self.clock, NoFaults())

    def begin(self, name: str, **fields: str | None) -> Record:
        record = Record(f"record-{name}", name, **fields)  # type: ignore[arg-type]
        self.watch.begun(record)
        return record

    def hear(self, call_id: str, start: str = "INVITE sip:x SIP/2.0", more: int = 0) -> None:
        self.watch.received([(message(call_id, start, more), FAR)])

    def end(self, record: Record) -> None:
        record.release_time = self.clock() // 1000

    def kept(self) -> list[str]:
        return [call.record.record_id for call in self.trace.calls()]


@pytest.mark.parametrize("number", [A, B, X])
def test_whoever_is_chosen_his_calls_are_kept(number: str) -> None:
    world = World()
    world.trace.choose(number, 60)
    record = world.begin("one")
    record.admit()
    world.hear("one")
    world.watch.dialled(record, "its-b-leg")
    world.watch.sent([(FAR, message("its-b-leg")), (FAR, message("another"))])
    world.hear("one", "BYE sip:x SIP/2.0")
    call = world.trace.call("record-one")
    assert call is not None
    assert [(one.leg, one.incoming) for one in call.messages] == [(0, True), (1, False), (0, True)]
    assert world.trace.call("its-b-leg") is call
    assert world.trace.octets == sum(len(one.data) for one in call.messages)


def test_others_are_not() -> None:
    world = World()
    world.trace.choose("+8613800000009", 60)
    world.begin("one").admit()
    world.hear("one")
    assert world.kept() == []
    assert world.trace.octets == 0
    assert world.trace.call("one") is None


def test_a_call_whose_callee_comes_late_is_kept_from_its_first_message() -> None:
    world = World()
    world.trace.choose(B, 60)
    record, other = world.begin("one"), world.begin("two")
    for name in ("one", "two"):
        world.hear(name)
        world.hear(name, "SIP/2.0 100 Trying")
    assert world.kept() == []
    assert world.trace.call("one") is None
    record.admit()
    world.end(other)
    for name in ("one", "two"):
        world.hear(name, "SIP/2.0 180 Ringing")
    call = world.trace.call("record-one")
    assert call is not None
    assert len(call.messages) == 3
    assert world.kept() == ["record-one"]
    assert world.trace.octets == call.octets


def test_calls_that_began_before_are_not_kept() -> None:
    world = World()
    world.begin("one")
    world.trace.choose(A, 60)
    world.hear("one")
    assert world.kept() == []


def test_a_choice_ends_by_itself_or_by_word() -> None:
    world = World()
    world.trace.choose(A, 60)
    world.trace.choose(B, 120)
    assert world.trace.chosen() == [(A, 60.0), (B, 120.0)]
    assert not world.trace.drop(X)
    assert world.trace.drop(B)
    world.clock.pass_(60)
    assert world.trace.chosen() == []
    world.trace.sweep()
    assert world.trace.idle
    world.begin("one")
    world.hear("one")
    assert world.kept() == []


def test_no_more_numbers_than_there_may_be() -> None:
    world = World(numbers=1)
    world.trace.choose(A, 60)
    world.trace.choose(A, 120)
    with pytest.raises(NoRoom, match="1 numbers"):
        world.trace.choose(B, 60)
    world.clock.pass_(120)
    world.trace.choose(B, 60)


def test_the_oldest_that_ended_makes_room() -> None:
    world = World(calls=2)
    world.trace.choose(A, 60)
    records = []
    for name in ("one", "two"):
        records.append(world.begin(name))
        world.hear(name)
    world.begin("three")
    world.hear("three")
    assert world.kept() == ["record-one", "record-two"]  # both are up
    world.end(records[1])
    world.begin("four")
    world.hear("four")
    assert world.kept() == ["record-one", "record-four"]
    world.hear("two")
    assert world.trace.octets == 2 * len(message("one")) + 1  # "four" is a letter longer


def test_messages_of_a_call_are_bounded() -> None:
    world = World(messages_per_call=3)
    world.trace.choose(A, 60)
    world.begin("one")
    for _ in range(5):
        world.hear("one")
    call = world.trace.call("record-one")
    assert call is not None
    assert (len(call.messages), call.left_out) == (3, 2)
    assert [one.again for one in call.messages] == [False, True, True]


def test_octets_in_all_are_bounded() -> None:
    world = World(octets=3000)
    world.trace.choose(A, 60)
    first = world.begin("one")
    world.hear("one", more=2000)
    world.begin("two")
    world.hear("two", more=2000)
    call = world.trace.call("record-two")
    assert call is not None
    assert (call.messages, call.left_out) == ([], 1)
    world.end(first)
    world.hear("two", more=2000)
    assert world.kept() == ["record-two"]
    assert 2000 < world.trace.octets < 3000


def test_what_has_ended_is_forgotten_in_time() -> None:
    world = World(keep_s=600)
    world.trace.choose(A, 60)
    record = world.begin("one")
    world.hear("one")
    world.end(record)
    world.clock.pass_(70)
    world.trace.sweep()
    assert world.trace.idle
    assert world.kept() == ["record-one"]
    world.clock.pass_(531)
    assert world.kept() == []
    assert world.trace.octets == 0
    assert world.trace.call("one") is None


def test_it_is_not_idle_while_a_call_is_up() -> None:
    world = World()
    world.trace.choose(A, 60)
    world.begin("one")
    world.hear("one")
    world.clock.pass_(100_000)
    world.trace.sweep()
    assert not world.trace.idle


def test_undecided_calls_do_not_pile_up() -> None:
    world = World()
    world.trace.choose(B, 60)
    for number in range(5000):
        world.begin(f"{number}")
    assert not [number for number in range(900) if world.trace._by_call_id.get(str(number))]
    world.trace.drop(B)
    world.trace.sweep()
    assert world.trace.idle


@pytest.mark.parametrize(
    ("line", "expected"),
    [("Call-ID: a@b", "a@b"), ("i:a ", "a"), ("CALL-id\t:  \u00e4", "\u00e4"), ("X-Call-ID: a", "")],
)
def test_the_call_id_is_read_as_the_parser_reads_it(line: str, expected: str) -> None:
    assert call_id_of(f"BYE sip:a SIP/2.0\r\nVia: x\r\n{line}\r\n\r\n".encode()) == expected
