"""A call over real sockets, seen by a collector and kept in the trace."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncio_dgram
import pytest

from engine.app.link import Refused
from engine.app.signalling import Signalling
from engine.app.watching import sealed_context
from engine.observe.catalogue import CAPTURED
from engine.observe.ladder import draw
from engine.routing.number_plan import NumberPlan
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens
from engine.settings import Settings, load_settings
from engine.stores.generations import switch_current
from engine.stores.table_build import build_table
from tests.app.tables import free_port, row, write_config, write_table
from tests.observe.hep_receiver import Collector

A, B, X = "13800000001", "13900000002", "700100000010001"
MESSAGES = 11  # of a call, both legs: INVITE, 200, ACK, BYE, 200 twice, and a 100
OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n"


class Phone:
    """A socket that answers what it is told to, and waits for what it expects."""

    def __init__(self, stream: asyncio_dgram.DatagramServer, engine: tuple[str, int]) -> None:
        self.stream = stream
        self.engine = engine

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.stream.sockname[1]}"

    async def expect(self, start: str) -> str:
        async with asyncio.timeout(10):
            while True:
                data, _ = await self.stream.recv()
                text = data.decode()
                if text.startswith(start):
                    return text

    async def send(self, start: str, lines: str, body: str = "") -> None:
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = f"{start}\r\n{lines}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        await self.stream.send(text.encode(), self.engine)

    async def answer(self, request: str, start: str, body: str = "") -> None:
        copied = "".join(
            f"{line}\r\n" for line in request.split("\r\n") if re.match("(Via|From|To|Call-ID|CSeq):", line)
        )
        copied = re.sub(r"(To: [^\r;]*)\r\n", r"\1;tag=callee\r\n", copied)
        await self.send(start, f"{copied}Contact: <sip:phone@{self.address}>\r\n", body)


class Lab:
    def __init__(self, signalling: Signalling, settings: Settings, caller: Phone, callee: Phone) -> None:
        self.signalling = signalling
        self.settings = settings
        self.caller = caller
        self.callee = callee

    def serve(self, op: str, **arguments: object) -> Any:
        return self.signalling.serve(op, arguments)

    async def all_kept(self) -> Any:
        """What the trace lists once the callee's answer to the BYE has come too."""
        async with asyncio.timeout(10):
            while (listed := self.serve("trace.list"))["calls"][0]["messages"] < MESSAGES:
                await asyncio.sleep(0.01)
        return listed

    async def call(self, name: str = "a-leg") -> None:
        """A dials X, B answers, A hangs up."""
        caller, callee = self.caller, self.callee

        def head(method: str, cseq: int, tag: str = "") -> str:
            return (
                f"Via: SIP/2.0/UDP {caller.address};branch=z9hG4bK{name}{method}{cseq}\r\nMax-Forwards: 70\r\n"
                f"From: <sip:{A}@127.0.0.1>;tag=caller\r\nTo: <sip:{X}@127.0.0.1>{tag}\r\n"
                f"Call-ID: {name}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{A}@{caller.address}>\r\n"
            )

        await caller.send(f"INVITE sip:{X}@127.0.0.1 SIP/2.0", head("INVITE", 1), OFFER)
        invite = await callee.expect("INVITE ")
        await callee.answer(invite, "SIP/2.0 200 OK", OFFER)
        ok = await caller.expect("SIP/2.0 200")
        found = re.search(r"To: .*(;tag=\S+)", ok)
        assert found is not None
        await caller.send(f"ACK sip:{X}@127.0.0.1 SIP/2.0", head("ACK", 1, found[1]))
        await callee.expect("ACK ")
        await caller.send(f"BYE sip:{X}@127.0.0.1 SIP/2.0", head("BYE", 2, found[1]))
        await callee.answer(await callee.expect("BYE "), "SIP/2.0 200 OK")
        await caller.expect("SIP/2.0 200")


@asynccontextmanager
async def lab(directory: Path, *overrides: str) -> AsyncIterator[Lab]:
    port = free_port()
    callee = await asyncio_dgram.bind(("127.0.0.1", 0))
    caller = await asyncio_dgram.bind(("127.0.0.1", 0))
    table = write_table(directory / "bindings.csv", row(1))
    config, _ = write_config(directory, str(table))
    settings = load_settings(
        config,
        [
            f'sip.listen=["udp://127.0.0.1:{port}"]',
            f'trunks.pstn.next_hops=["udp://127.0.0.1:{callee.sockname[1]}"]',
            "trunks.pstn.trust_identity=true",
            *overrides,
        ],
    )
    ring = KeyRing.open(settings.sealing.directory(settings.data_dir), {})
    ours = NumberPlan(["700"], []).fault
    built = build_table(settings.data_dir, table, Sealer(ring), LookupTokens(ring.lookup), 0.0, ours)
    switch_current(settings.data_dir, built.generation)
    signalling = Signalling(settings, asyncio.get_running_loop())
    await signalling.start()
    try:
        engine = ("127.0.0.1", port)
        yield Lab(signalling, settings, Phone(caller, engine), Phone(callee, engine))
    finally:
        signalling.stop()
        await signalling.run_until_stopped()
        for stream in (caller, callee):
            stream.close()
        await asyncio.sleep(0)


