"""Real phones call each other through a real engine, over UDP and over TCP: all that a call can be, and each sees
the 700 number alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.pjsua.conversation import Two, switched_on, unseen
from tests.pjsua.phones import PhoneRefused
from tests.pjsua.stage import Pair, Stage, X

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.slow,
    pytest.mark.xdist_group("phones"),
]

PAIRS = (Pair(0, "udp"), Pair(1, "tcp"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[Pair, Two]]:
    """One engine and a pair of phones on each transport."""
    async with switched_on(Stage(tmp_path_factory.mktemp("phones"), PAIRS)) as pairs:
        yield pairs


@pytest_asyncio.fixture(loop_scope="module", params=PAIRS, ids=lambda pair: pair.transport)
async def two(world: dict[Pair, Two], request: pytest.FixtureRequest) -> AsyncIterator[Two]:
    """One pair; whatever the test did, neither has seen anything of the other."""
    pair = world[request.param]
    async with unseen(pair):
        yield pair


# --- from ringing to the end ---


async def test_a_call_from_ringing_to_the_end(two: Two) -> None:
    talk = await two.ringing()
    assert X in talk.in_.remote
    assert two.anna.settings.number not in talk.in_.incoming
    await talk.callee.do("ring", talk.in_)
    await talk.caller.until_state(talk.out, "early")
    assert talk.out.status == 180
    await talk.answer()
    record = await talk.hang_up()
    assert (record["disposition"], record["reason"]) == ("answered", "normal")
    assert (record["released_by"], record["q850_cause"]) == ("caller", 16)
    assert (record["caller"], record["callee"]) == (
        f"+86{two.anna.settings.number}",
        f"+86{two.bert.settings.number}",
    )


async def test_the_callee_hangs_up(two: Two) -> None:
    talk = await two.talking()
    await talk.callee.do("hang_up", talk.in_)
    record = await talk.record()
    assert (record["disposition"], record["released_by"]) == ("answered", "callee")


async def test_the_other_side_calls_on_the_same_number(two: Two) -> None:
    talk = await two.ringing(reverse=True)
    await talk.answer()
    record = await talk.hang_up()
    assert (record["direction"], record["shown"], record["reason"]) == ("b_to_a", X, "normal")


async def test_two_calls_at_once_do_not_meet(two: Two) -> None:
    first = await two.talking()
    second = await two.ringing(reverse=True)
    await second.answer()
    await first.caller.insist("hold", first.out)
    await first.media("sendonly", "recvonly")
    assert (second.out.direction, second.in_.direction) == ("sendrecv", "sendrecv")
    assert (await first.hang_up())["direction"] == "a_to_b"
    assert second.out.state == second.in_.state == "confirmed"
    assert (await second.hang_up())["direction"] == "b_to_a"


# --- before the answer ---


async def test_early_media_is_heard_before_the_answer(two: Two) -> None:
    talk = await two.ringing()
    await talk.callee.do("early_media", talk.in_)
    await talk.media("sendrecv", "sendrecv")
    assert talk.out.status == 183
    await asyncio.sleep(0.2)  # ten packets
    await talk.caller.do("heard", talk.out)
    assert talk.out.packets > 2
    assert talk.out.media_source.startswith(two.bert.settings.host)  # media goes from phone to phone
    assert talk.out.state == "early"
    await talk.answer()
    assert (await talk.hang_up())["reason"] == "normal"


@pytest.mark.parametrize(
    ("status", "seen", "reason"),
    [(486, 486, "callee_busy"), (603, 603, "callee_rejected"), (480, 480, "callee_unreachable")],
)
async def test_the_callee_rejects(two: Two, status: int, seen: int, reason: str) -> None:
    talk = await two.ringing()
    await talk.callee.do("ring", talk.in_)
    await talk.callee.do("reject", talk.in_, status=status)
    record = await talk.record()
    assert talk.out.status == seen
    assert (record["reason"], record["sip_status"], record["answer_time"]) == (reason, status, None)


@pytest.mark.parametrize("when", ["at once", "ringing", "early media"])
async def test_the_caller_gives_up(two: Two, when: str) -> None:
    talk = await two.ringing()
    if when != "at once":
        await talk.callee.do("ring" if when == "ringing" else "early_media", talk.in_)
        await talk.caller.until_state(talk.out, "early")
    record = await talk.hang_up()
    assert talk.out.status == talk.in_.status == 487
    assert (record["disposition"], record["reason"], record["released_by"]) == (
        "cancelled",
        "cancelled",
        "caller",
    )


# --- during the call ---


@pytest.mark.parametrize("holder", ["caller", "callee"])
async def test_hold_and_resume(two: Two, holder: str) -> None:
    talk = await two.talking()
    for _ in range(2):
        if holder == "caller":
            await talk.caller.insist("hold", talk.out)
            await talk.media("sendonly", "recvonly")
            await talk.caller.insist("resume", talk.out)
        else:
            await talk.callee.insist("hold", talk.in_)
            await talk.media("recvonly", "sendonly")
            await talk.callee.insist("resume", talk.in_)
        await talk.media("sendrecv", "sendrecv")
    assert (await talk.hang_up())["reason"] == "normal"


async def test_both_hold_and_resume(two: Two) -> None:
    talk = await two.talking()
    await talk.caller.insist("hold", talk.out)
    await talk.media("sendonly", "recvonly")
    await talk.callee.insist("hold", talk.in_)
    await talk.media("inactive", "inactive")
    await talk.caller.insist("resume", talk.out)
    await talk.media("recvonly", "sendonly")
    await talk.callee.insist("resume", talk.in_)
    await talk.media("sendrecv", "sendrecv")
    assert (await talk.hang_up())["reason"] == "normal"


async def test_both_hold_at_the_same_moment(two: Two) -> None:
    """Re-INVITEs that cross, each of which may be answered 491: the call goes on, and who tries again succeeds."""
    talk = await two.talking()
    await asyncio.gather(talk.caller.insist("hold", talk.out), talk.callee.insist("hold", talk.in_))
    await talk.caller.insist("hold", talk.out)
    await talk.caller.until(talk.out, lambda call: call.direction in ("sendonly", "inactive"))
    await talk.callee.insist("hold", talk.in_)
    await talk.media("inactive", "inactive")
    assert (await talk.hang_up())["reason"] == "normal"


async def test_digits_in_the_media_both_ways(two: Two) -> None:
    talk = await two.talking()
    await talk.caller.do("dtmf", talk.out, digits="159#", way="rtp")
    await talk.callee.until(talk.in_, lambda call: call.dialled == "159#")
    await talk.callee.do("dtmf", talk.in_, digits="70*", way="rtp")
    await talk.caller.until(talk.out, lambda call: call.dialled == "70*")
    assert {digit.way for digit in talk.in_.digits + talk.out.digits} == {"rtp"}
    assert (await talk.hang_up())["reason"] == "normal"


async def test_digits_by_info_both_ways(two: Two) -> None:
    talk = await two.talking()
    for digit in "159#":
        await talk.caller.do("dtmf", talk.out, digits=digit, way="info")
    await talk.callee.until(talk.in_, lambda call: call.dialled == "159#")
    await talk.callee.do("dtmf", talk.in_, digits="7", way="info")
    await talk.caller.until(talk.out, lambda call: call.dialled == "7")
    assert {digit.way for digit in talk.in_.digits + talk.out.digits} == {"info"}
    assert (await talk.hang_up())["reason"] == "normal"


async def test_both_hang_up_at_the_same_moment(two: Two) -> None:
    talk = await two.talking()
    both = talk.caller.do("hang_up", talk.out), talk.callee.do("hang_up", talk.in_)
    await asyncio.gather(*both, return_exceptions=True)  # for one of them the call may be over already
    record = await talk.record()
    assert (record["disposition"], record["reason"]) == ("answered", "normal")
    assert record["released_by"] in ("caller", "callee")


async def test_a_call_that_has_ended_is_over(two: Two) -> None:
    talk = await two.talking()
    await talk.hang_up()
    with pytest.raises(PhoneRefused):
        await talk.caller.do("hold", talk.out)
