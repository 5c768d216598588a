"""The outlets' process: started, killed, asked and stopped; every record of a journal that goes on is given out."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from engine.app.link import Refused
from engine.app.outlets_child import OutletsChild
from engine.app.outlets_process import Orders, OutletsLock, Report
from engine.observe import catalogue
from engine.observe.metrics import Metrics
from engine.records.settings import OutletSettings
from engine.settings import Settings
from tests.records.outlet_places import SIGNING, Place
from tests.records.samples import RING, record
from tests.records.segments import Segments


def settings_in(root: Path, *outlets: OutletSettings) -> Settings:
    keys = root / "keys"
    keys.mkdir(mode=0o700)
    for name, key in (
        ("sealing-1", RING.sealing[1]),
        ("lookup", RING.lookup),
        ("signing-1", SIGNING.private[1]),
    ):
        (keys / f"{name}.key").write_text(key.hex() + "\n")
        (keys / f"{name}.key").chmod(0o600)
    return Settings(data_dir=root, outlets=list(outlets) or [OutletSettings(name="billing", rotate_s=1)])


async def until(true: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(child: OutletsChild) -> AsyncIterator[None]:
    task = asyncio.create_task(child.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await child.last()
        assert child.pid == 0


def delivered(child: OutletsChild) -> int:
    return sum(status.delivered for status in child.statuses)


async def test_it_gives_out_and_says_so(tmp_path: Path) -> None:
    place = Place(tmp_path)
    journal = Segments(place.records)
    journal.write(record(1), record(2))
    settings = settings_in(
        tmp_path, OutletSettings(name="billing", rotate_s=1), OutletSettings(name="slow", format="jsonl")
    )
    child = OutletsChild(settings)
    async with running(child):
        await until(lambda: delivered(child) == 2)
        listed = await child.answer("outlets.list", {})
        assert isinstance(listed, list)
        assert [(one["name"], one["delivered"], one["lag_records"], one["error"]) for one in listed] == [
            ("billing", 2, 0, ""),
            ("slow", 0, 2, ""),
        ]
        page = Metrics("1", others=child.series).page().decode()
        assert 'mask700_outlet_lag_records{outlet="slow"} 2.0' in page
        assert 'mask700_outlet_records_total{outlet="billing"} 2.0' in page
        assert 'mask700_outlet_up{outlet="billing"} 1.0' in page
        journal.write(record(3))
    assert place.ids() == place.ids("slow", "jsonl") == [1, 2, 3]  # told to stop, they give out what is left


async def test_killed_again_and_again_it_leaves_nothing_out(tmp_path: Path) -> None:
    place = Place(tmp_path)
    journal = Segments(place.records)
    child = OutletsChild(settings_in(tmp_path), again_seconds=0.01)
    number = 0
    async with running(child):
        for kill in range(6):
            await until(lambda: child.pid)
            pid = child.pid
            for _ in range(40):
                number += 1
                journal.write(record(number))
            if kill % 2:
                journal.next()
            await until(lambda: child.statuses[0].position and not child.statuses[0].error)
            await asyncio.sleep(0.25 * kill)  # somewhere in a file's second
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: child.pid not in (0, pid))  # type: ignore[misc]
        await until(lambda: delivered(child) == number)
    assert Counter(place.ids()) == Counter(range(1, number + 1))


async def test_a_control_process_that_is_gone_ends_it(tmp_path: Path) -> None:
    Segments(tmp_path / "records").write(record(1))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine.app.outlets_process"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(Orders.of(settings_in(tmp_path))) + b"\n")
    async with asyncio.timeout(20):
        report = msgspec.json.decode(await process.stdout.readline(), type=Report)
        assert [status.name for status in report.outlets] == ["billing"]
        process.stdin.close()
        assert await process.wait() == 0


async def test_one_at_a_time_moves_the_places(tmp_path: Path) -> None:
    Segments(tmp_path / "records").write(record(1))
    settings = settings_in(tmp_path)
    lock = OutletsLock(tmp_path / "outlets")
    assert lock.taken()
    child = OutletsChild(settings)
    async with running(child):
        await until(lambda: child.pid)
        await asyncio.sleep(0.5)
        assert child.statuses[0].error == "starting"
        with pytest.raises(Refused, match="starting"):
            await child.answer("outlets.reset", {"name": "billing", "to": "now"})
        lock.release()
        await until(lambda: delivered(child) == 1)


async def test_it_is_sent_elsewhere(tmp_path: Path) -> None:
    place = Place(tmp_path)
    journal = Segments(place.records)
    journal.write(record(1), record(2))
    child = OutletsChild(settings_in(tmp_path))

    async def reset(to: str, name: str = "billing") -> object:
        return await child.answer("outlets.reset", {"name": name, "to": to})

    async with running(child):
        await until(lambda: delivered(child) == 2)
        answer = await reset(str(journal.positions[0]))
        assert isinstance(answer, dict)
        assert answer["position"] == str(journal.positions[0])
        await until(lambda: delivered(child) == 3)
        await reset("beginning")
        await until(lambda: delivered(child) == 5)
        await reset("now")
        for to, name, why in (
            ("9:9:9", "billing", "no segment 9"),
            ("soon", "billing", "no position"),
            ("now", "other", "no outlet"),
        ):
            with pytest.raises(Refused, match=why):
                await reset(to, name)
        with pytest.raises(Refused, match="missing"):
            await child.answer("outlets.reset", {"name": "billing"})
        with pytest.raises(Refused, match="unknown op"):
            await child.answer("outlets.remove", {})
    assert place.ids() == [1, 2, 2, 1, 2]


@pytest.mark.parametrize(
    "script", ["raise SystemExit(3)", "print('no report', flush=True)\ninput()\ninput()"]
)
async def test_a_process_that_does_not_work_is_told_and_started_again(tmp_path: Path, script: str) -> None:
    child = OutletsChild(settings_in(tmp_path), 0.01, [sys.executable, "-c", script])
    pids = set()
    async with running(child):

        def again() -> bool:
            pids.add(child.pid)
            return len(pids - {0}) > 2

        await until(again)
        await until(lambda: "process of the outlets" in child.statuses[0].error)
        assert child.series()[catalogue.OUTLET_UP][("billing",)] == 0


async def test_without_outlets_there_is_no_process(tmp_path: Path) -> None:
    child = OutletsChild(Settings(data_dir=tmp_path))
    await child.run()
    assert (child.pid, await child.answer("outlets.list", {})) == (0, [])
    with pytest.raises(Refused, match="no outlet is configured"):
        await child.answer("outlets.reset", {"name": "billing", "to": "now"})
    await child.last()
