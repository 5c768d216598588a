"""`mask700 top`: the arithmetic between two looks, and the command against an engine that answers what it is told."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from engine.app.link import Refused
from engine.cli.top_figures import Look, quantile, summary
from engine.cli.top_screen import draw
from engine.observe.tally import Tally
from tests.cli.world import World

STATS: dict[str, Any] = {
    "node": "node-1",
    "version": "9.9.9",
    "uptime_s": 90_061,
    "ready": True,
    "why_not_ready": None,
    "signalling": {"journal_error": None},
}


def busy_tally() -> Tally:
    """An engine with a history."""
    tally = Tally()
    tally.calls_begun = 1000
    for _ in range(10):
        tally.call_ended("AXB", "answered", "normal")
        tally.call_ended("none", "refused", "not_bound")
        tally.observe_pdd(20.0)
    tally.trunk_up = {"pstn": True, "other": False}
    tally.trunk_calls = {("pstn", "in"): 3, ("pstn", "out"): 2}
    tally.next_hop_up = {("pstn", "udp://127.0.0.1:5090"): True, ("pstn", "udp://127.0.0.2:5090"): False}
    return tally


def go_on(tally: Tally) -> None:
    """Two seconds of calls."""
    tally.calls_begun += 8
    tally.calls_active = 5
    tally.records_unsynced = 4
    for _ in range(3):
        tally.call_ended("AXB", "answered", "normal")
    tally.call_ended("AXB", "busy", "callee_busy")
    for _ in range(6):
        tally.call_ended("none", "refused", "not_a_party")
        tally.sip_request("INVITE", "in", "pstn")
        tally.retransmission("out")
    for _ in range(100):
        tally.observe_pdd(0.2)
    tally.observe_loop_lag(0.15)


def two_looks() -> tuple[Look, Look]:
    tally = busy_tally()
    before = Look(100.0, tally.snapshot(), STATS)
    go_on(tally)
    return before, Look(102.0, tally.snapshot(), STATS)


def test_rates_and_ratios_are_of_the_interval() -> None:
    values = summary(*two_looks())
    assert values["interval_s"] == 2
    assert values["calls_active"] == 5
    assert values["calls_begun_per_s"] == 4
    assert values["attempts_ended_per_s"] == 5
    assert values["asr"] == 0.75  # of those that were admitted
    assert values["refusals"] == {
        "not_a_party": {"per_s": 3.0, "total": 6},
        "not_bound": {"per_s": 0.0, "total": 10},
    }
    assert list(values["outcomes"]) == ["normal", "callee_busy"]
    assert 0.1 < values["pdd_s"]["p50"] < values["pdd_s"]["p99"] <= 0.25
    assert values["setup_s"] == {"p50": None, "p95": None, "p99": None}
    assert values["loop_lag_s"]["p99"] > 0.1
    assert values["sip"]["retransmissions_out_per_s"] == 3
    assert values["sip"]["retransmissions_in_per_s"] == 0
    assert values["records"] == {"written_per_s": 0, "unsynced": 4, "error": None}
    pstn, other = values["trunks"]
    assert (pstn["up"], pstn["calls_in"], pstn["calls_out"], pstn["invites_in_per_s"]) == (True, 3, 2, 3)
    assert pstn["next_hops"] == {"udp://127.0.0.1:5090": True, "udp://127.0.0.2:5090": False}
    assert (other["name"], other["up"], other["next_hops"]) == ("other", False, {})


def test_nothing_happened() -> None:
    _, look = two_looks()
    values = summary(look, look)
    assert values["asr"] is None
    assert values["calls_begun_per_s"] == 0
    assert values["pdd_s"]["p50"] is None


def test_an_engine_that_was_started_anew_counts_from_nothing() -> None:
    before, _ = two_looks()
    tally = Tally()
    tally.calls_begun = 6
    tally.observe_pdd(0.2)
    values = summary(before, Look(102.0, tally.snapshot(), STATS))
    assert values["calls_begun_per_s"] == 3
    assert values["pdd_s"]["p50"] is not None


@given(st.lists(st.floats(0.001, 20, allow_nan=False), min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], wanted: float) -> None:
    bounds = (0.5, 1.0, 2.0, 5.0)
    counts = [0] * 5
    for value in values:
        counts[sum(bound < value for bound in bounds)] += 1
    found = quantile(bounds, counts, wanted)
    assert found is not None
    true = sorted(values)[max(0, min(len(values) - 1, -int(-wanted * len(values) // 1) - 1))]
    place = sum(bound < true for bound in bounds)
    if place == len(bounds):
        assert found == bounds[-1]
    else:
        assert (bounds[place - 1] if place else 0) <= found <= bounds[place]


def test_the_screen_shows_it_all() -> None:
    console = Console(width=140, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(draw(summary(*two_looks()), "q ends"))
    text = console.export_text()
    console.file.close()
    for word in (
        "9.9.9",
        "node-1",
        "ready",
        "1 d 01:01:01",
        "75.0%",
        "not_a_party",
        "callee_busy",
        "pstn",
        "down",
    ):
        assert word in text
    assert "udp://127.0.0.2:5090" in text
    assert "q ends" in text


def test_the_screen_of_an_engine_in_trouble() -> None:
    before, after = two_looks()
    after.stats = {
        **STATS,
        "ready": False,
        "why_not_ready": "disk full",
        "signalling": {"journal_error": "disk full"},
    }
    console = Console(width=140, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(draw(summary(before, after)))
    text = console.export_text()
    console.file.close()
    assert "not ready: disk full" in text
    assert "failing" in text


class Engine:
    """Answers `metrics` and `stats`; between two looks at it two seconds' worth of calls happen."""

    def __init__(self) -> None:
        self._tally = busy_tally()
        self._looks = 0

    def answer(self, op: str, arguments: dict[str, Any]) -> object:
        if op == "stats":
            return STATS
        if op != "metrics":
            raise Refused(op)
        if self._looks:
            go_on(self._tally)
        self._looks += 1
        return self._tally.snapshot()


