"""Two phones that are bound to each other, and the calls between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from engine.lab.processes import Processes
from engine.lab.records import LabRecords
from tests.pjsua.canaries import leaks
from tests.pjsua.phones import CallView, Phone
from tests.pjsua.stage import Pair, Stage, X, two_phones

RECORD_PATIENCE_S = 5.0


@dataclass(slots=True)
class Two:
    """Anna and Bert, who are bound to each other on X, and what they dial."""

    anna: Phone
    bert: Phone
    uri: str
    records: LabRecords

    async def ringing(self, reverse: bool = False) -> Talk:
        """Anna has called Bert, whose phone knows; `reverse`: the other way."""
        caller, callee = (self.bert, self.anna) if reverse else (self.anna, self.bert)
        known = len([call for call in callee.calls.values() if call.incoming])
        out = await caller.call(self.uri)
        return Talk(caller, callee, out, await callee.rung(known), self.records)

    async def talking(self) -> Talk:
        talk = await self.ringing()
        await talk.answer()
        return talk


@dataclass(slots=True)
class Talk:
    """One call, as both phones see it."""

    caller: Phone
    callee: Phone
    out: CallView
    in_: CallView
    records: LabRecords

    async def answer(self) -> None:
        await self.callee.do("answer", self.in_)
        await self.both("confirmed")
        await self.media("sendrecv", "sendrecv")

    async def both(self, state: str) -> None:
        await self.caller.until_state(self.out, state)
        await self.callee.until_state(self.in_, state)

    async def media(self, at_caller: str, at_callee: str) -> None:
        await self.caller.until(self.out, lambda call: call.direction == at_caller)
        await self.callee.until(self.in_, lambda call: call.direction == at_callee)

    async def hang_up(self) -> dict[str, Any]:
        """The caller does; the record."""
        await self.caller.do("hang_up", self.out)
        return await self.record()

    async def record(self) -> dict[str, Any]:
        """Of the call, once both phones have seen it end."""
        await self.both("disconnected")
        async with asyncio.timeout(RECORD_PATIENCE_S):
            while True:
                for record in self.records.of_calls_since(0):
                    if record["a_call_id"] == self.out.call_id:
                        assert record["b_call_id"] == self.in_.call_id
                        return record
                await asyncio.sleep(0.05)


@asynccontextmanager
async def switched_on(stage: Stage, **phones: object) -> AsyncIterator[dict[Pair, Two]]:
    """The engine of the stage and all its phones, until the end."""
    processes = Processes()
    pairs: dict[Pair, Two] = {}
    try:
        engine = await stage.start_engine(processes)
        for pair in stage.pairs:
            pairs[pair] = Two(*await two_phones(stage, pair, "", **phones), stage.uri(pair), stage.records())
        yield pairs
        await engine.stop()
    finally:
        for two in pairs.values():
            await two.anna.stop()
            await two.bert.stop()
        processes.end_all_now()


@asynccontextmanager
async def unseen(two: Two) -> AsyncIterator[None]:
    """Whatever happens meanwhile, each phone hears something, and nothing of the other."""
    before = len(await two.anna.messages()), len(await two.bert.messages())
    yield
    of_anna, of_bert = (await two.anna.messages())[before[0] :], (await two.bert.messages())[before[1] :]
    for mine, theirs, other in ((of_anna, of_bert, two.bert), (of_bert, of_anna, two.anna)):
        received = [message for message in mine if not message.sent]
        assert received
        assert leaks(received, other.settings, [message for message in theirs if message.sent], X) == []
