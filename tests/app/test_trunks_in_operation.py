"""A real engine, both processes, between real sockets: trunks that go down, are disabled, and change by a reload."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.app.unix_door import connect
from tests.app.carrier import HOST, PATIENCE_S, Phone, header
from tests.app.tables import ROOT, row, write_table
from tests.transport.core import free_port

X = "700100000010001"
A = "13800000001"


class Running:
    """`mask700 serve` with one trunk, `pstn`: whoever is here may call, and is called at its next hops."""

    def __init__(self, process: asyncio.subprocess.Process, config: Path, port: int, log: Path) -> None:
        self.process = process
        self.config = config
        self.port = port
        self.log = log

    async def ask(self, op: str, **arguments: Any) -> Any:
        """As the commands do."""
        door = connect(self.config.parent / "var/control.sock", PATIENCE_S)
        reader, writer = await asyncio.open_unix_connection(sock=door)
        writer.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
        answer = json.loads(await asyncio.wait_for(reader.readline(), PATIENCE_S))
        writer.close()
        await writer.wait_closed()
        assert answer["ok"], answer
        return answer["result"]

    async def trunk(self) -> dict[str, Any]:
        (trunk,) = await self.ask("trunks.list")
        return dict(trunk)

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Waits for a state of the trunk."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(trunk := await self.trunk()):
                await asyncio.sleep(0.05)
        return trunk

    async def said(self, event: str, count: int = 1) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                lines = [json.loads(line) for line in self.log.read_text().splitlines()]
                found = [line for line in lines if line["event"] == event]
                if len(found) >= count:
                    return dict(found[count - 1])
                await asyncio.sleep(0.05)

    def reload(self, *changes: tuple[str, str]) -> None:
        text = self.config.read_text()
        for before, after in changes:
            assert before in text
            text = text.replace(before, after)
        self.config.write_text(text)
        self.process.send_signal(signal.SIGHUP)


@asynccontextmanager
async def running(directory: Path, *hops: str, trunk: str = "", notify: str = "") -> AsyncIterator[Running]:
    table = write_table(directory / "bindings.csv", row(1))
    port, http = free_port(), free_port()
    config = directory / "engine.toml"
    config.write_text(f"""\