def captured(here: Lab) -> dict[str, int]:
    """The capture's counter, by result."""
    counters = here.serve("metrics")["counters"]
    return {
        label: count for name, labels, count in counters if name == CAPTURED and count for label in labels
    }


async def test_both_legs_of_a_call_reach_the_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASK700_HEP_PASSWORD", "from the environment")
    collector = await Collector.open()
    async with lab(tmp_path, f'capture.hep="udp://127.0.0.1:{collector.port}"', 'node="n1"') as here:
        await here.call()
        packets = list(await collector.wait_for(MESSAGES))
        async with asyncio.timeout(10):
            while captured(here) != {"sent": MESSAGES}:  # the sender tells once a second
                await asyncio.sleep(0.05)
    await collector.close()
    starts = sorted(packet.start for packet in packets)
    assert [start for start in starts if start.startswith("INVITE")] == [
        "INVITE sip:139****0002@" + here.callee.address + " SIP/2.0",
        f"INVITE sip:{X}@127.0.0.1 SIP/2.0",
    ]
    assert {len(packet.correlation) for packet in packets} == {16}
    assert len({packet.correlation for packet in packets}) == 1
    call_ids = {re.search(r"Call-ID: (\S+)", packet.text)[1] for packet in packets}  # type: ignore[index]
    assert len(call_ids) == 2
    assert {packet.chunks[14] for packet in packets} == {b"from the environment"}
    assert {packet.chunks[19] for packet in packets} == {b"n1"}
    assert not any(number in octets for octets in collector.octets for number in (A.encode(), B.encode()))


async def test_a_chosen_numbers_call_is_drawn_while_it_is_kept(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        await here.call("unseen")
        assert here.serve("trace.add", number=B, seconds=60) == {"number": "139****0002", "seconds": 60}
        await here.call()
        listed = await here.all_kept()
        (kept,) = listed["calls"]
        assert listed["numbers"] == [{"number": "139****0002", "seconds_left": 60}]
        assert (kept["caller"], kept["disposition"]) == ("138****0001", "answered")
        call = here.serve("trace.show", call=kept["record_id"])
        assert here.serve("trace.show", call="a-leg") == call
        drawing = "\n".join(draw(call))
        assert drawing.count("INVITE (1) sdp") == 2
        assert "BYE (2)" in drawing
        for shown in (json.dumps(call), json.dumps(listed), drawing):
            assert A not in shown
            assert B not in shown
        sealed = here.serve("trace.show", call="a-leg", clear=True)["sealed"]
        assert A.encode() not in b64decode(sealed)
        ring = KeyRing.open(here.settings.sealing.directory(here.settings.data_dir), {})
        clear = json.loads(Sealer(ring).open(b64decode(sealed), sealed_context("a-leg")))
        assert (clear["caller"], clear["callee"]) == (f"+86{A}", f"+86{B}")
        assert here.serve("trace.remove", number=f"+86{B}") == {"number": "139****0002"}
        assert here.serve("trace.list")["numbers"] == []


async def test_nothing_stands_in_the_way_unless_somebody_wants_to_see(tmp_path: Path) -> None:
    async with lab(tmp_path) as here:
        driver, board = here.signalling._driver, here.signalling._board
        assert driver.tap is None
        assert board.watcher is None
        here.serve("trace.add", number=A, seconds=1)
        assert driver.tap is not None
        assert board.watcher is not None
        async with asyncio.timeout(10):
            while driver.tap is not None:
                await asyncio.sleep(0.05)
        assert board.watcher is None
        await here.call()
        assert here.serve("trace.list")["calls"] == []


@pytest.mark.parametrize(
    ("op", "arguments", "why"),
    [
        ("trace.add", {"number": "110"}, "neither a 700 number nor a real number"),
        ("trace.add", {}, "neither"),
        ("trace.add", {"number": A, "seconds": 0}, "1 to 100 s"),
        ("trace.add", {"number": A, "seconds": 101}, "1 to 100 s"),
        ("trace.add", {"number": A, "seconds": "10"}, "1 to 100 s"),
        ("trace.remove", {"number": A}, r"138\*\*\*\*0001 is not traced"),
        ("trace.show", {"call": "nothing"}, "no messages are kept"),
        ("trace.nothing", {}, "unknown op"),
    ],
)
async def test_what_is_refused(tmp_path: Path, op: str, arguments: dict[str, object], why: str) -> None:
    async with lab(tmp_path, "trace.longest_s=100") as here:
        with pytest.raises(Refused, match=why):
            here.serve(op, **arguments)


async def test_a_password_file_that_others_may_read_stops_the_start(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o644)
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.raises(PermissionError, match="others than its owner"))
        async with lab(tmp_path, 'capture.hep="udp://127.0.0.1:9"', f'capture.password_file="{secret}"'):
            pass
