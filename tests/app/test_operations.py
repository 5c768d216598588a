"""What operators see of calls and trunks, and what they do to them."""

import json
from typing import Any

import pytest

from engine.app.link import Refused
from engine.app.operations import Operations
from engine.calls.record import CallRecord, EntryKind
from tests.simulation.engine import pstn
from tests.simulation.scene import BOB, A, B, Scene, X, expect


def seal(kind: EntryKind, record: CallRecord) -> bytes:
    return f"{kind.name} {record.record_id}".encode()


def operations(scene: Scene) -> Operations:
    return Operations(scene.engine.switchboard, seal, lambda: scene.world.now, lambda: None)


def shown(scene: Scene, name: str = "") -> dict[str, Any]:
    record_id = name or next(iter(scene.engine.board.calls))
    return dict(json.loads(json.dumps(operations(scene).show_call(record_id))))


def test_everything_about_a_call_and_no_real_number() -> None:
    scene = Scene()
    call, callee = scene.talk()
    found = shown(scene)
    assert A not in str(found)
    assert B not in str(found)
    assert (found["state"], found["caller"], found["callee"]) == ("talking", "138****0001", "139****0002")
    assert (found["dialled"], found["shown"], found["in_trunk"], found["out_trunk"]) == (X, X, "pstn", "pstn")
    assert found["answer_time"].startswith("2026-")
    assert (found["reason"], found["release_time"]) == (None, None)
    assert found["sealed"] == "U1RBUlQg" + found["sealed"][8:]  # "START " in base64
    caller, answering = found["legs"]["caller"], found["legs"]["callee"]
    assert (caller["call_id"], answering["call_id"]) == (call.call_id, callee.call_id)
    assert (caller["far_end"], answering["sent_to"]) == ("udp://127.0.1.11:5060", "udp://127.0.2.22:5090")
    assert caller["acknowledged"]
    for leg in (call, callee):
        assert shown(scene, leg.call_id)["record_id"] == found["record_id"]
    call.hang_up()
    scene.finish()


def test_a_call_that_rings_has_half_a_leg() -> None:
    scene = Scene()
    call = scene.dial(headers="")
    found = shown(scene)
    assert (found["state"], found["answer_time"]) == ("calling", None)
    assert "remote_target" not in found["legs"]["callee"]
    call.cancel()
    scene.finish()


def test_a_call_is_ended_on_an_operators_word() -> None:
    scene = Scene()
    call, callee = scene.talk()
    operator = operations(scene)
    record_id = next(iter(scene.engine.board.calls))
    assert operator.end_call(callee.call_id) == {"record_id": record_id, "ended": True}
    scene.run(1.0)
    assert (call.released_by, callee.released_by) == ("peer", "peer")
    for name in (record_id, call.call_id, "nonsense"):
        with pytest.raises(Refused, match="no such call is up"):
            operator.end_call(name)
        with pytest.raises(Refused, match="no such call is up"):
            operator.show_call(name)
    expect(scene.finish(), reason="ended_by_platform", released_by="platform", q850_cause=16)


def test_a_ringing_call_is_ended_too() -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring(180)
    scene.run(0.1)
    operations(scene).end_call(call.call_id)
    scene.run(1.0)
    assert call.status == 480
    expect(scene.finish(), reason="ended_by_platform", disposition="failed")


def test_a_disabled_trunk_drains() -> None:
    """As a way in it is nobody's, as a way out it is not chosen, and its calls go on."""
    scene = Scene()
    operator = operations(scene)
    call, _ = scene.talk()
    row = operator.set_trunk("pstn", False)
    assert (row["state"], row["enabled"], row["enabled_by"]) == ("draining", False, "operator")
    assert (row["calls_in"], row["calls_out"]) == (1, 1)
    asked = scene.alice.options()
    refused = scene.dial()
    assert refused.status == 403
    assert asked.status == 503
    assert refused.heard.responses[-1].value("reason") == "Q.850;cause=21"
    assert call.reinvite()
    scene.run(0.5)
    call.hang_up()
    scene.run(1.0)
    (row,) = operator.list_trunks()
    assert (row["state"], row["calls_in"], row["calls_out"]) == ("disabled", 0, 0)
    assert operator.set_trunk("pstn", True)["state"] == "up"
    again, _ = scene.talk()
    again.hang_up()
    scene.run(70.0)
    unknown = [record for record in scene.engine.records.ends if record.reason == "unknown_source"]
    assert [(record.in_trunk, record.sip_status, record.attempts) for record in unknown] == [("pstn", 403, 1)]
    with pytest.raises(Refused, match='there is no trunk "carrier"'):
        operator.set_trunk("carrier", True)


def test_a_disabled_way_out_leaves_its_numbers_to_the_next() -> None:
    ways = [pstn(BOB, name="main"), pstn(("127.0.3.33", 5090), name="backup", peers=[])]
    scene = Scene(hops=2, trunks=ways)
    operations(scene).set_trunk("backup", False)
    operations(scene).set_trunk("main", True)
    call = scene.dial()
    assert len(scene.bob.calls) == 1
    call.cancel()
    scene.finish()


def test_next_hops_one_by_one() -> None:
    scene = Scene(hops=2, trunk={"probe_down_after": 1, "max_calls": 5})
    trunk = scene.engine.switchboard.trunks.trunks[0]
    operator = operations(scene)
    trunk.next_hops[0].health.failed("timeout", scene.world.now)
    trunk.refresh()
    operator.hop_changed(trunk, trunk.next_hops[0])
    call = scene.dial()
    scene.run(3.0)
    scene.callees[1].calls[-1].answer()
    scene.run(4.0)
    call.hang_up()
    (row,) = json.loads(json.dumps(operator.list_trunks()))
    assert (row["state"], row["max_calls"]) == ("up", 5)
    assert row["next_hops"] == [
        {
            "next_hop": "udp://127.0.2.22:5090",
            "state": "down",
            "since_s": 7,
            "probe": "timeout",
            "probed": True,
            "heard_s": None,
        },
        {
            "next_hop": "udp://127.0.3.33:5090",
            "state": "up",
            "since_s": None,
            "probe": None,
            "probed": True,
            "heard_s": 4,
        },
    ]
    trunk.next_hops[1].health.failed("503", scene.world.now)
    trunk.refresh()
    assert operator.list_trunks()[0]["state"] == "down"
    scene.finish()
