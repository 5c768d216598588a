"""Real phones that use what both sides must know of: reliable provisional responses, UPDATE, session timers."""

from __future__ import annotations

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reliable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[Pair, Two]]:
    """Phones that know 100rel and session timers."""
    stage = Stage(tmp_path_factory.mktemp("reliable"), PAIRS)
    async with switched_on(stage, rel100="optional", timer="always") as pairs:
        yield pairs


@pytest_asyncio.fixture(loop_scope="module", params=PAIRS, ids=lambda pair: pair.transport)
async def two(reliable: dict[Pair, Two], request: pytest.FixtureRequest) -> AsyncIterator[Two]:
    pair = reliable[request.param]
    async with unseen(pair):
        yield pair


async def test_ringing_is_acknowledged_by_each_phone_for_itself(two: Two) -> None:
    talk = await two.ringing()
    await talk.callee.do("ring", talk.in_)
    await talk.caller.until_state(talk.out, "early")
    await talk.callee.do("early_media", talk.in_)
    await talk.media("sendrecv", "sendrecv")
    assert talk.out.state == "early"
    await talk.answer()
    assert (await talk.hang_up())["reason"] == "normal"
    at_caller = await talk.caller.messages(talk.out.call_id)
    at_callee = await talk.callee.messages(talk.in_.call_id)
    for wire, asks in ((at_caller, True), (at_callee, False)):
        reliable = [one for one in wire if one.value("RSeq") and one.sent != asks]
        assert {one.status for one in reliable} == {180, 183}
        acknowledged = {
            one.value("RAck").split()[0] for one in wire if one.method == "PRACK" and not one.status
        }
        assert acknowledged == {one.value("RSeq") for one in reliable}
        assert {one.status for one in wire if one.method == "PRACK" and one.status} == {200}
    rseq = [next(one.value("RSeq") for one in wire if one.value("RSeq")) for wire in (at_caller, at_callee)]
    assert rseq[0] != rseq[1]


async def test_a_call_that_rings_reliably_is_given_up(two: Two) -> None:
    talk = await two.ringing()
    await talk.callee.do("early_media", talk.in_)
    await talk.media("sendrecv", "sendrecv")
    assert (await talk.hang_up())["reason"] == "cancelled"
    assert talk.in_.status == 487


@pytest.mark.parametrize("asker", ["caller", "callee"])
async def test_update_in_a_call(two: Two, asker: str) -> None:
    talk = await two.talking()
    before = [len(view.media) for view in (talk.out, talk.in_)]
    phone, call = (talk.caller, talk.out) if asker == "caller" else (talk.callee, talk.in_)
    await phone.insist("update", call)
    await talk.caller.until(talk.out, lambda view: len(view.media) > before[0])
    await talk.callee.until(talk.in_, lambda view: len(view.media) > before[1])
    await talk.media("sendrecv", "sendrecv")
    assert (await talk.hang_up())["reason"] == "normal"
    for one, call_id in ((talk.caller, talk.out.call_id), (talk.callee, talk.in_.call_id)):
        updates = [message for message in await one.messages(call_id) if message.method == "UPDATE"]
        assert {message.status for message in updates} == {0, 200}
        assert all("m=audio" in message.text for message in updates)


async def test_session_timers_are_agreed_on_with_each_phone(two: Two) -> None:
    """Each phone wishes for 90 s; its own leg's timer is its own matter."""
    talk = await two.talking()
    await talk.hang_up()
    (answer,) = (one for one in await talk.caller.messages(talk.out.call_id) if one.value("CSeq").endswith("INVITE")
                 and one.status == 200)  # fmt: skip
    assert answer.value("Session-Expires") == "90;refresher=uac"
    assert "timer" in answer.value("Require")
    invite, answer = (one for one in await talk.callee.messages(talk.in_.call_id) if one.method == "INVITE"
                      and one.status in (0, 200))  # fmt: skip
    assert invite.value("Session-Expires") == "1800"
    assert int(answer.value("Session-Expires").partition(";")[0]) >= 90