data_dir = "{directory / "var"}"
[sip]
listen = ["udp://{HOST}:{port}"]
[calls]
first_response_s = 1
[control]
listen = "{HOST}:{http}"
[bindings]
table = "{table}"
[[trunks]]
name = "pstn"
peers = ["{HOST}"]
next_hops = {json.dumps(hops)}
prefixes = [""]
trust_identity = true
{trunk}
""")
    log = directory / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "engine.cli.main", "serve", "--config", str(config)),
            cwd=ROOT,
            stderr=output,
            env={**os.environ, "NOTIFY_SOCKET": notify},
        )
    engine = Running(process, config, port, log)
    try:
        await engine.said("ready")
        yield engine
    finally:
        try:
            if process.returncode is None:
                await engine.ask("stop", now=True)
            await asyncio.wait_for(process.wait(), PATIENCE_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.fixture
async def phones() -> AsyncIterator[Callable[[], Awaitable[Phone]]]:
    made: list[Phone] = []

    async def phone() -> Phone:
        made.append(await Phone.at())
        return made[-1]

    yield phone
    for one in made:
        one.close()


Phones = Callable[[], Awaitable[Phone]]


@pytest.mark.slow
async def test_a_next_hop_that_falls_silent_takes_no_calls_until_it_answers(
    tmp_path: Path, phones: Phones
) -> None:
    hop, caller = await phones(), await phones()
    probing = "probe_interval_s = 1\nprobe_down_after = 2"
    async with running(tmp_path, f"udp://{HOST}:{hop.port}", trunk=probing) as engine:
        await hop.hears("OPTIONS ")
        hop.react = lambda request: 0
        await engine.until(lambda trunk: trunk["state"] == "down")
        down = await engine.said("a next hop is down: calls pass it over until it answers")
        assert (down["next_hop"], down["answer"]) == (f"udp://{HOST}:{hop.port}", "timeout")
        caller.invite(engine.port, "one", A, X)
        refused = await caller.hears("SIP/2.0 500")  # at once: nobody waits for a dead hop
        assert header(refused, "Reason") == "Q.850;cause=38"
        assert not [text for text in hop.heard if text.startswith("INVITE ")]
        hop.react = lambda request: 405 if request.startswith("OPTIONS ") else 200
        await engine.until(lambda trunk: trunk["state"] == "up")
        await engine.said("a next hop is up again")
        caller.invite(engine.port, "two", A, X)
        caller.acknowledge(engine.port, await caller.hears("SIP/2.0 200"))
        await hop.hears("ACK ")


@pytest.mark.slow
async def test_a_disabled_trunk_drains_and_a_call_is_shown_and_ended(tmp_path: Path, phones: Phones) -> None:
    hop, caller = await phones(), await phones()
    async with running(tmp_path, f"udp://{HOST}:{hop.port}") as engine:
        caller.invite(engine.port, "up", A, X)
        caller.acknowledge(engine.port, await caller.hears("SIP/2.0 200"))
        invited = await hop.hears("INVITE ")
        await hop.hears("ACK ")
        trunk = await engine.ask("trunks.disable", name="pstn")
        assert (trunk["state"], trunk["calls_in"], trunk["calls_out"]) == ("draining", 1, 1)
        caller.invite(engine.port, "refused", A, X)
        assert header(await caller.hears("SIP/2.0 403"), "Reason") == "Q.850;cause=21"
        engine.reload()  # an operator's word stands whatever the file says
        await engine.said("configuration reloaded")
        assert (await engine.trunk())["state"] == "draining"
        shown = await engine.ask("calls.show", call="up")
        assert (shown["state"], shown["caller"]) == ("talking", "138****0001")
        assert shown["legs"]["callee"]["call_id"] == header(invited, "Call-ID")
        assert (await engine.ask("calls.end", call=shown["record_id"]))["ended"] is True
        await hop.hears("BYE ")
        await caller.hears("BYE ")
        await engine.until(lambda trunk: trunk["state"] == "disabled")
        await engine.ask("trunks.enable", name="pstn")
        caller.invite(engine.port, "again", A, X)
        caller.acknowledge(engine.port, await caller.hears("SIP/2.0 200", 2))


@pytest.mark.slow
async def test_a_reload_changes_trunks_under_calls(tmp_path: Path, phones: Phones) -> None:
    """The call goes on; who was a peer is none any more, or another trunk's, from the next message on."""
    hop, other, caller = await phones(), await phones(), await phones()
    async with running(tmp_path, f"udp://{HOST}:{hop.port}") as engine:
        caller.invite(engine.port, "up", A, X)
        caller.acknowledge(engine.port, await caller.hears("SIP/2.0 200"))
        await hop.hears("ACK ")
        engine.reload((f':{hop.port}"', f':{other.port}"'), (f'peers = ["{HOST}"]', 'peers = ["127.9.9.9"]'))
        reloaded = await engine.said("configuration reloaded")
        assert reloaded["changed"] == ["trunks.pstn.next_hops", "trunks.pstn.peers"]
        caller.invite(engine.port, "stranger", A, X)
        await caller.hears("SIP/2.0 403")
        assert (await engine.ask("stats"))["signalling"]["calls_active"] == 1
        engine.reload(('name = "pstn"', 'name = "new"'), ('peers = ["127.9.9.9"]', f'peers = ["{HOST}"]'))
        await engine.said("configuration reloaded", 2)
        caller.invite(engine.port, "next", A, X)
        caller.acknowledge(engine.port, await caller.hears("SIP/2.0 200", 2))
        await other.hears("INVITE ")
        (trunk,) = await engine.ask("trunks.list")
        assert (trunk["name"], trunk["calls_in"], trunk["calls_out"]) == ("new", 1, 1)
        assert (await engine.ask("calls.show", call="next"))["in_trunk"] == "new"
        assert (await engine.ask("calls.show", call="up"))["in_trunk"] == "pstn"


