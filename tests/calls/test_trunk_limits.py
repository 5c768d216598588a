"""What trunks carry: counted while calls are up, refused beyond it, whatever way a call ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.calls.flows import FLOWS
from tests.simulation.engine import pstn
from tests.simulation.scene import BOB, HOPS, Scene, X, expect

CARRIER: dict[str, Any] = {"prefixes": ["7009"], "peers": ["192.0.2.0/24"], "trust_identity": False}


def loads(scene: Scene) -> list[int]:
    return [
        load.calls
        for trunk in scene.engine.switchboard.trunks.trunks
        for load in (trunk.incoming, trunk.outgoing)
    ]


@pytest.mark.parametrize("play", FLOWS.values(), ids=FLOWS)
def test_nothing_is_left_counted_however_a_call_ends(play: Callable[[Scene], None]) -> None:
    scene = Scene()
    play(scene)
    scene.finish()
    assert loads(scene) == [0, 0]


def test_a_call_counts_once_each_way_while_it_is_up() -> None:
    scene = Scene()
    call, _ = scene.talk()
    assert loads(scene) == [1, 1]
    call.hang_up()
    scene.finish()


def test_a_full_incoming_trunk_says_that_another_may_do_better() -> None:
    scene = Scene(trunk={"max_calls": 1})
    first, _ = scene.talk()
    second = scene.dial()
    assert second.status == 503
    refusal = second.heard.responses[-1]
    assert (refusal.value("reason"), refusal.value("retry-after")) == ("Q.850;cause=42", "5")
    first.hang_up()
    scene.run(1.0)
    third, _ = scene.talk()
    third.hang_up()
    scene.close()
    refused = scene.engine.records.ends[0]
    expect(refused, reason="limit", disposition="refused", sip_status=503, q850_cause=42, out_trunk=None)
    assert loads(scene) == [0, 0]


def test_a_full_outgoing_trunk_is_480() -> None:
    ways = [pstn(name="in", prefixes=[]), pstn(BOB, name="out", peers=[], max_calls=1)]
    scene = Scene(trunks=ways)
    first, _ = scene.talk()
    second = scene.dial()
    assert second.status == 480
    assert second.heard.responses[-1].value("retry-after") == "5"
    first.hang_up()
    scene.close()
    expect(scene.engine.records.ends[0], reason="limit", sip_status=480, q850_cause=42)


def test_so_many_calls_in_a_second() -> None:
    scene = Scene(trunk={"max_calls_per_s": 2})
    scene.run(1.0 - scene.engine.utc_ms() % 1000 / 1000)
    calls = [scene.dial(seconds=0.01) for _ in range(3)]
    assert [call.status for call in calls] == [0, 0, 503]
    scene.run(1.0)
    calls.append(scene.dial())
    assert calls[-1].status != 503
    for call in (*calls[:2], calls[3]):
        call.cancel()
    scene.close()


def test_interconnection_is_limited_too() -> None:
    ways = [pstn(name="in", prefixes=[]), pstn(BOB, name="carrier", max_calls=1, **CARRIER)]
    scene = Scene(trunks=ways)
    first = scene.dial("700900000000001")
    assert scene.bob.calls
    second = scene.dial("700900000000002")
    assert second.status == 480
    first.cancel()
    scene.close()
    assert {record.reason for record in scene.engine.records.ends} == {"limit", "cancelled"}


def test_next_hops_that_are_down_are_passed_over_and_a_dead_trunk_is_500_at_once() -> None:
    scene = Scene(hops=2)
    trunk = scene.engine.switchboard.trunks.trunks[0]
    for place, reached in ((0, [0, 1]), (1, [0, 1])):
        health = trunk.next_hops[place].health
        while health.up:
            health.failed("timeout", scene.world.now)
        trunk.refresh()
        call = scene.dial(X)
        assert [len(phone.calls) for phone in scene.callees] == reached
    assert call.status == 500
    assert call.heard.responses[-1].value("reason") == "Q.850;cause=38"
    scene.alice.calls[0].cancel()
    scene.close()
    expect(scene.engine.records.ends[0], reason="trunk_down", disposition="failed", out_trunk=None)


def test_calls_tell_of_the_next_hops_that_fail_and_of_those_that_work() -> None:
    scene = Scene(hops=2)
    first, second = scene.engine.switchboard.trunks.trunks[0].next_hops
    suspected: list[float] = []
    first.health.on_suspicion = suspected.append
    scene.world.unreachable = {HOPS[0]}
    call = scene.dial()
    assert suspected == [1000.0 + 0.005]
    scene.callees[1].calls[-1].ring(180)
    scene.run(0.1)
    assert first.health.heard_at == 0.0
    assert second.health.heard_at > 1000.0
    call.cancel()
    scene.finish()
