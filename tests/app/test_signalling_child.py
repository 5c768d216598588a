"""The signalling process as the control process holds it, played by a fake in a process of its own."""

import os
from pathlib import Path

import pytest

from engine.app.link import LinkLost
from engine.app.signalling_child import NotStarted, SignallingChild
from tests.app.tables import ROOT, behave, write_config

FAKE = "tests.app.fake_signalling"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `python -m tests…` finds its module."""
    monkeypatch.chdir(ROOT)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_started_asked_and_stopped(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path)
    behave(tmp_path / "var", calls=2)
    child = SignallingChild(config, [], FAKE)
    assert (child.pid, child.is_ready) == (0, False)
    await child.start()
    pid = child.pid
    assert child.is_ready
    assert child.addresses == ["udp://127.0.0.1:5060"]
    assert (await child.ask("stats"))["calls_active"] == 2
    assert await child.stop() == 0
    assert gone(pid)
    assert (child.pid, child.is_ready) == (0, False)
    with pytest.raises(LinkLost, match="not running"):
        await child.ask("stats")


async def test_the_overrides_reach_it(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path)
    behave(tmp_path / "elsewhere", calls=7)
    child = SignallingChild(config, [f'data_dir="{tmp_path / "elsewhere"}"'], FAKE)
    await child.start()
    assert (await child.ask("stats"))["calls_active"] == 7
    await child.stop()


async def test_one_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path)
    behave(tmp_path / "var", never_ready=True)
    child = SignallingChild(config, [], FAKE, start_seconds=0.5)
    with pytest.raises(NotStarted, match=r"not ready in 0\.5 s"):
        await child.start()
    assert child.exited.done()


async def test_one_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path)
    behave(tmp_path / "var", ignore_stop=True)
    child = SignallingChild(config, [], FAKE, stop_seconds=0.1)
    await child.start()
    pid = child.pid
    assert await child.stop() == -9
    assert gone(pid)


async def test_one_that_ends_by_itself(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path)
    behave(tmp_path / "var")
    child = SignallingChild(config, [], FAKE)
    await child.start()
    os.kill(child.pid, 9)
    assert await child.exited == -9
    assert await child.stop() == -9