@pytest.mark.slow
async def test_a_large_invite_goes_over_tcp_and_over_udp_where_that_is_refused(
    tmp_path: Path, phones: Phones
) -> None:
    hop, caller = await phones(), await phones()
    more = "".join(f"a=rtpmap:{kind} PCMA/8000\r\n" for kind in range(30, 96))
    async with running(tmp_path, f"udp://{HOST}:{hop.port}") as engine:
        caller.invite(engine.port, "refused", A, X, more)
        invited = await hop.hears("INVITE ")
        assert len(invited) > 1300
        assert header(invited, "Via").startswith("SIP/2.0/UDP ")
        heard: asyncio.Queue[str] = asyncio.Queue()

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.put_nowait((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.close()

        server = await asyncio.start_server(accepted, HOST, hop.port)
        await asyncio.sleep(0.15)  # a refusal is remembered for a moment
        caller.invite(engine.port, "taken", A, X, more)
        over_tcp = await asyncio.wait_for(heard.get(), PATIENCE_S)
        assert over_tcp.startswith("INVITE ")
        assert header(over_tcp, "Via").startswith("SIP/2.0/TCP ")
        server.close()


@pytest.mark.slow
async def test_a_drain_lets_calls_end_and_a_second_signal_does_not(tmp_path: Path, phones: Phones) -> None:
    hop, caller = await phones(), await phones()
    async with running(tmp_path, f"udp://{HOST}:{hop.port}") as engine:
        caller.invite(engine.port, "up", A, X)
        caller.acknowledge(engine.port, await caller.hears("SIP/2.0 200"))
        await hop.hears("ACK ")
        engine.process.send_signal(signal.SIGTERM)
        await engine.said("draining")
        caller.invite(engine.port, "late", A, X)
        assert header(await caller.hears("SIP/2.0 503"), "Retry-After") == "5"
        assert engine.process.returncode is None
        engine.process.send_signal(signal.SIGTERM)
        await caller.hears("BYE ")
        await hop.hears("BYE ")
        assert await asyncio.wait_for(engine.process.wait(), PATIENCE_S) == 0


@pytest.mark.slow
async def test_a_broken_connection_fails_over_at_once_and_is_made_again(
    tmp_path: Path, phones: Phones
) -> None:
    hop, caller = await phones(), await phones()
    gate = free_port()
    async with running(tmp_path, f"tcp://{HOST}:{gate}", f"udp://{HOST}:{hop.port}") as engine:
        begun = asyncio.get_running_loop().time()
        caller.invite(engine.port, "one", A, X)
        await hop.hears("INVITE ")
        assert asyncio.get_running_loop().time() - begun < 1.0  # before first_response_s
        connected: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connected.put_nowait((reader, writer))

        server = await asyncio.start_server(accepted, HOST, gate)
        reader, writer = await asyncio.wait_for(connected.get(), PATIENCE_S)  # without any call
        caller.invite(engine.port, "two", A, X)
        assert (await asyncio.wait_for(reader.readline(), PATIENCE_S)).startswith(b"INVITE ")
        assert connected.empty()  # the connection that stood was used
        server.close()
        writer.close()
        await writer.wait_closed()


@pytest.mark.slow
async def test_the_service_manager_hears_of_start_reload_and_stop(tmp_path: Path, phones: Phones) -> None:
    hop = await phones()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)

        async def told() -> str:
            loop = asyncio.get_running_loop()
            return (await asyncio.wait_for(loop.sock_recv(manager, 1000), PATIENCE_S)).decode()

        notify = str(tmp_path / "notify")
        async with running(tmp_path, f"udp://{HOST}:{hop.port}", notify=notify) as engine:
            assert await told() == "READY=1"
            engine.reload(("first_response_s = 1", "first_response_s = 2"))
            assert (await told()).startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert await told() == "READY=1"
            engine.reload(("first_response_s = 2", "first_response_s = 0"))  # a mistake: it goes on as it was
            assert (await told()).startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert await told() == "READY=1"
            refused = await engine.said("configuration: not reloaded")
            assert "calls.first_response_s: must be 1 to 32" in refused["problem"]
            await engine.ask("drain")
            engine.process.send_signal(signal.SIGHUP)  # whoever drains it may still change it
            assert (await told()).startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert await told() == "READY=1"
            engine.process.send_signal(signal.SIGTERM)
            assert await told() == "STOPPING=1"
            assert await asyncio.wait_for(engine.process.wait(), PATIENCE_S) == 0
