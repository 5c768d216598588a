"""An engine that was sent rubbish over UDP and TCP lives, has counted it, has not grown, and answers."""

import asyncio
import sys
from pathlib import Path

import asyncio_dgram
import pytest

from bench.engine_state import by_label
from engine.lab.engine_process import Engine
from engine.lab.processes import Processes
from tests.flows.stage import CONFIG, ENGINE_PORT, ROOT, Stage

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sipp")]

STAGE = Stage()
SECONDS = 3
ALLOWED_BYTES = 64 << 20


async def answer_to_options() -> str:
    """The start line of what the engine answers, repeated until it does: what was sent before may still wait."""
    client = await asyncio_dgram.connect((STAGE.host, ENGINE_PORT))
    request = (
        f"OPTIONS sip:{STAGE.host} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.11:9;branch=z9hG4bKrubbish;rport\r\n"
        f"From: <sip:a@127.0.0.11>;tag=1\r\nTo: <sip:{STAGE.host}>\r\nCall-ID: rubbish\r\nCSeq: 1 OPTIONS\r\n"
        "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    try:
        while True:
            await client.send(request.encode())
            try:
                data, _ = await asyncio.wait_for(client.recv(), 0.5)
            except TimeoutError:
                continue
            return data.decode().partition("\r\n")[0]
    finally:
        client.close()


async def test_an_engine_outlives_rubbish(tmp_path: Path) -> None:
    processes = Processes()
    engine = await Engine.start(
        CONFIG,
        STAGE.overrides(),
        STAGE.settings().control.address(),
        data_dir=tmp_path / "engine",
        log=tmp_path / "engine.log",
        processes=processes,
    )
    try:
        before = engine.usage().memory
        sender = await processes.start(
            [sys.executable, "-m", "bench.rubbish", STAGE.host, str(ENGINE_PORT), str(SECONDS)],
            output=tmp_path / "sent",
            folder=ROOT,
        )
        assert await processes.wait(sender, 60) == 0
        assert await asyncio.wait_for(answer_to_options(), 30) == "SIP/2.0 200 OK"
        engine.check_alive()
        kinds = by_label(f"{STAGE.host}:8700", "mask700_sip_malformed_total")
        assert {"start_line", "header", "via", "length", "size"} <= set(kinds)
        assert sum(kinds.values()) > 1000
        assert engine.usage().memory - before < ALLOWED_BYTES
        said = engine.log.read_text(encoding="utf-8")
        assert "Traceback" not in said
        assert "1380000" not in said
    finally:
        status = await engine.stop()
        processes.end_all_now()
    assert status == 0
