"""`mask700 trace`, and `calls show --ladder`."""

import json
from base64 import b64encode
from typing import Any

import msgspec
import pytest

from engine.app.link import Refused
from engine.app.watching import sealed_context
from engine.observe.ladder import CallTold
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from tests.cli.world import World

LISTED = {
    "numbers": [{"number": "138****0001", "seconds_left": 599}],
    "calls": [
        {
            "record_id": "c0ffee",
            "caller": "138****0001",
            "dialled": "700100000010001",
            "callee": "139****0002",
            "disposition": "answered",
            "messages": 11,
        }
    ],
    "octets": 5000,
}


def told(number: str) -> CallTold:
    return {
        "record_id": "c0ffee",
        "model": "AXB",
        "direction": "a_to_b",
        "caller": number,
        "dialled": "700100000010001",
        "shown": None,
        "callee": None,
        "disposition": "refused",
        "reason": "hours",
        "call_ids": ["a"],
        "messages": [
            {
                "at": "2026-09-21T14:13:20.005000+00:00",
                "offset_ms": 0.0,
                "leg": "a",
                "direction": "in",
                "far": "udp://127.0.0.1:5090",
                "method": "INVITE",
                "status": None,
                "cseq": "1 INVITE",
                "sdp": True,
                "repeated": False,
                "text": f"INVITE sip:x SIP/2.0\r\nFrom: <sip:{number}@x>\r\n\r\n",
            }
        ],
        "left_out": 3,
    }


def answer(op: str, arguments: dict[str, Any]) -> object:
    if op == "trace.add":
        return {"number": "138****0001", "seconds": arguments["seconds"]}
    if op == "trace.remove":
        return {"number": "138****0001"}
    if op == "trace.list":
        return LISTED
    if op == "trace.show" and arguments == {"call": "c0ffee", "clear": False}:
        return told("138****0001")
    raise Refused(f"{op} {arguments}")


@pytest.mark.parametrize(
    ("words", "seconds"), [((), 600), (("--for", "30s"), 30), (("--for", "2h"), 7200), (("--for", "45"), 45)]
)
def test_a_number_is_traced_for_a_time(world: World, words: tuple[str, ...], seconds: int) -> None:
    with world.engine(answer):
        said = world.run("trace", "add", "13800000001", *words).stdout
        assert said == f"138****0001 is traced for {seconds} s\n"
        as_json = world.run("trace", "add", "13800000001", *words, "--json").stdout
        assert json.loads(as_json) == {"number": "138****0001", "seconds": seconds}


def test_a_span_that_is_none_is_bad_usage(world: World) -> None:
    result = world.run("trace", "add", "13800000001", "--for", "soon")
    assert (result.exit_code, result.stderr) == (2, '--for: "soon" must be like 30s, 10m or 2h\n')


def test_what_is_traced_is_listed_and_removed(world: World) -> None:
    with world.engine(answer):
        table = world.run("trace", "list").stdout
        assert "599" in table
        assert "c0ffee" in table
        assert json.loads(world.run("trace", "list", "--json").stdout) == LISTED
        assert world.run("trace", "remove", "13800000001").stdout == "138****0001 is not traced any more\n"


def test_a_call_is_drawn(world: World) -> None:
    with world.engine(answer):
        lines = world.run("calls", "show", "c0ffee", "--ladder").stdout.splitlines()
        assert lines[0].endswith("refused, hours")
        assert "INVITE (1) sdp" in lines[-2]
        assert lines[-1].strip().startswith("3 more were left out")
        assert json.loads(world.run("calls", "show", "c0ffee", "--ladder", "--json").stdout) == told(
            "138****0001"
        )
        refused = world.run("calls", "show", "another", "--ladder")
        assert refused.exit_code == 1


def test_in_clear_for_who_holds_the_key(world: World) -> None:
    sealer = Sealer(KeyRing.open(world.data_dir / "keys", {}))

    def sealing(op: str, arguments: dict[str, Any]) -> object:
        assert arguments == {"call": "c0ffee", "clear": True}
        plain = msgspec.json.encode(told("+8613800000001"))
        return {"sealed": b64encode(sealer.seal(plain, sealed_context("c0ffee"))).decode()}

    with world.engine(sealing):
        assert "+8613800000001" in world.run("calls", "show", "c0ffee", "--ladder", "--clear").stdout
        (world.data_dir / "keys" / "sealing-1.key").write_text("ab" * 32)
        refused = world.run("calls", "show", "c0ffee", "--ladder", "--clear")
        assert refused.exit_code == 1
        assert refused.stderr.startswith("--clear is for who holds the sealing key: ")
        assert "13800000001" not in refused.output
