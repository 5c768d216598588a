"""The commands that ask a running engine."""

import errno
import json
import os
import shutil
import socket
from binascii import b2a_base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.app import unix_door
from engine.app.link import Refused
from tests.cli.world import World, record

STATS = {
    "version": "9.9.9",
    "ready": True,
    "why_not_ready": None,
    "log_level": "info",
    "signalling": {"calls": 2},
}
TRUNK = {
    "name": "pstn",
    "state": "draining",
    "calls_in": 3,
    "calls_out": 2,
    "peers": ["127.0.0.0/8"],
    "next_hops": [
        {"next_hop": "udp://127.0.0.1:5090", "state": "up"},
        {"next_hop": "tcp://127.0.0.1:5091", "state": "down"},
    ],
    "prefixes": [""],
}


def calls(count: int) -> list[dict[str, Any]]:
    return [
        {"record_id": str(number), "state": "talking", "caller": "138****0001"} for number in range(count)
    ]


def answer(op: str, arguments: dict[str, Any]) -> object:
    if op == "calls.list":
        first = arguments["after"] or 0
        page = calls(1203)[first : first + arguments["limit"]]
        return {"calls": page, "next": first + len(page) if first + len(page) < 1203 else None}
    if op == "trunks.list":
        return [TRUNK]
    if op == "stats":
        return STATS
    if op == "log-level" and arguments["level"] == "debug":
        return {"level": "debug", "before": "info"}
    if op == "version":
        return {"version": "9.9.9", "python": "3.11", "rooms": "compiled"}
    raise Refused(f"{op} {arguments}")


def test_calls_of_every_page(world: World) -> None:
    with world.engine(answer):
        listed = [json.loads(line) for line in world.run("calls", "list", "--json").stdout.splitlines()]
        assert listed == calls(1203)
        assert world.run("calls", "list").stdout.count("138****0001") == 1203


def test_trunks(world: World) -> None:
    with world.engine(answer):
        assert json.loads(world.run("trunks", "list", "--json").stdout) == TRUNK
        listed = world.run("trunks", "list").stdout
        assert "127.0.0.0/8" in listed
        assert "udp://127.0.0.1:5090 tcp://127.0.0.1:5091 (down)" in listed
        assert "draining" in listed


def test_a_trunk_is_enabled_and_disabled(world: World) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def changing(op: str, arguments: dict[str, Any]) -> object:
        asked.append((op, arguments))
        if arguments["name"] != "pstn":
            raise Refused('there is no trunk "x"')
        return TRUNK

    with world.engine(changing):
        assert world.run("trunks", "disable", "pstn").stdout == "pstn: draining, 3 calls in, 2 out\n"
        assert json.loads(world.run("trunks", "enable", "pstn", "--json").stdout) == TRUNK
        refused = world.run("trunks", "disable", "x")
        assert (refused.exit_code, refused.stderr) == (1, 'there is no trunk "x"\n')
        assert world.run("trunks", "disable").exit_code == 2
    assert [op for op, _ in asked] == ["trunks.disable", "trunks.enable", "trunks.disable"]


def test_a_call_is_shown_masked_or_in_clear_for_who_holds_the_keys(world: World) -> None:
    world.load_table()  # makes the keys
    sealed = world.seal(replace(record(1, 1_790_000_000_000), a_call_id="a@13800000001", b_call_id="b"))
    legs = {"caller": {"call_id": "a@138****0001"}, "callee": None}
    found = {"state": "talking", "caller": "138****0001", "callee": "139****0001", "legs": legs}
    shown = {**found, "sealed": b2a_base64(sealed, newline=False).decode()}

    def answer(op: str, arguments: dict[str, Any]) -> object:
        if (op, arguments) == ("calls.show", {"call": "id"}):
            return shown
        raise Refused("no such call is up")

    with world.engine(answer):
        assert json.loads(world.run("calls", "show", "id", "--json").stdout) == found
        assert "callee               139****0001\n" in world.run("calls", "show", "id").stdout
        clear = json.loads(world.run("calls", "show", "id", "--clear", "--json").stdout)
        assert (clear["caller"], clear["callee"], clear["state"]) == (
            "+8613800000001",
            "+8613900000001",
            "talking",
        )
        assert clear["legs"] == {"caller": {"call_id": "a@13800000001"}, "callee": None}
        assert world.run("calls", "show", "other").exit_code == 1
        assert world.run("calls", "show").exit_code == 2
        shutil.rmtree(world.data_dir / "keys")
        refused = world.run("calls", "show", "id", "--clear")
        assert refused.exit_code == 1
        assert "13800000001" not in refused.stdout


def test_a_call_is_ended(world: World) -> None:
    def answer(op: str, arguments: dict[str, Any]) -> object:
        if (op, arguments) == ("calls.end", {"call": "id"}):
            return {"record_id": "id", "ended": True}
        raise Refused("no such call is up")

    with world.engine(answer):
        assert json.loads(world.run("calls", "end", "id", "--json").stdout)["ended"] is True
        assert world.run("calls", "end", "other").exit_code == 1


def test_stats(world: World) -> None:
    with world.engine(answer):
        assert json.loads(world.run("stats", "--json").stdout) == STATS
        assert world.run("stats").stdout.splitlines() == [
            "version           9.9.9",
            "ready             yes",
            "why_not_ready     -",
            "log_level         info",
            "signalling.calls  2",
        ]


def test_log_level(world: World) -> None:
    with world.engine(answer):
        assert world.run("log-level").stdout == "level  info\n"
        assert json.loads(world.run("log-level", "debug", "--json").stdout)["level"] == "debug"
        refused = world.run("log-level", "loud")
        assert (refused.exit_code, refused.stderr) == (1, "log-level {'level': 'loud'}\n")


def test_drain_waits_if_told_to(world: World) -> None:
    left = [2, 1, 0]

    def draining(op: str, arguments: dict[str, Any]) -> object:
        return {"draining": True, "calls_active": left.pop(0)}

    with world.engine(draining):
        assert json.loads(world.run("drain", "--json").stdout) == {"draining": True, "calls_active": 2}
        assert json.loads(world.run("drain", "--wait", "--json").stdout)["calls_active"] == 0


def test_version_with_and_without_an_engine(world: World) -> None:
    alone = json.loads(world.run("version", "--json").stdout)
    assert (alone["rooms"], alone["running"]) == ("interpreted", None)
    here = f"mask700 {alone['version']} (Python {alone['python']}, rooms interpreted)\n"
    assert world.run("version").stdout == here
    with world.engine(answer):
        assert json.loads(world.run("version", "--json").stdout)["running"]["version"] == "9.9.9"
        there = "the engine that runs here is 9.9.9 (Python 3.11, rooms compiled)\n"
        assert world.run("version").stdout == here + there
    world.config.unlink()
    assert world.run("version").exit_code == 0


def test_no_engine(world: World) -> None:
    for words in (["stats"], ["calls", "list"], ["trunks", "list"], ["drain"], ["log-level", "info"]):
        result = world.run(*words)
        assert result.exit_code == 1
        assert (
            result.stderr
            == f"no engine runs here ({world.data_dir}/control.sock: No such file or directory)\n"
        )
        assert "no engine runs here" in json.loads(world.run(*words, "--json").stdout)["error"]


def test_somebody_elses_engine(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(path: Path, within: float) -> socket.socket:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(unix_door, "connect", connect)
    result = world.run("stats")
    assert result.exit_code == 1
    assert (
        result.stderr
        == f"its engine's own user has to ask ({world.data_dir}/control.sock: Permission denied)\n"
    )
