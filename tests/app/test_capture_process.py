"""The process that sends what is captured: it outlives signals, is started again, and ends with the engine."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.app.capture_process import CaptureProcess
from engine.observe.capture import SENT, Capture
from engine.observe.capture_sender import Orders
from engine.sip.flow import Flow
from tests.observe.hep_receiver import Collector

FAR = Flow("udp", "127.0.0.2", 5090, 1)
MESSAGE = b"BYE sip:13800000001@x SIP/2.0\r\nCall-ID: a\r\n\r\n"


@asynccontextmanager
async def captured() -> AsyncIterator[tuple[Capture, CaptureProcess, Collector]]:
    collector = await Collector.open()
    capture = Capture(1, lambda: time.time_ns() // 1000)
    orders = Orders(("127.0.0.1", collector.port), [("127.0.0.1", 5060)] * 2, 1, "node", "secret", True)
    process = CaptureProcess(capture, orders, 1_048_576, again_s=0.05)
    await process.start()
    try:
        yield capture, process, collector
    finally:
        await process.close()
        await collector.close()


def say(capture: Capture) -> None:
    capture.offer(0, True, FAR, MESSAGE, "a")
    capture.flush()


async def test_it_goes_on_when_the_service_is_told_to_stop_until_the_engine_ends() -> None:
    async with captured() as (capture, process, collector):
        say(capture)
        await collector.wait_for(1)  # by now it has heard which signals are not for it
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(process.pid, one)
        for _ in range(100):
            say(capture)
        await process.close()
        assert process.pid == 0
        assert len(await collector.wait_for(101)) == 101


async def test_it_is_started_again() -> None:
    async with captured() as (capture, process, collector):
        say(capture)
        await collector.wait_for(1)
        first = process.pid
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(20):
            while len(collector.packets) < 2:
                say(capture)
                await asyncio.sleep(0.05)
        assert process.pid not in (0, first)


async def test_its_figures_come_back_and_its_secrets_are_no_arguments() -> None:
    async with captured() as (capture, process, collector):
        with open(f"/proc/{process.pid}/cmdline", "rb") as file:
            assert b"secret" not in file.read()
        say(capture)
        await collector.wait_for(1)
        async with asyncio.timeout(10):
            while capture.counted != {SENT: 1}:
                await asyncio.sleep(0.05)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
