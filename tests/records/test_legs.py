"""What a START entry says of both dialogs is enough to end them: real ones, of phones that check every BYE."""

import pickle

import pytest

from engine.calls.abandoned import AbandonedCall, AbandonedCalls, AbandonedLeg
from engine.calls.record import EntryKind
from tests.records.samples import CODEC
from tests.simulation.scene import Scene


def legs_of(scene: Scene) -> list[AbandonedLeg]:
    """As a recovery reads them."""
    records = scene.engine.records
    data = CODEC.encode(EntryKind.START, records.starts[-1], pickle.loads(records.legs[-1]))
    return CODEC.reopen(CODEC.parse(data))[1]


@pytest.mark.parametrize("early", [True, False], ids=["after ringing", "at once"])
@pytest.mark.parametrize("refreshed", [0, 3])
def test_both_phones_hear_bye(early: bool, refreshed: int) -> None:
    scene = Scene()
    caller = scene.dial(seconds=0.1)
    callee = scene.ringing
    if early:
        callee.ring()
        scene.run(1)
    callee.answer()
    scene.run(0.2)
    assert caller.confirmed
    for _ in range(refreshed):  # our CSeq in these dialogs grows
        caller.send("INFO")
        callee.send("INFO")
        scene.run(0.2)
    legs = legs_of(scene)
    assert [leg.call_id for leg in legs] == [
        scene.engine.records.starts[0].a_call_id,
        scene.engine.records.starts[0].b_call_id,
    ]
    scene.engine.board.legs.clear()  # the engine that knew them is gone
    engine = scene.engine
    left = AbandonedCall(engine.records.starts[0], legs)
    AbandonedCalls(engine.endpoint, engine.records, engine.tally, [left], 500, scene.world.now)
    scene.run(1)
    for call in (caller, callee):
        (bye,) = [item for item in call.heard.requests if item.method == "BYE"]
        assert bye.value("reason") == "Q.850;cause=41"
        assert call.released_by == "peer"


def test_an_end_says_nothing_of_legs() -> None:
    scene = Scene()
    scene.talk()
    data = CODEC.encode(EntryKind.END, scene.engine.records.starts[0])
    assert CODEC.reopen(CODEC.parse(data)) == (scene.engine.records.starts[0], [])
