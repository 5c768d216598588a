"""The commands that ask a running engine."""

import json
from typing import Any

from engine.app.link import Refused
from tests.cli.world import World

STATS = {
    "version": "9.9.9",
    "ready": True,
    "why_not_ready": None,
    "log_level": "info",
    "signalling": {"calls": 2},
}
TRUNK = {"name": "pstn", "enabled": True, "peers": ["127.0.0.0/8"], "next_hops": [], "prefixes": [""]}


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
        return {"version": "9.9.9", "python": "3.11"}
    raise Refused(f"{op} {arguments}")


def test_calls_of_every_page(world: World) -> None:
    with world.engine(answer):
        listed = [json.loads(line) for line in world.run("calls", "list", "--json").stdout.splitlines()]
        assert listed == calls(1203)
        assert world.run("calls", "list").stdout.count("138****0001") == 1203


def test_trunks(world: World) -> None:
    with world.engine(answer):
        assert json.loads(world.run("trunks", "list", "--json").stdout) == TRUNK
        assert "127.0.0.0/8" in world.run("trunks", "list").stdout


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
    assert alone["running"] is None
    assert world.run("version").stdout == f"mask700 {alone['version']} (Python {alone['python']})\n"
    with world.engine(answer):
        assert json.loads(world.run("version", "--json").stdout)["running"]["version"] == "9.9.9"
        assert world.run("version").stdout.endswith("the engine that runs here is 9.9.9\n")
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
