"""What the lab shows while it runs: on a terminal one live line, and a table for load; elsewhere plain lines."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from engine.lab.figures import Figures, quantiles
from engine.lab.flow import Flow
from engine.lab.sides import Outcome

_LINE_S = 3.0  # between two lines about load where there is no terminal
_MOST_NAMES = 4


class Progress:
    """Hears of every flow what it measures and what came of it. To standard error."""

    def __init__(self, flows: int, quiet: bool, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, quiet=quiet)
        self._flows = flows
        self._running: dict[str, tuple[Flow, Figures]] = {}
        self._ended = 0
        self._failed = 0
        self._next_line: dict[str, float] = {}
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

    def watch(self, flow: Flow, figures: Figures) -> None:
        """The flow is about to begin (no figures yet), or goes on."""
        self._running[flow.name] = (flow, figures)
        if self._console.is_terminal:
            self._show()
        elif flow.file.load and figures.seconds >= self._next_line.get(flow.name, 0.0):
            self._next_line[flow.name] = figures.seconds + _LINE_S
            self._say(load_line(flow, figures) if figures.made else load_plan(flow))

    def done(self, outcome: Outcome) -> None:
        """The flow has ended."""
        self._ended += 1
        self._failed += not outcome.passed
        self._running.pop(outcome.flow.name, None)
        if self._console.is_terminal:
            self._show()
        else:
            verdict = "passed" if outcome.passed else "did not pass"
            self._say(f"{self._ended}/{self._flows} {outcome.flow.name} {verdict}")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _show(self) -> None:
        names = list(self._running)
        more = len(names) - _MOST_NAMES
        running = (": " if names else "") + ", ".join(names[:_MOST_NAMES])
        running += f" and {more} more" if more > 0 else ""
        failed = f", {self._failed} did not pass" if self._failed else ""
        self._spinner.update(text=f"{self._ended} of {self._flows} flows done{failed}{running}")
        loads = [pair for pair in self._running.values() if pair[0].file.load]
        self._live.update(Group(self._spinner, *(_load_table(flow, figures) for flow, figures in loads)))


def load_plan(flow: Flow) -> str:
    """What a load flow will do."""
    return (
        f"{flow.name}: {flow.calls} calls, {flow.file.rate:g} a second, {flow.file.hold_ms / 1000:g} s each"
    )


def load_line(flow: Flow, figures: Figures) -> str:
    """A load flow's figures so far on one line."""
    return f"{flow.name}: " + ", ".join(f"{title} {value}" for title, value in _load_rows(flow, figures))


def _load_table(flow: Flow, figures: Figures) -> Table:
    table = Table(title=load_plan(flow), title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for title, value in _load_rows(flow, figures):
        table.add_row(title, value)
    return table


def _load_rows(flow: Flow, figures: Figures) -> list[tuple[str, str]]:
    pdd = quantiles(figures.pdd_ms)
    asr = "–" if figures.asr is None else f"{figures.asr:.2%}"
    return [
        ("calls", f"{figures.made} of {flow.calls}"),
        ("up", str(figures.up)),
        ("failed", str(figures.failed)),
        ("ASR", asr),
        (f"PDD {' / '.join(pdd)}", " / ".join(f"{pdd[name]:g}" for name in pdd) + " ms"),
        ("CPU per call", f"{figures.cpu_us_per_call:.0f} µs ({figures.cpu_share:.0%} of a core)"),
        ("memory", f"{figures.memory / 1e6:.0f} MB"),
        ("retransmissions", f"{figures.retransmissions} by SIPp, {figures.sent_again} by the engine"),
    ]
