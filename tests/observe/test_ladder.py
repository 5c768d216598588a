"""A traced call as it is told and drawn."""

from engine.observe.ladder import draw, told
from engine.observe.trace import Trace, TracedCall
from tests.observe.calls import START, traced
from tests.simulation.scene import BOB, A, Scene

KEY = b"k" * 16


def only(trace: Trace) -> TracedCall:
    (call,) = trace.calls()
    return call


def a_talk(scene: Scene) -> None:
    call, _ = scene.talk()
    scene.run(1.0)
    call.hang_up()
    scene.run(1.0)


def drawn(trace: Trace) -> str:
    return "\n".join(draw(told(only(trace), KEY)))


def test_a_call_is_drawn() -> None:
    scene = Scene()
    trace = traced(f"+86{A}", a_talk, scene)
    record_id = scene.record.record_id
    assert drawn(trace) == EXPECTED.replace("RECORD", record_id)


def test_repeats_are_marked_and_timed() -> None:
    scene = Scene()

    def play(scene: Scene) -> None:
        scene.world.drop = lambda passed: passed.target == BOB and passed.time < START + 0.4
        scene.dial(seconds=1.0)

    text = drawn(traced(f"+86{A}", play, scene))
    invites = [line for line in text.splitlines() if "INVITE (1)" in line]
    assert ["again" in line for line in invites] == [False, True]
    first, second = (float(line.split()[0]) for line in invites)
    assert 0.5 <= second - first < 0.52  # T1 and a tick of the wheel


def test_each_next_hop_is_a_leg_of_its_own() -> None:
    scene = Scene(hops=2)

    def play(scene: Scene) -> None:
        scene.world.drop = lambda passed: passed.target == BOB
        scene.dial(seconds=5.0)

    trace = traced(f"+86{A}", play, scene)
    call = told(only(trace), KEY)
    assert {message["leg"] for message in call["messages"]} == {"a", "b", "b2"}
    assert len(set(call["call_ids"])) == 3
    assert "b2: udp://127.0.3.33:5090" in "\n".join(draw(call))


def test_numbers_are_masked_unless_told_otherwise() -> None:
    trace = traced(f"+86{A}", a_talk, Scene())
    masked, clear = told(only(trace), KEY), told(only(trace), None)
    assert (masked["caller"], clear["caller"]) == ("138****0001", f"+86{A}")
    assert A not in str(masked)
    assert "13900000002" not in str(masked)
    assert A in clear["messages"][0]["text"]
    assert [one["status"] for one in masked["messages"]] == [one["status"] for one in clear["messages"]]


def test_a_refused_call_is_told_too() -> None:
    scene = Scene()
    trace = traced(f"+86{A}", lambda scene: scene.dial("700100000000099"), scene)
    call = told(only(trace), KEY)
    assert (call["disposition"], call["reason"]) == ("refused", "not_bound")
    assert [message["status"] or message["method"] for message in call["messages"]] == ["INVITE", 404, "ACK"]


def test_nothing_is_drawn_that_commands_a_terminal() -> None:
    scene = Scene()
    trace = traced(f"+86{A}", lambda scene: scene.dial(headers="User-Agent: \x1b[31m\x07\u009b\r\n"), scene)
    call = told(only(trace), None)
    assert not {"\x1b", "\x07", "\u009b"} & set(str(call))


EXPECTED = """\
RECORD  AXB a_to_b  138****0001 -> 700100000000001 => 700100000000001 -> 139****0002  answered, normal
2026-09-21T14:13:20.005000+00:00 is 0

     caller                           mask700                       callee
     udp://127.0.1.11:5060                                udp://127.0.2.22:5090
    0.000  |----- INVITE (11) sdp ------>|                             |
    0.000  |                             |------ INVITE (1) sdp ------>|
    0.000  |<----- 100 (11 INVITE) ------|                             |
    0.100  |                             |<---- 200 (1 INVITE) sdp ----|
    0.100  |<--- 200 (11 INVITE) sdp ----|                             |
    0.110  |--------- ACK (11) --------->|                             |
    0.110  |                             |--------- ACK (1) ---------->|
    1.200  |--------- BYE (12) --------->|                             |
    1.200  |<------- 200 (12 BYE) -------|                             |
    1.200  |                             |--------- BYE (2) ---------->|
    1.210  |                             |<------- 200 (2 BYE) --------|"""
