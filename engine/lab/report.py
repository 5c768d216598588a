"""What the lab prints: one line of progress while it runs, the table, and where to look next."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

from engine.lab.flow import Flow
from engine.lab.lab import Outcome

_SHOWN_NUMBERS = 2
_FILE_COLUMNS = 120  # when what is printed does not go to a terminal


class Progress:
    """A live line on a terminal; where there is none, a line for each flow that begins. To standard error."""

    def __init__(self, flows: int, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._flows = flows
        self._begun: list[str] = []
        self._spinner = Spinner("dots", "starting the engine")
        self._live = Live(self._spinner, console=self._console, transient=True)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def watch(self, flow: Flow, done: int) -> None:
        """The flow has begun, or goes on with `done` calls behind it."""
        new = flow.name not in self._begun
        if new:
            self._begun.append(flow.name)
        text = f"{len(self._begun)}/{self._flows} {flow.name}: {done} of {flow.calls} calls"
        if self._console.is_terminal:
            self._spinner.update(text=text)
        elif new:
            self._console.print(f"{len(self._begun)}/{self._flows} {flow.name}", highlight=False)


def print_flows(flows: Sequence[Flow]) -> None:
    """What there is to run."""
    table = Table(title="The flows of the lab", title_justify="left")
    table.add_column("Flow", no_wrap=True)
    table.add_column("Calls", justify="right")
    table.add_column("What it proves")
    for flow in flows:
        table.add_row(flow.name, str(flow.calls), escape(flow.file.proves))
    _screen().print(table)


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """The table; below it the figures of load flows and whatever did not pass."""
    console = _screen()
    table = Table(title="Masked calls", title_justify="left")
    table.add_column("Flow", no_wrap=True)
    table.add_column("Calls", justify="right")
    table.add_column("Passed", justify="right")
    table.add_column("What the callee saw")
    table.add_column("CDR reason", no_wrap=True)
    for outcome in outcomes:
        verdict = outcome.verdict
        style = "green" if outcome.passed else "bold red"
        table.add_row(
            outcome.flow.name,
            str(verdict.calls),
            f"[{style}]{verdict.passed}[/]",
            _saw(verdict.saw),
            escape(_counted(verdict.reasons)) or "–",
        )
    console.print(table)
    for outcome in outcomes:
        if outcome.flow.file.load:
            console.print(_load_line(outcome), highlight=False, soft_wrap=True)
    for outcome in outcomes:
        if not outcome.passed:
            console.print(f"\n[bold red]{outcome.flow.name} did not pass[/] ({outcome.flow.file.proves})")
            for problem in outcome.verdict.problems:
                console.print(f"  {escape(problem)}", highlight=False, soft_wrap=True)
            console.print(f"  SIPp's logs and messages: {outcome.folder}", highlight=False, soft_wrap=True)


def print_next_steps(outcomes: Sequence[Outcome], config: Path) -> None:
    """Where to look next."""
    first = outcomes[0]
    good = sum(outcome.passed for outcome in outcomes)
    mask700 = _own_command()
    lines = [
        f"{good} of {len(outcomes)} flows passed. Where to look next:",
        f"  the messages of a flow   {first.folder}/uas_messages.log, as the callee's phone saw them",
        f"  its scenario             {first.flow.folder}/, and how to write one: sipp_scenarios/README.md",
        f"  one flow again           {mask700} lab NAME; all names: {mask700} lab --list",
        f"  some load                {mask700} lab load --rate 300 --calls 3000 --hold 2",
        f"  the engine's own log     {first.folder.parent}/engine.log",
        f"  its records              {mask700} cdr query --json --config {config} "
        f"--set 'data_dir=\"{first.folder.parent}/engine\"'",
        f"  the engine by itself     {mask700} serve --config {config}",
    ]
    _screen().print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _screen() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_FILE_COLUMNS)


def _own_command() -> str:
    """How this command is called from here: by name, or by the path that it was called by."""
    called = Path(sys.argv[0]).absolute()
    if shutil.which(called.name) or not called.is_relative_to(Path.cwd()):
        return "mask700"
    return str(called.relative_to(Path.cwd()))


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "passed": all(outcome.passed for outcome in outcomes),
        "flows": [_as_json(one) for one in outcomes],
    }


def _as_json(outcome: Outcome) -> dict[str, Any]:
    verdict, figures = outcome.verdict, outcome.figures
    return {
        "flow": outcome.flow.name,
        "proves": outcome.flow.file.proves,
        "calls": verdict.calls,
        "passed": verdict.passed,
        "callee_saw": dict(verdict.saw),
        "reasons": dict(verdict.reasons),
        "problems": verdict.problems,
        "retransmissions": figures.retransmissions,
        "pdd_ms": _quantiles(figures.pdd_ms),
        "cpu_us_per_call": round(figures.cpu_us_per_call, 1),
        "memory_bytes": figures.memory,
        "logs": str(outcome.folder),
    }


def _load_line(outcome: Outcome) -> str:
    figures, file = outcome.figures, outcome.flow.file
    pdd = _quantiles(figures.pdd_ms)
    return (
        f"{outcome.flow.name}: {outcome.verdict.calls} calls at {file.rate:g}/s, {file.hold_ms / 1000:g} s each: "
        f"{outcome.verdict.calls - outcome.verdict.passed} failed, {figures.retransmissions} retransmissions, "
        f"PDD {pdd['median']:g} ms median, {pdd['p99']:g} ms p99, {pdd['max']:g} ms max, "
        f"engine CPU {figures.cpu_us_per_call:.0f} µs per call, memory {figures.memory / 1e6:.0f} MB"
    )


def _quantiles(times: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and longest of ascending times; zeros when there are none."""
    if not times:
        return {"median": 0, "p99": 0, "max": 0}
    return {
        "median": times[len(times) // 2],
        "p99": times[min(len(times) - 1, len(times) * 99 // 100)],
        "max": times[-1],
    }


def _saw(saw: Counter[str]) -> str:
    if not saw:
        return "nothing"
    numbers = sorted(saw)
    more = len(numbers) - _SHOWN_NUMBERS
    return ", ".join(numbers[:_SHOWN_NUMBERS]) + (f" and {more} more" if more > 0 else "")


def _counted(reasons: Counter[str]) -> str:
    if len(reasons) == 1:
        return next(iter(reasons))
    return ", ".join(f"{reason} × {times}" for reason, times in reasons.most_common())
