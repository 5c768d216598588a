"""What the signalling process makes of its settings."""

import asyncio
import errno
import os
import resource
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from engine.app.signalling import Signalling, allow_many_connections
from engine.calls.record import EntryKind
from engine.sealing.keys import rotate_sealing
from engine.settings import load_settings
from engine.sip.flow import Flow
from tests.app.tables import write_config
from tests.records.samples import record
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


async def test_what_keeps_calls_from_being_recorded_is_said_and_so_is_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = write_config(tmp_path, "")
    signalling = Signalling(load_settings(config, []), asyncio.get_running_loop())

    def refuse(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    signalling._records.write(EntryKind.START, record(1))
    with capture_logs() as said:
        with monkeypatch.context() as full:
            full.setattr(os, "pwrite", refuse)
            for _ in range(3):
                signalling._driver.settle()
        async with asyncio.timeout(10):
            while len(said) < 2:  # the thread that syncs has to find that the disk is well again
                signalling._driver.settle()
                await asyncio.sleep(0.01)
    assert [(line["log_level"], line["event"]) for line in said] == [
        ("error", "records do not reach the disk"),
        ("warning", "records reach the disk again"),
    ]
    assert "No space left" in said[0]["why"]
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
