"""The scenarios would notice: something between the engine and a party gives the other one away, and the flow fails."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.lab.flow import load_flow
from engine.lab.relay import Conditions, Spoil
from engine.lab.sides import Outcome
from tests.flows.bad_network import run_over_bad_network
from tests.flows.stage import SCENARIOS

pytestmark = [pytest.mark.sipp, pytest.mark.slow, pytest.mark.xdist_group("sipp")]


def with_line(start: bytes, line: bytes) -> Spoil:
    """Adds a header line to every message whose start line begins so."""

    def spoil(message: bytes) -> bytes:
        if not message.startswith(start):
            return message
        first, end, rest = message.partition(b"\r\n")
        return first + end + line + end + rest

    return spoil


def with_other(old: bytes, new: bytes) -> Spoil:
    return lambda message: message.replace(old, new)


async def outcome_of(
    name: str, folder: Path, to_callee: Spoil | None = None, to_caller: Spoil | None = None
) -> Outcome:
    """One call of a flow, with a spoiling relay on either side of the engine."""
    flow = replace(load_flow(SCENARIOS / name), calls=1)
    run = await run_over_bad_network(flow, folder, Conditions(), to_callee=to_callee, to_caller=to_caller)
    return run.outcome


async def test_the_relays_alone_change_nothing(tmp_path: Path) -> None:
    outcome = await outcome_of("axb_a_calls", tmp_path)
    assert outcome.verdict.problems == []


@pytest.mark.parametrize(
    ("flow", "spoil"),
    [
        ("axb_a_calls", with_line(b"INVITE", b"X-Any: 13800000001")),
        ("axb_a_calls", with_line(b"INVITE", b"X-Any: +86 138-0000-0001")),
        ("axb_a_calls", with_line(b"INVITE", b"X-Any: <tel:008613800000001;x>")),
        ("axb_a_calls", with_line(b"INVITE", b"P-Asserted-Identity: <tel:+8613912345678>")),
        ("axb_a_calls", with_line(b"ACK", b"Subject: leak-caller order 7")),
        ("axb_a_calls", with_line(b"BYE", b"Contact: <sip:x@127.0.0.11:5060>")),
        ("axb_a_calls", with_other(b"From: <sip:700100000010001@", b"From: <sip:700100000010002@")),
        ("axb_a_calls", with_other(b"From: <sip:700", b'From: "Chen Wei" <sip:700')),
        ("cancelled", with_line(b"CANCEL", b"Reason: SIP;text=13800000001")),
        ("prack", with_line(b"PRACK", b"Subject: leak-caller order 7")),
        ("prack", with_other(b"RAck: 4711 ", b"RAck: 4712 ")),
        ("update_before_answer", with_line(b"UPDATE", b"X-Any: 13800000001")),
        ("dtmf_info", with_line(b"INFO", b"Contact: <sip:x@127.0.0.11:5060>")),
        ("max_forwards", with_other(b"Max-Forwards: 70", b"Max-Forwards: 69")),
    ],
)
async def test_on_the_callees_side(flow: str, spoil: Spoil, tmp_path: Path) -> None:
    outcome = await outcome_of(flow, tmp_path, to_callee=spoil)
    assert outcome.verdict.passed == 0
    assert any(
        problem.startswith("callee: ") and ("Regexp" in problem or "regexp" in problem or "strcmp" in problem)
        for problem in outcome.verdict.problems
    )


@pytest.mark.parametrize(
    ("flow", "spoil"),
    [
        ("axb_a_calls", with_line(b"SIP/2.0 180", b"X-Any: 13800000101")),
        ("axb_a_calls", with_line(b"SIP/2.0 200", b"Contact: <sip:x@127.0.0.1:5090>")),
        ("axb_a_calls", with_other(b"SIP/2.0 180 Ringing", b"SIP/2.0 180 leak-callee Ringing")),
        ("prack", with_line(b"SIP/2.0 183", b"X-Any: 13800000101")),
        ("busy", with_line(b"SIP/2.0 486", b"Warning: 399 x 13800000101")),
        ("stranger", with_line(b"SIP/2.0 404", b"Error-Info: <sip:13800000101@b.example>")),
    ],
)
async def test_on_the_callers_side(flow: str, spoil: Spoil, tmp_path: Path) -> None:
    outcome = await outcome_of(flow, tmp_path, to_caller=spoil)
    assert outcome.verdict.passed == 0
    assert any(problem.startswith("caller: ") and "Regexp" in problem for problem in outcome.verdict.problems)
