"""`serve` as a process: what it does on signals, and what its log says."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from engine.stores.generations import current_generation
from tests.app.tables import ROOT, behave, row, write_config, write_table

PROGRAM = """
import sys
from pathlib import Path
from engine.app.control import serve
from engine.settings import load_settings
config, *overrides = sys.argv[1:]
settings = load_settings(Path(config), overrides)
sys.exit(serve(Path(config), overrides, settings, "tests.app.fake_signalling"))
"""


class Served:
    def __init__(self, process: asyncio.subprocess.Process, data_dir: Path) -> None:
        self.process = process
        self.data_dir = data_dir

    async def said(self, event: str) -> dict[str, Any]:
        """The next log line of this event."""
        assert self.process.stderr is not None
        async with asyncio.timeout(30):
            while line := await self.process.stderr.readline():
                entry = dict(json.loads(line))
                if entry["event"] == event:
                    return entry
        raise AssertionError(f"{event} was never said")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def status(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 30)


@asynccontextmanager
async def served(
    directory: Path, notify: str = "", with_table: bool = False, watchdog_s: float = 0, **behaviour: Any
) -> AsyncIterator[Served]:
    config, _ = write_config(directory, None if with_table else "")
    behave(directory / "var", **behaviour)
    environment = {**os.environ, "NOTIFY_SOCKET": notify}
    if watchdog_s:
        environment["WATCHDOG_USEC"] = str(round(watchdog_s * 1e6))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(config)),
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    try:
        yield Served(process, directory / "var")
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_signal_drains_and_stops(tmp_path: Path) -> None:
    async with served(tmp_path, calls=1) as engine:
        ready = await engine.said("ready")
        os.killpg(engine.process.pid, signal.SIGTERM)  # a terminal and systemd tell both processes
        await engine.said("draining")
        os.kill(ready["signalling_pid"], 0)
        behave(engine.data_dir, calls=0)
        await engine.said("stopped")
        assert await engine.status() == 0


async def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    async with served(tmp_path, calls=1) as engine:
        await engine.said("ready")
        engine.signal(signal.SIGTERM)
        await engine.said("draining")
        engine.signal(signal.SIGTERM)
        await engine.said("stopping at once: told twice")
        assert await engine.status() == 0


async def test_hang_up_takes_over_what_it_can_and_names_the_rest(tmp_path: Path) -> None:
    async with served(tmp_path, with_table=True) as engine:
        await engine.said("ready")
        config = tmp_path / "engine.toml"
        text = config.read_text().replace(
            "[sip]", '[log]\nlevel = "debug"\n[sip]\nt1_ms = 100\nmax_calls = 7'
        )
        config.write_text(text.replace('prefixes = [""]', 'prefixes = ["", "7009"]\nmax_calls = 9'))
        write_table(tmp_path / "bindings.csv", row(1))
        engine.signal(signal.SIGHUP)
        loaded = await engine.said("table loaded")
        assert (loaded["rows"], loaded["removed"]) == (1, 2)
        assert (await engine.said("these changes need a restart"))["keys"] == ["sip.t1_ms"]
        assert (await engine.said("configuration reloaded"))["changed"] == [
            *("log.level", "sip.max_calls", "trunks.pstn.max_calls", "trunks.pstn.prefixes")
        ]
        asked = [json.loads(line) for line in (engine.data_dir / "fake.log").read_text().splitlines()]
        assert {"op": "log-level", "level": "debug"} in asked
        (applied,) = [one["settings"] for one in asked if one["op"] == "settings.apply"]
        assert (applied["max_calls"], applied["trunks"][0]["max_calls"]) == (7, 9)
        engine.signal(signal.SIGHUP)  # what needs a restart is named until there is one
        assert (await engine.said("these changes need a restart"))["keys"] == ["sip.t1_ms"]
        assert (await engine.said("configuration reloaded"))["changed"] == []


async def test_hang_up_with_any_mistake_changes_nothing_and_names_each(tmp_path: Path) -> None:
    async with served(tmp_path, with_table=True) as engine:
        await engine.said("ready")
        good = (tmp_path / "engine.toml").read_text()
        (tmp_path / "engine.toml").write_text(good + "nonsense = 1\nmax_calls = -1\n")
        write_table(tmp_path / "bindings.csv", row(1))
        engine.signal(signal.SIGHUP)
        problems = [(await engine.said("configuration: not reloaded"))["problem"] for _ in range(2)]
        assert "unknown key" in problems[0]
        assert "trunks.pstn.max_calls" in problems[1]
        (tmp_path / "engine.toml").write_text(good + 'username = "u"\npassword_file = "/nowhere"\n')
        engine.signal(signal.SIGHUP)
        unreadable = (await engine.said("configuration: not reloaded"))["problem"]
        assert unreadable == "trunks.pstn.password_file: /nowhere: No such file or directory"
        (tmp_path / "engine.toml").write_text(good.replace('prefixes = [""]', 'prefixes = ["", "70010"]'))
        engine.signal(signal.SIGHUP)  # the table's numbers would be that carrier's
        assert "belongs to trunk pstn" in (await engine.said("bad row"))["reason"]
        await engine.said("everything stays as it was")
        (tmp_path / "engine.toml").write_text(good + "max_calls = 9\n")
        write_table(tmp_path / "bindings.csv", row(1), "nonsense\n")
        engine.signal(signal.SIGHUP)
        assert (await engine.said("bad row"))["line"] == 3
        await engine.said("everything stays as it was")
        assert current_generation(engine.data_dir) == "table-1.mdb"
        assert not (engine.data_dir / "fake.log").exists()  # it was asked nothing


async def test_what_fits_the_new_configuration_but_not_what_runs_changes_nothing(tmp_path: Path) -> None:
    """Where it listens needs a restart; until then the new next hop would be the engine itself."""
    async with served(tmp_path) as engine:
        await engine.said("ready")
        config = tmp_path / "engine.toml"
        config.write_text(config.read_text().replace(":5062", ":5063").replace(":5090", ":5062"))
        engine.signal(signal.SIGHUP)
        refused = await engine.said("configuration: not reloaded")
        assert "is the engine itself" in refused["problem"]
        assert not (engine.data_dir / "fake.log").exists()  # it was asked nothing


async def test_prefixes_change_only_with_the_table_that_is_in_force(tmp_path: Path) -> None:
    async with served(tmp_path, with_table=True) as engine:
        await engine.said("ready")
        config = tmp_path / "engine.toml"
        text = config.read_text().replace(f'table = "{tmp_path / "bindings.csv"}"', 'table = ""')
        config.write_text(text.replace('prefixes = [""]', 'prefixes = ["", "70010"]'))
        engine.signal(signal.SIGHUP)
        assert "belongs to trunk pstn" in (await engine.said("everything stays as it was"))["why"]
        config.write_text(text.replace('prefixes = [""]', 'prefixes = ["", "7002"]'))
        engine.signal(signal.SIGHUP)
        reloaded = await engine.said("configuration reloaded")
        assert reloaded["changed"] == ["bindings.table", "trunks.pstn.prefixes"]


async def test_a_signalling_process_that_refuses_leaves_the_settings(tmp_path: Path) -> None:
    async with served(tmp_path, refuse={"settings.apply": "no"}) as engine:
        await engine.said("ready")
        config = tmp_path / "engine.toml"
        config.write_text(config.read_text() + "max_calls = 3\n")
        engine.signal(signal.SIGHUP)
        assert (await engine.said("the signalling process did not take the configuration"))["why"] == "no"
        behave(engine.data_dir)
        engine.signal(signal.SIGHUP)
        assert (await engine.said("configuration reloaded"))["changed"] == ["trunks.pstn.max_calls"]


async def test_the_death_of_the_signalling_process_is_said(tmp_path: Path) -> None:
    async with served(tmp_path) as engine:
        os.kill((await engine.said("ready"))["signalling_pid"], signal.SIGKILL)
        assert (await engine.said("the signalling process died"))["status"] == -9
        assert await engine.status() == 1


async def test_the_death_of_the_control_process_ends_the_signalling_process(tmp_path: Path) -> None:
    async with served(tmp_path) as engine:
        pid = (await engine.said("ready"))["signalling_pid"]
        watched = os.pidfd_open(pid)
        try:
            engine.signal(signal.SIGKILL)
            ended = asyncio.Event()
            asyncio.get_running_loop().add_reader(watched, ended.set)
            await asyncio.wait_for(ended.wait(), 15)
            asyncio.get_running_loop().remove_reader(watched)
        finally:
            os.close(watched)


async def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    async with served(tmp_path, fail_at_start="udp://127.0.0.1:5060: Address already in use") as engine:
        assert (await engine.said("cannot start"))["why"] == "udp://127.0.0.1:5060: Address already in use"
        assert await engine.status() == 1


async def test_bad_rows_at_the_first_start_are_named_and_no_number_is_said(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path)
    write_table(tmp_path / "bindings.csv", row(1), row(2).replace("both", "13800000001"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(config)), stderr=asyncio.subprocess.PIPE, cwd=ROOT
    )
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    (bad,) = [entry for entry in map(json.loads, said.splitlines()) if entry["event"] == "bad row"]
    assert (bad["line"], bad["column"]) == (3, "direction")
    assert b"13800000001" not in said


async def test_the_service_manager_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        loop = asyncio.get_running_loop()

        async def told() -> bytes:
            return await asyncio.wait_for(loop.sock_recv(manager, 1000), 30)

        async with served(tmp_path, notify=str(tmp_path / "notify"), with_table=True) as engine:
            assert await told() == b"READY=1"
            engine.signal(signal.SIGHUP)
            assert (await told()).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert await told() == b"READY=1"
            engine.signal(signal.SIGTERM)
            assert await told() == b"STOPPING=1"
            assert await engine.status() == 0


async def test_signs_of_life_stop_with_the_signalling_process(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        loop = asyncio.get_running_loop()

        async def told(seconds: float = 30) -> bytes:
            return await asyncio.wait_for(loop.sock_recv(manager, 1000), seconds)

        async with served(tmp_path, notify=str(tmp_path / "notify"), watchdog_s=0.6) as engine:
            ready = await engine.said("ready")
            assert await told() == b"READY=1"
            assert [await told() for _ in range(3)] == [b"WATCHDOG=1"] * 3
            os.kill(ready["signalling_pid"], signal.SIGSTOP)
            try:
                on_their_way = 0
                with contextlib.suppress(TimeoutError):
                    while await told(1.2):
                        on_their_way += 1
                assert on_their_way < 3
            finally:
                os.kill(ready["signalling_pid"], signal.SIGCONT)
            assert await told() == b"WATCHDOG=1"
            engine.signal(signal.SIGTERM)
            while (said := await told()) == b"WATCHDOG=1":
                pass
            assert said == b"STOPPING=1"
            assert await engine.status() == 0
