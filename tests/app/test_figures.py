"""What the signalling process reads off its rooms."""

import asyncio
from pathlib import Path

from engine.app.signalling import Signalling
from engine.observe import catalogue
from engine.settings import load_settings
from tests.app.tables import write_config


async def test_trunks_and_their_next_hops(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path, "")
    two = '["udp://127.0.0.1:5090", "tcp://127.0.0.1:5091"]'
    overrides = ["trunks.other.enabled=false", f"trunks.pstn.next_hops={two}"]
    signalling = Signalling(load_settings(config, overrides), asyncio.get_running_loop())
    pstn, other = signalling._switchboard.trunks.trunks
    pstn.incoming.begin(0.0)
    pstn.incoming.begin(0.0)
    pstn.outgoing.begin(0.0)
    pstn.next_hops[1].health.up = False
    pstn.refresh()
    snapshot = signalling.serve("metrics", {})
    assert isinstance(snapshot, dict)
    gauges = {(name, *labels): value for name, labels, value in snapshot["gauges"]}
    assert gauges[catalogue.TRUNK_UP, "pstn"] == 1
    assert gauges[catalogue.TRUNK_UP, "other"] == 0
    assert gauges[catalogue.TRUNK_CALLS_ACTIVE, "pstn", "in"] == 2
    assert gauges[catalogue.TRUNK_CALLS_ACTIVE, "pstn", "out"] == 1
    assert gauges[catalogue.TRUNK_CALLS_ACTIVE, "other", "out"] == 0
    assert gauges[catalogue.NEXT_HOP_UP, "pstn", "udp://127.0.0.1:5090"] == 1
    assert gauges[catalogue.NEXT_HOP_UP, "pstn", "tcp://127.0.0.1:5091"] == 0
    for hop in pstn.next_hops:
        hop.health.up = False
    pstn.refresh()
    signalling.serve("metrics", {})
    assert signalling._tally.trunk_up == {"pstn": False, "other": False}
    assert other.name == "other"
    signalling.stop()
    await signalling.run_until_stopped()
