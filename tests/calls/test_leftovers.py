"""What a call leaves in memory: nothing, and that without the help of the garbage collector."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from engine.calls.acceptance import Acceptance
from engine.calls.call import Call
from engine.calls.callee_leg import CalleeEarly
from engine.calls.conversation import Conversation
from engine.calls.leg import Leg
from engine.calls.passage import Passage
from engine.calls.refresh import Refresh
from engine.calls.reinvite import Reinvite
from engine.calls.reliable import EarlyDialog, Reliable
from engine.calls.session import SessionOrigin
from engine.calls.session_timer import SessionTimer
from engine.sip.dialog import Dialog
from engine.sip.message import Message
from engine.sip.transactions.transaction import Transaction
from tests.calls.flows import FLOWS
from tests.simulation.scene import Scene

KINDS = (
    *(Call, Leg, Reinvite, Acceptance, Dialog, Transaction),
    *(Conversation, Passage, Refresh, Reliable, EarlyDialog, CalleeEarly, SessionOrigin, SessionTimer),
)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> Counter[str]:
    return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, KINDS))


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("flow", FLOWS)
def test_nothing_of_a_call_stays_in_memory(flow: str) -> None:
    """After 64·T1 at the latest, though the call could have rung or lasted much longer."""
    before = alive()
    scene = Scene()
    FLOWS[flow](scene)
    scene.finish(linger_s=75)
    for phone in (scene.alice, scene.bob):
        phone.calls.clear()
    assert alive() - before == Counter()


@pytest.mark.usefixtures("no_collector")
def test_an_ended_call_goes_at_once() -> None:
    """Only its transactions stay for their 64·T1; the call, its legs and what they had read do not."""
    before = alive()
    scene = Scene()
    call, _ = scene.talk()
    call.hang_up()
    scene.run(6)  # T4 of the BYE, and the slots of short timers
    engine_owned = alive() - before
    for kind in ("Call", "CallerLeg", "CalleeLeg", "Dialog", "Acceptance"):
        assert engine_owned[kind] == 0, engine_owned
    scene.finish()


@pytest.mark.usefixtures("no_collector")
def test_a_call_in_progress_holds_no_message() -> None:
    scene = Scene()
    scene.talk()
    scene.run(40)
    for phone in (scene.alice, scene.bob):
        phone.calls.clear()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Message)]
    assert scene.engine.endpoint.transactions_active == 0
    assert alive()["Call"] == 1


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_a_fault_of_ours_during_a_refresh_leaves_nothing(method: str) -> None:
    """The engine's own refresh is on its way when the record of the end cannot be written."""
    before = alive()
    scene = Scene()
    scene.wants_faults = True
    scene.alice.on_reinvite = scene.bob.on_reinvite = lambda asked: None
    allow = "Allow: INVITE, ACK, BYE, CANCEL\r\n" if method == "INVITE" else ""
    call = scene.dial(headers=f"{allow}Supported: timer\r\nSession-Expires: 600;refresher=uas\r\n")
    scene.ringing.answer(headers=f"{allow}Session-Expires: 600;refresher=uac\r\n")
    scene.run(300)
    scene.engine.records.broken = 2
    call.hang_up()
    del call
    scene.run(75)
    assert scene.engine.faults
    scene.engine.faults.clear()
    for phone in (scene.alice, scene.bob):
        phone.calls.clear()
    scene.check_nothing_left()
    assert alive() - before == Counter()
