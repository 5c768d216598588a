"""What the signalling process makes of its settings."""

import asyncio
import resource
from pathlib import Path

import pytest

from engine.app.signalling import Signalling, allow_many_connections
from engine.sealing.keys import rotate_sealing
from engine.settings import load_settings
from engine.sip.flow import Flow
from tests.app.tables import write_config
from tests.sip.samples import request


@pytest.mark.parametrize(("symmetric", "port"), [("true", 7777), ("false", 7778)])
async def test_a_symmetric_trunk_is_answered_at_its_source_port(
    tmp_path: Path, symmetric: str, port: int
) -> None:
    config, _ = write_config(tmp_path, "")
    trunk = load_settings(config, []).trunks[0].name
    settings = load_settings(config, [f"trunks.{trunk}.symmetric={symmetric}"])
    signalling = Signalling(settings, asyncio.get_running_loop())
    endpoint = signalling._endpoint
    asking = request("OPTIONS", via="Via: SIP/2.0/UDP 127.0.0.1:7778;branch=z9hG4bK1")
    endpoint.receive(asking, Flow("udp", "127.0.0.1", 7777, 1, trunk), 0.0)
    [(flow, _)] = endpoint.outbox
    endpoint.outbox.clear()
    assert flow.port == port
    signalling.stop()
    await signalling.run_until_stopped()


async def test_rotated_keys_seal_from_now_on(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path, "")
    settings = load_settings(config, [])
    signalling = Signalling(settings, asyncio.get_running_loop())
    assert signalling.serve("keys.take", {}) == 1
    rotate_sealing(tmp_path / "var" / "keys", {})
    assert signalling.serve("keys.take", {}) == 2
    assert signalling._journal.header.sealing_key == 2
    assert signalling._keys.sealer.seal(b"", b"")[1] == 2
    signalling.stop()
    await signalling.run_until_stopped()


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 512), hard))
        allow_many_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
