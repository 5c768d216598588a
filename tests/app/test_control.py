"""The control process, whole, over a signalling process that only plays one (a process of its own)."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.app.control import CannotStart, Control
from engine.app.control_socket import RefusedWith
from engine.app.link import LinkLost, Refused
from engine.app.unix_door import connect
from engine.settings import load_settings
from engine.stores.generations import current_generation
from tests.app.tables import ROOT, behave, row, write_config, write_table
from tests.records.samples import record
from tests.records.segments import Segments

FAKE = "tests.app.fake_signalling"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `python -m tests…` finds its module."""
    monkeypatch.chdir(ROOT)


class Running:
    """A control process in this one, with its `run` as a task."""

    def __init__(self, config: Path, port: int, *overrides: str) -> None:
        self.config = config
        self.port = port
        self.settings = load_settings(config, list(overrides))
        self.data_dir = self.settings.data_dir
        self.control = Control(config, list(overrides), self.settings, FAKE)
        self.task = asyncio.create_task(self.control.run())

    def behave(self, **behaviour: Any) -> None:
        behave(self.data_dir, **behaviour)

    def asked(self) -> list[dict[str, Any]]:
        """What the signalling process was asked so far."""
        path = self.data_dir / "fake.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    async def ask(self, op: str, **arguments: Any) -> Any:
        return await self.control.answer(op, arguments)

    async def signalling_pid(self) -> int:
        return int((await self.ask("stats"))["signalling_pid"])

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body over HTTP."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = (await asyncio.wait_for(reader.read(), 10)).decode()
        writer.close()
        await writer.wait_closed()
        head, _, body = answer.partition("\r\n\r\n")
        return int(head.split()[1]), body


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 15) -> None:
    """Wait for something that another process does."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    directory: Path, *overrides: str, with_table: bool = False, **behaviour: Any
) -> AsyncIterator[Running]:
    """From ready to stopped."""
    config, port = write_config(directory, None if with_table else "")
    behave(directory / "var", **behaviour)
    engine = Running(config, port, *overrides)

    async def ready_or_over() -> bool:
        return engine.task.done() or not await engine.control.why_not_ready()

    try:
        await until(ready_or_over)
        yield engine
    finally:
        await engine.ask("stop", now=True)
        with contextlib.suppress(CannotStart):
            await asyncio.wait_for(engine.task, 30)


async def test_the_first_start_loads_the_table_and_is_ready(tmp_path: Path) -> None:
    async with running(tmp_path, with_table=True) as engine:
        assert await engine.get("/readyz") == (200, "ok\n")
        assert current_generation(engine.data_dir) == "table-1.mdb"
        assert (engine.data_dir / "keys" / "lookup.key").stat().st_mode & 0o777 == 0o600
        stats = await engine.ask("stats")
        assert stats["ready"] is True
        assert stats["addresses"] == ["udp://127.0.0.1:5060"]
    assert engine.task.result() == 0
    assert not engine.settings.control_socket.exists()


async def test_the_second_start_keeps_the_table(tmp_path: Path) -> None:
    async with running(tmp_path, with_table=True):
        pass
    write_table(tmp_path / "bindings.csv", row(1))
    async with running(tmp_path, with_table=True) as engine:
        assert current_generation(engine.data_dir) == "table-1.mdb"


async def test_a_table_that_cannot_be_read_is_built_again(tmp_path: Path) -> None:
    async with running(tmp_path, with_table=True) as engine:
        pass
    (engine.data_dir / "bindings" / "table-1.mdb").write_bytes(b"broken")
    async with running(tmp_path, with_table=True) as engine:
        assert current_generation(engine.data_dir) == "table-2.mdb"


async def test_a_bad_table_at_the_first_start_is_no_start(tmp_path: Path) -> None:
    config, port = write_config(tmp_path)
    write_table(tmp_path / "bindings.csv", row(1), "nonsense\n")
    engine = Running(config, port)
    with pytest.raises(CannotStart, match="has 1 problem"):
        await engine.task


CARRIER = 'trunks.carrier={peers=["127.0.0.2"], next_hops=["udp://127.0.0.1:5091"], prefixes=["70010"]}'


async def test_numbers_that_became_a_carriers_are_no_start(tmp_path: Path) -> None:
    """Prefixes change with a restart only: the table that was good under the old ones is looked at again."""
    async with running(tmp_path, with_table=True) as engine:
        pass
    config = engine.config
    with pytest.raises(CannotStart, match="has 3 problems"):
        await Running(config, engine.port, CARRIER).task
    with pytest.raises(
        CannotStart, match=r"none is configured: its number 700100000010001 belongs to trunk carrier"
    ):
        await Running(config, engine.port, CARRIER, 'bindings.table=""').task
    assert current_generation(engine.data_dir) == "table-1.mdb"


async def test_a_reload_refuses_numbers_that_are_not_ours(tmp_path: Path) -> None:
    async with running(tmp_path, 'numbering.own_prefixes=["70010"]', with_table=True) as engine:
        write_table(tmp_path / "bindings.csv", row(1), row(2).replace("70010", "70020"))
        with pytest.raises(RefusedWith) as caught:
            await engine.ask("bindings.reload")
        assert caught.value.values["problems"] == [
            {"line": 3, "column": "x", "reason": "is outside numbering.own_prefixes"}
        ]
        assert current_generation(engine.data_dir) == "table-1.mdb"


async def test_no_table_at_all_is_a_start(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        assert current_generation(engine.data_dir) == ""
        with pytest.raises(Refused, match="no table is configured"):
            await engine.ask("bindings.reload")
        table = write_table(tmp_path / "bindings.csv", row(1))
        assert (await engine.ask("bindings.load", path=str(table))).added == 1


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [({"die_at_start": 3}, "ended with status 3"), ({"fail_at_start": "port taken"}, "port taken")],
)
async def test_a_signalling_process_that_does_not_come_up(
    tmp_path: Path, behaviour: dict[str, Any], why: str
) -> None:
    config, port = write_config(tmp_path, "")
    behave(tmp_path / "var", **behaviour)
    engine = Running(config, port)
    with pytest.raises(CannotStart, match=why):
        await engine.task


async def test_while_it_starts_it_is_alive_and_not_ready_and_can_be_stopped(tmp_path: Path) -> None:
    config, port = write_config(tmp_path, "")
    behave(tmp_path / "var", never_ready=True)
    engine = Running(config, port)

    async def started() -> bool:
        return bool(engine.settings.control_socket.exists() and await engine.signalling_pid())

    await until(started)
    assert (await engine.get("/livez"))[0] == 200
    assert await engine.get("/readyz") == (503, "starting\n")
    with pytest.raises(LinkLost, match="not running"):
        await engine.ask("trunks.list")
    await engine.ask("stop")
    assert await asyncio.wait_for(engine.task, 15) == 0


async def test_the_death_of_the_signalling_process_ends_the_engine_with_status_1(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        os.kill(await engine.signalling_pid(), signal.SIGKILL)
        assert await asyncio.wait_for(engine.task, 15) == 1


async def test_the_end_of_the_control_process_ends_the_signalling_process(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        pid = await engine.signalling_pid()
    assert engine.task.result() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_not_ready_while_records_cannot_be_written(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        engine.behave(stats={"journal_error": "No space left on device"})
        assert await engine.get("/readyz") == (503, "records cannot be written: No space left on device\n")
        engine.behave()
        assert (await engine.get("/readyz"))[0] == 200


async def test_a_signalling_process_that_hangs_is_not_ready_and_holds_up_nobody(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        assert "mask700_signalling_up 1.0" in (await engine.get("/metrics"))[1]
        pid = await engine.signalling_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            (readyz, why), (metrics, page), (livez, _) = await asyncio.gather(
                engine.get("/readyz"), engine.get("/metrics"), engine.get("/livez")
            )
            assert (readyz, metrics, livez) == (503, 200, 200)
            assert why == "signalling: no answer to stats in 1 s\n"
            assert "mask700_signalling_up 0.0" in page
            assert "mask700_calls_active 0.0" in page
        finally:
            os.kill(pid, signal.SIGCONT)

        async def ready() -> bool:
            return (await engine.get("/readyz"))[0] == 200

        await until(ready)


async def test_metrics_are_those_of_this_moment(tmp_path: Path) -> None:
    async with running(tmp_path, with_table=True, calls=3) as engine:
        assert "mask700_calls_active 3.0\n" in (await engine.get("/metrics"))[1]
        engine.behave(calls=4)
        page = (await engine.get("/metrics"))[1]
        assert "mask700_calls_active 4.0\n" in page
        assert 'mask700_binding_reloads_total{result="loaded"} 1.0\n' in page
        assert "mask700_signalling_process_resident_memory_bytes" in page


async def test_reload_and_load(tmp_path: Path) -> None:
    async with running(tmp_path, with_table=True) as engine:
        write_table(tmp_path / "bindings.csv", row(1), row(2), row(4))
        loaded = await engine.ask("bindings.reload")
        assert (loaded.added, loaded.changed, loaded.removed) == (1, 0, 1)
        assert {"op": "bindings.switch", "generation": loaded.generation} in engine.asked()
        other = write_table(tmp_path / "other.csv", row(9))
        assert (await engine.ask("bindings.load", path=str(other))).removed == 3
        with pytest.raises(Refused, match='"path" is missing'):
            await engine.ask("bindings.load")


async def test_a_bad_reload_names_its_rows(tmp_path: Path) -> None:
    async with running(tmp_path, with_table=True) as engine:
        write_table(tmp_path / "bindings.csv", row(1), row(1))
        with pytest.raises(RefusedWith) as caught:
            await engine.ask("bindings.reload")
        assert {problem["line"] for problem in caught.value.values["problems"]} == {3}
        assert current_generation(engine.data_dir) == "table-1.mdb"
        engine.behave(refuse={"bindings.switch": "cannot be opened"})
        write_table(tmp_path / "bindings.csv", row(1))
        with pytest.raises(RefusedWith, match="did not take the table: cannot be opened"):
            await engine.ask("bindings.reload")
        assert current_generation(engine.data_dir) == "table-1.mdb"


async def test_calls_come_in_pages(tmp_path: Path) -> None:
    async with running(tmp_path, calls=5) as engine:
        first = await engine.ask("calls.list", limit=3)
        assert [call["record_id"] for call in first["calls"]] == ["0", "1", "2"]
        second = await engine.ask("calls.list", limit=3, after=first["next"])
        assert [call["record_id"] for call in second["calls"]] == ["3", "4"]
        assert second["next"] is None
        for limit in (0, 1001, "x"):
            with pytest.raises(Refused, match="limit"):
                await engine.ask("calls.list", limit=limit)
        with pytest.raises(Refused, match="after must be the last next"):
            await engine.ask("calls.list", after="2")


async def test_the_log_level_changes_in_both_processes_or_in_none(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        try:
            assert (await engine.ask("log-level", level="debug"))["level"] == "debug"
            assert engine.asked()[-1] == {"op": "log-level", "level": "debug"}
            with pytest.raises(Refused, match="loud"):
                await engine.ask("log-level", level="loud")
            engine.behave(refuse={"log-level": "no"})
            with pytest.raises(Refused, match="no"):
                await engine.ask("log-level", level="error")
            assert (await engine.ask("stats"))["log_level"] == "debug"
        finally:
            engine.behave()
            await engine.ask("log-level", level="info")


async def test_other_questions(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        assert await engine.ask("trunks.list") == [{"name": "pstn", "enabled": True}]
        assert set(await engine.ask("version")) == {"version", "python", "rooms"}
        with pytest.raises(Refused, match="unknown op"):
            await engine.ask("bindings.add")


async def test_what_concerns_one_call_or_trunk_is_asked_of_the_signalling_process(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        for op, wanted in (("calls.show", "call"), ("calls.end", "call"), ("trunks.enable", "name")):
            with pytest.raises(Refused, match=f'"{wanted}" is missing'):
                await engine.ask(op)
        await engine.ask("calls.show", call="x")
        await engine.ask("calls.end", call="x")
        await engine.ask("trunks.disable", name="pstn")
        await engine.ask("trunks.enable", name="pstn")
        assert [one for one in engine.asked() if one["op"] != "stats"] == [
            {"op": "calls.show", "call": "x"},
            {"op": "calls.end", "call": "x"},
            {"op": "trunks.set", "name": "pstn", "enabled": False},
            {"op": "trunks.set", "name": "pstn", "enabled": True},
        ]


async def test_draining_ends_readiness_and_not_the_engine(tmp_path: Path) -> None:
    async with running(tmp_path, calls=2) as engine:
        assert await engine.ask("drain") == {"draining": True, "calls_active": 2}
        assert await engine.get("/readyz") == (503, "draining\n")
        assert not engine.task.done()


async def test_a_stop_waits_for_the_last_call(tmp_path: Path) -> None:
    async with running(tmp_path, calls=1) as engine:
        await engine.ask("stop")

        async def counted_twice() -> bool:
            return [entry["op"] for entry in engine.asked()].count("stats") >= 4

        await until(counted_twice)
        assert not engine.task.done()
        engine.behave(calls=0)
        assert await asyncio.wait_for(engine.task, 15) == 0
        ops = [entry["op"] for entry in engine.asked()]
        assert ops.index("drain") < ops.index("stop")


async def test_a_drain_has_an_end(tmp_path: Path) -> None:
    async with running(tmp_path, "control.drain_timeout_s=1", calls=1) as engine:
        await engine.ask("stop")
        assert await asyncio.wait_for(engine.task, 15) == 0


async def test_two_engines_never_share_a_data_directory(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        second = Running(engine.config, engine.port)
        with pytest.raises(CannotStart, match="belongs to a running engine"):
            await second.task
        assert engine.settings.control_socket.exists()


async def test_an_http_address_that_is_taken(tmp_path: Path) -> None:
    config, port = write_config(tmp_path)
    with socket.create_server(("127.0.0.1", port)):
        engine = Running(config, port)
        with pytest.raises(
            CannotStart, match=rf"control\.listen 127\.0\.0\.1:{port}: Address already in use"
        ):
            await engine.task


async def test_an_operator_reaches_it_over_the_socket(tmp_path: Path) -> None:
    async with running(tmp_path, with_table=True) as engine:
        reader, writer = await asyncio.open_unix_connection(sock=connect(engine.settings.control_socket, 5))
        writer.write(b'{"op":"bindings.reload"}\n')
        answer = json.loads(await asyncio.wait_for(reader.readline(), 30))
        assert answer["ok"] is True
        assert answer["result"]["rows"] == 3
        writer.close()
        await writer.wait_closed()


async def test_outlets_are_asked_and_counted_and_no_matter_of_readiness(tmp_path: Path) -> None:
    async with running(tmp_path, "outlets.billing.rotate_s=1") as engine:

        async def working() -> bool:
            return bool((await engine.ask("outlets.list"))[0]["error"] == "")

        await until(working)
        journal = Segments(engine.data_dir / "records")
        journal.write(record(1))

        async def failing() -> bool:
            return (
                "does not open" in (await engine.ask("outlets.list"))[0]["error"]
            )  # the journal's are others

        await until(failing)
        assert await engine.get("/readyz") == (200, "ok\n")
        _, page = await engine.get("/metrics")
        assert 'mask700_outlet_up{outlet="billing"} 0.0' in page
        assert 'mask700_outlet_lag_records{outlet="billing"} 1.0' in page
        assert (await engine.ask("outlets.reset", name="billing", to="now"))["lag_records"] == 0
        await until(working)
