"""What the lab prints while it runs, where there is no terminal and where there is one."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from engine.lab.figures import Figures
from engine.lab.flow import Flow, load_flow
from engine.lab.judge import Verdict
from engine.lab.progress import Progress, load_line
from engine.lab.sides import Outcome
from tests.flows.stage import SCENARIOS

LOAD = load_flow(SCENARIOS / "load").scaled(100, 500, 1)
BUSY = load_flow(SCENARIOS / "busy")


def outcome(flow: Flow, *problems: str) -> Outcome:
    return Outcome(flow, Verdict(flow.calls, problems=list(problems)), Path(), "engine", Figures())


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(2, quiet=False) as progress:
        for seconds in (0.0, 0.5, 1.0, 2.5, 3.0, 3.5, 7.0):
            progress.watch(LOAD, Figures(made=int(100 * seconds), seconds=seconds))
            progress.watch(BUSY, Figures(seconds=seconds))
        progress.done(outcome(BUSY))
        progress.done(outcome(LOAD, "1 call failed"))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "load: 500 calls, 100 a second, 1 s each"
    assert [line.partition(",")[0] for line in lines[1:-2]] == [
        "load: calls 300 of 500",
        "load: calls 700 of 500",
    ]
    assert lines[-2:] == ["1/2 busy passed", "2/2 load did not pass"]


def test_nothing_where_it_is_to_be_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1, quiet=True) as progress:
        progress.watch(LOAD, Figures())
        progress.done(outcome(LOAD))
    assert capsys.readouterr().err == ""


def test_one_live_line_and_the_load_on_a_terminal() -> None:
    screen = io.StringIO()
    with Progress(3, quiet=False, console=Console(file=screen, force_terminal=True, width=100)) as progress:
        progress.done(outcome(BUSY, "no"))
        progress.watch(BUSY, Figures())
        progress.watch(LOAD, Figures(made=50, answered=49, failed=1, pdd_ms=(4.0, 8.0)))
    shown = screen.getvalue()
    assert "1 of 3 flows done, 1 did not pass: busy, load" in shown
    assert "98.00%" in shown
    assert "8 / 8 / 8 / 8 ms" in shown


def test_a_load_line_has_every_figure() -> None:
    figures = Figures(
        made=100,
        answered=90,
        ended=80,
        failed=10,
        retransmissions=3,
        sent_again=2,
        pdd_ms=(10.0, 20.0, 30.0),
        cpu_us_per_call=650.4,
        cpu_share=0.2,
        memory=105_000_000,
        seconds=1.0,
    )
    assert load_line(LOAD, figures) == (
        "load: calls 100 of 500, up 20, failed 10, ASR 90.00%, PDD median / p95 / p99 / max 20 / 30 / 30 / 30 ms, "
        "CPU per call 650 µs (20% of a core), memory 105 MB, retransmissions 3 by SIPp, 2 by the engine"
    )
