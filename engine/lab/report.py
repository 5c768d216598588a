"""What the lab prints in the end: the table, the figures of load, and where to look next."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.lab.figures import quantiles
from engine.lab.flow import Flow
from engine.lab.progress import load_line
from engine.lab.sides import Outcome

_SHOWN_NUMBERS = 2
_CALLEES_MESSAGES = "uas_messages.log"
_FILE_COLUMNS = 120  # when what is printed does not go to a terminal


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
            console.print(load_line(outcome.flow, outcome.figures), highlight=False, soft_wrap=True)
    for outcome in outcomes:
        if not outcome.passed:
            console.print(f"\n[bold red]{outcome.flow.name} did not pass[/] ({outcome.flow.file.proves})")
            for problem in outcome.verdict.problems:
                console.print(f"  {escape(problem)}", highlight=False, soft_wrap=True)
            console.print(f"  SIPp's logs and messages: {outcome.folder}", highlight=False, soft_wrap=True)
            console.print(
                f"  its engine's log: {outcome.folder.parent / outcome.engine}.log",
                highlight=False,
                soft_wrap=True,
            )


def print_next_steps(outcomes: Sequence[Outcome], config: Path) -> None:
    """Where to look next."""
    first = next(
        (outcome for outcome in outcomes if (outcome.folder / _CALLEES_MESSAGES).is_file()), outcomes[0]
    )
    seen = first.folder / _CALLEES_MESSAGES
    messages = f"{seen}, as the callee's phone saw them" if seen.is_file() else first.folder
    good = sum(outcome.passed for outcome in outcomes)
    mask700 = _own_command()
    lines = [
        f"{good} of {len(outcomes)} flows passed. Where to look next:",
        f"  the messages of a flow   {messages}",
        f"  its scenario             {first.flow.folder}/, and how to write one: sipp_scenarios/README.md",
        f"  one flow again           {mask700} lab NAME; all names: {mask700} lab --list",
        f"  some load                {mask700} lab load --rate 300 --calls 3000 --hold 2",
        f"  the engine's own log     {first.folder.parent}/{first.engine}.log",
        f"  its records              {mask700} cdr query --json --config {config} "
        f"--set 'data_dir=\"{first.folder.parent}/{first.engine}\"'",
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
        "asr": None if figures.asr is None else round(figures.asr, 5),
        "retransmissions": figures.retransmissions,
        "engine_retransmissions": figures.sent_again,
        "pdd_ms": quantiles(figures.pdd_ms),
        "cpu_us_per_call": round(figures.cpu_us_per_call, 1),
        "memory_bytes": figures.memory,
        "seconds": round(figures.seconds, 1),
        "logs": str(outcome.folder),
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
