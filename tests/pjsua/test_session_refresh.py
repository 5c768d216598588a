"""Sessions of real phones that know nothing of session timers: the engine refreshes them, and learns when a phone has
gone."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.pjsua.conversation import Two, switched_on, unseen
from tests.pjsua.stage import Pair, Stage

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.slow,
    pytest.mark.xdist_group("phones"),
]

PAIRS = (Pair(0, "udp"), Pair(1, "tcp"))
# Far shorter than one would want: a refresh is due after a second.
QUICK = ("calls.session_expires_s=2", "calls.min_session_expires_s=2", "sip.t1_ms=20")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[Pair, Two]]:
    async with switched_on(Stage(tmp_path_factory.mktemp("refreshed"), PAIRS, overrides=QUICK)) as pairs:
        yield pairs


async def test_the_engine_refreshes_each_phone_s_session(world: dict[Pair, Two]) -> None:
    await asyncio.gather(*(refreshed(two) for two in world.values()))


async def refreshed(two: Two) -> None:
    async with unseen(two):
        talk = await two.talking()
        media = [len(view.media) for view in (talk.out, talk.in_)]
        await asyncio.sleep(2.5)  # longer than the session would last
        assert talk.out.state == talk.in_.state == "confirmed"
        assert [len(view.media) for view in (talk.out, talk.in_)] == media  # nothing of it is seen or heard
        assert (await talk.hang_up())["reason"] == "normal"
        for phone, call_id in ((talk.caller, talk.out.call_id), (talk.callee, talk.in_.call_id)):
            refreshes = [one for one in await phone.messages(call_id) if one.method == "UPDATE"]
            asked = [one for one in refreshes if not one.status]
            assert len(asked) >= 2
            assert all(not one.sent and "m=audio" not in one.text for one in asked)
            assert {one.status for one in refreshes if one.status} == {200}


@pytest.mark.parametrize("dead", ["caller", "callee"])
async def test_a_phone_that_dies_ends_the_call(world: dict[Pair, Two], dead: str) -> None:
    await asyncio.gather(*(dies(two, dead) for two in world.values()))


async def dies(two: Two, dead: str) -> None:
    talk = await two.talking()
    phone, alive, view = (
        (talk.caller, talk.callee, talk.in_) if dead == "caller" else (talk.callee, talk.caller, talk.out)
    )
    phone.signal(signal.SIGSTOP)
    try:
        await alive.until_state(view, "disconnected")
    finally:
        phone.signal(signal.SIGCONT)
    record = await talk.record()
    assert (record["disposition"], record["reason"]) == ("answered", "session_expired")
    assert (record["released_by"], record["q850_cause"]) == ("platform", 102)
