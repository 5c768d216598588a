"""Phones that do anything at any time over a network that loses datagrams, and what all sides say of it afterwards."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.lab.processes import Processes
from engine.lab.relay import Conditions, LossyRelay
from tests.pjsua.canaries import leaks
from tests.pjsua.phones import CallView, Phone, PhoneRefused, PhoneSilent
from tests.pjsua.stage import (
    CALLEES,
    CALLEES_DOOR,
    CALLERS,
    CALLERS_DOOR,
    ENGINE,
    ENGINE_PORT,
    ENGINES_DOOR,
    ROOT,
    Pair,
    Stage,
    X,
    host,
    two_phones,
)
from tests.pjsua.wire import WireMessage, unanswered

# PJSIP 2.15 has room for four calls, and trips over itself when it gives the room of a call that has ended to the
# next one while the first one's re-INVITE is still on its way. So a phone is switched off after four.
_CALLS_A_PHONE = 4
_PACE_S = 1.0  # between two calls of a pair
_LONGEST_RINGING_S = 5.0
_ENDED_PATIENCE_S = 40.0  # a BYE is repeated for 32 s
_DIGITS = "0123456789*#"

Say = Callable[[str], None]


@dataclass(slots=True)
class PhoneSeen:
    """What one phone says at the end: its calls and its wire."""

    number: str
    calls: list[CallView]
    wire: list[WireMessage]


@dataclass(slots=True)
class RandomRun:
    """`sent_by_engine`: (Unix time, text) of every datagram of the engine's before the network lost any.
    `records`: as `mask700 cdr query --json` prints them. `left`: calls that the engine still had, `leaks`: what a
    phone should not have received. `lost`: datagrams, of `read`."""

    phones: list[PhoneSeen]
    records: list[dict[str, Any]]
    sent_by_engine: list[tuple[float, str]]
    left: list[dict[str, Any]]
    leaks: list[str]
    lost: int
    read: int


async def run_random_calls(
    folder: Path, calls: int, pairs: int, conditions: Conditions, seed: int, say: Say
) -> RandomRun:
    """Let phones make `calls` calls, `pairs` pairs at once and in both directions. Everything is written below
    `folder`."""
    stage = Stage(folder, [Pair(index) for index in range(pairs)], doors=True, overrides=_OVERRIDES)
    processes = Processes()
    network = _Network()
    try:
        engine = await stage.start_engine(processes)
        await network.start(stage, conditions, seed)
        seen, found = await _play(stage, calls, seed, say)
        left = await _printed(stage, "calls", "list")
        records = await _printed(stage, "cdr", "query")
        await engine.stop()
    finally:
        await network.stop()
        processes.end_all_now()
    counts = [relay.counts for relay in network.relays]
    return RandomRun(
        phones=seen,
        records=records,
        sent_by_engine=network.sent_by_engine,
        left=left,
        leaks=found,
        lost=sum(count.lost for count in counts),
        read=sum(count.read for count in counts),
    )


# Four copies of an INVITE may be lost in a row; that is no failure of the callee's.
_OVERRIDES = ("calls.first_response_s=30",)


@dataclass(slots=True)
class _Network:
    """A lossy relay before the engine and before each phone."""

    relays: list[LossyRelay] = field(default_factory=list)
    sent_by_engine: list[tuple[float, str]] = field(default_factory=list)

    async def start(self, stage: Stage, conditions: Conditions, seed: int) -> None:
        await self._add(ENGINES_DOOR, ENGINE, ENGINE_PORT, conditions, seed)
        self.relays[0].spoil_back = self._note
        for pair in stage.pairs:
            for door, behind, port in zip(
                (CALLERS_DOOR, CALLEES_DOOR), (CALLERS, CALLEES), pair.ports, strict=True
            ):
                await self._add(door, behind, port, conditions, seed + port)
                self.relays[-1].spoil = self._note

    async def stop(self) -> None:
        for relay in self.relays:
            await relay.stop()

    async def _add(self, door: int, behind: int, port: int, conditions: Conditions, seed: int) -> None:
        self.relays.append(await LossyRelay.start((host(door), port), (host(behind), port), conditions, seed))

    def _note(self, data: bytes) -> bytes:
        self.sent_by_engine.append((time.time(), data.decode("utf-8", "replace")))
        return data


async def _play(stage: Stage, calls: int, seed: int, say: Say) -> tuple[list[PhoneSeen], list[str]]:
    """All calls, a few on each pair of phones; what every phone saw, and what it should not have seen."""
    sessions = [
        _Session(stage, number, min(_CALLS_A_PHONE, calls - number * _CALLS_A_PHONE), f"{seed} {number}")
        for number in range(-(-calls // _CALLS_A_PHONE))
    ]
    waiting = list(reversed(sessions))

    async def use(pair: Pair) -> None:
        while waiting:
            await waiting.pop().play(pair)
            say(f"{sum(session.calls for session in sessions if session.seen)} of {calls} calls made")

    async with asyncio.TaskGroup() as group:
        for pair in stage.pairs:
            group.create_task(use(pair))
    return [one for session in sessions for one in session.seen], [
        leak for session in sessions for leak in session.leaks
    ]


@dataclass(slots=True)
class _Session:
    """Two phones, from being switched on until they are switched off, and the calls between them."""

    stage: Stage
    number: int
    calls: int
    seed: str
    seen: list[PhoneSeen] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)

    async def play(self, pair: Pair) -> None:
        at_random = random.Random(self.seed)
        rel100, timer = at_random.choice(("no", "optional")), at_random.choice(("no", "always"))
        phones = await two_phones(self.stage, pair, part=f"-{self.number}", rel100=rel100, timer=timer)
        try:
            callees = [_Callee(phone, self.seed) for phone in phones]
            async with asyncio.TaskGroup() as group:
                for call in range(self.calls):
                    caller = at_random.choice(phones)
                    one = random.Random(f"{self.seed} caller {call}")
                    group.create_task(_call(caller, self.stage.uri(pair), one))
                    await asyncio.sleep(at_random.expovariate(1 / _PACE_S))
            for callee in callees:
                await callee.done()
            for phone in phones:
                await _quiet(phone)
            await self._look(*phones)
        finally:
            for phone in phones:
                await phone.stop()

    async def _look(self, *phones: Phone) -> None:
        """At what both saw."""
        wires = [await phone.messages() for phone in phones]
        for phone, other, mine, theirs in zip(phones, phones[::-1], wires, wires[::-1], strict=True):
            received = [message for message in mine if not message.sent]
            self.leaks += leaks(received, other.settings, [one for one in theirs if one.sent], X)
            self.seen.append(PhoneSeen(phone.settings.number, list(phone.calls.values()), mine))


async def _call(phone: Phone, uri: str, at_random: random.Random) -> None:
    """One call as its caller lives it."""
    call = await phone.call(uri)
    patience_s = at_random.uniform(0, 2) if at_random.random() < 0.3 else _LONGEST_RINGING_S
    await _until_settled(phone, call, patience_s)
    if call.entered("confirmed") is not None:
        await _talk(phone, call, at_random)
    await _leave(phone, call)


class _Callee:
    """Answers the calls of one phone, or does not."""

    def __init__(self, phone: Phone, seed: str) -> None:
        self.phone = phone
        self._seed = seed
        self._lives: list[asyncio.Task[None]] = []
        phone.on_incoming = self._ring

    async def done(self) -> None:
        """Once all calls have ended."""
        for life in self._lives:
            await life

    def _ring(self, call: CallView) -> None:
        at_random = random.Random(f"{self._seed} {self.phone.settings.number} {len(self._lives)}")
        self._lives.append(asyncio.create_task(self._live(call, at_random)))

    async def _live(self, call: CallView, at_random: random.Random) -> None:
        phone = self.phone
        with suppress(PhoneRefused):  # the caller may give up at any moment
            if at_random.random() < 0.8:
                await asyncio.sleep(at_random.uniform(0, 0.3))
                await phone.do(at_random.choice(("ring", "ring", "early_media")), call)
            await asyncio.sleep(at_random.uniform(0, 1.5))
            what = at_random.random()
            if what < 0.7:
                await phone.do("answer", call)
            elif what < 0.85:
                await phone.do("reject", call, status=at_random.choice((486, 603, 480)))
        await _until_settled(phone, call, _ENDED_PATIENCE_S)
        if call.entered("confirmed") is not None:
            await _talk(phone, call, at_random)
        await _leave(phone, call)


async def _talk(phone: Phone, call: CallView, at_random: random.Random) -> None:
    """Hold, resume and dial digits until it is time to hang up; the other side may do so earlier."""
    until = time.monotonic() + at_random.uniform(0.1, 5)
    while time.monotonic() < until and call.entered("disconnected") is None:
        await asyncio.sleep(at_random.uniform(0, 0.8))
        with suppress(PhoneRefused):  # busy with the last change, or the call is over
            match at_random.choice(("hold", "resume", "rtp", "info", "nothing")):
                case "hold":
                    await phone.do("hold", call)
                case "resume":
                    await phone.do("resume", call)
                case "rtp" | "info" as way:
                    await phone.do("dtmf", call, digits=at_random.choice(_DIGITS), way=way)


async def _until_settled(phone: Phone, call: CallView, patience_s: float) -> None:
    """Until it is answered or over, or patience ends."""
    with suppress(PhoneSilent):
        await phone.until(
            call,
            lambda seen: seen.entered("confirmed") is not None or seen.entered("disconnected") is not None,
            patience_s,
        )


async def _leave(phone: Phone, call: CallView) -> None:
    """Hang up, give up or refuse, whatever fits, and wait for the end. A call that does not end is told of by the
    comparison."""
    with suppress(PhoneRefused):
        await phone.do("hang_up", call)
    with suppress(PhoneSilent):
        await phone.until_state(call, "disconnected", _ENDED_PATIENCE_S)


async def _quiet(phone: Phone) -> None:
    """Wait until what the phone asked has been answered: for PJSIP, a call that it gives up is over before it has
    heard so. What is never answered is told of by the comparison."""
    until = time.monotonic() + _ENDED_PATIENCE_S
    while unanswered(await phone.messages()) and time.monotonic() < until:
        await asyncio.sleep(0.2)


async def _printed(stage: Stage, *command: str) -> list[dict[str, Any]]:
    """What `mask700 … --json` prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engine.cli.main", *command, "--json", "--config", str(stage.config)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, command
    return [json.loads(line) for line in printed.decode().splitlines()]