def test_once_for_a_script(world: World) -> None:
    with world.engine(Engine().answer):
        result = world.run("top", "--once", "--json", "--interval", "0.2")
    assert result.exit_code == 0
    values = json.loads(result.stdout)
    assert values["asr"] == 0.75
    assert values["interval_s"] >= 0.2
    assert values["calls_begun_per_s"] == pytest.approx(8 / values["interval_s"], rel=0.01)


def test_once_for_people(world: World) -> None:
    with world.engine(Engine().answer):
        result = world.run("top", "--once", "--interval", "0.2")
    assert result.exit_code == 0
    assert "75.0%" in result.stdout
    assert "\x1b[?1049h" not in result.stdout


def test_without_a_terminal_or_an_engine(world: World) -> None:
    result = world.run("top")
    assert (result.exit_code, result.stderr) == (2, "this is no terminal: use --once or --json\n")
    assert world.run("top", "--once").exit_code == 1
    assert "no engine runs here" in json.loads(world.run("top", "--once", "--json").stdout)["error"]


@contextmanager
def terminal(world: World) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """`mask700 top` on a terminal of its own: our end of it, and the process."""
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "engine.cli.main",
        "top",
        "--interval",
        "0.2",
        "--config",
        str(world.config),
    ]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "140", "LINES": "50"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        yield ours, process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(ours: int, word: bytes) -> bytes:
    seen = b""
    until = time.monotonic() + 30
    while word not in seen:
        assert time.monotonic() < until, seen
        if select.select([ours], [], [], 1)[0]:
            seen += os.read(ours, 65536)
    return seen


def test_live_until_a_q(world: World) -> None:
    with world.engine(Engine().answer), terminal(world) as (ours, process):
        first = read_until(ours, b"75.0%")
        assert b"\x1b[?1049h" in first  # a screen of its own
        read_until(ours, b"75.0%")  # and again
        os.write(ours, b"xq")
        last = read_until(ours, b"\x1b[?1049l")
        assert process.wait(10) == 0, last


def test_live_until_control_c_and_while_the_engine_is_away(world: World) -> None:
    with terminal(world) as (ours, process):
        read_until(ours, b"no engine runs here")
        with world.engine(Engine().answer):
            read_until(ours, b"75.0%")
        read_until(ours, b"no engine runs here")
        process.send_signal(signal.SIGINT)
        read_until(ours, b"\x1b[?1049l")
        assert process.wait(10) == 0
