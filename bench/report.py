"""What a run says: medians over the rounds, ratios within a round, and how far the rounds lie apart."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from statistics import median

from rich.table import Table

from bench.measure import Run, Sample
from bench.servers import NAMES

BASELINE, FLOOR = "kamailio", "relay"
HEADS = (
    *("user µs", "system µs", "CPU µs", "± rounds", "÷ Kamailio", "÷ floor"),
    *("PDD p50 ms", "p99 ms", "retrans.", "failed", "MiB"),
)


@dataclass(slots=True, frozen=True)
class Line:
    """One server at one rate, over all rounds."""

    server: str
    rate: int
    cpu_us: float
    """median over the rounds"""
    user_us: float
    system_us: float
    spread_percent: float
    """(highest − lowest round) / median of `cpu_us`"""
    to_kamailio: float | None
    """median of the rounds' ratios: both were measured within the same minute"""
    to_floor: float | None
    pdd_p50_ms: float | None
    pdd_p99_ms: float | None
    retransmissions_percent: float
    """of the calls"""
    failed: int
    calls: int
    calls_per_s: float
    memory_mib: float
    """highest of the rounds"""


def lines_of(run: Run) -> list[Line]:
    """A line for each rate and server."""
    keys = {(sample.rate, NAMES.index(sample.server)) for sample in run.samples}
    return [_line(run, NAMES[server], rate) for rate, server in sorted(keys)]


def as_json(
    run: Run, titles: dict[str, str], missing: dict[str, str], asked: dict[str, object]
) -> dict[str, object]:
    """Everything in one JSON value; times in the units that the names end with."""
    return {
        "machine": f"{platform.machine()} {platform.release()}, Python {platform.python_version()}",
        "asked": asked,
        "servers": titles,
        "not_measured": missing,
        "results": [asdict(line) for line in lines_of(run)],
        "aftermath": {name: asdict(after) for name, after in run.aftermath.items()},
        "samples": [asdict(sample) for sample in run.samples],
    }


def table_of(run: Run, titles: dict[str, str]) -> Table:
    """The table that is read."""
    table = Table(title="CPU of the server per call, one load, alternating", title_justify="left")
    table.add_column("calls/s", justify="right")
    table.add_column("server")
    for head in HEADS:
        table.add_column(head, justify="right")
    rate = 0
    for line in lines_of(run):
        if rate and line.rate != rate:
            table.add_section()
        table.add_row(f"{line.rate:,}" if line.rate != rate else "", titles[line.server], *_cells(line))
        rate = line.rate
    return table


def notes_of(run: Run, titles: dict[str, str], missing: dict[str, str]) -> list[str]:
    """What stands below the table: what is not in it, and what makes its numbers doubtful."""
    notes = [f"Not measured: {name}: {why}" for name, why in missing.items()]
    for line in lines_of(run):
        if line.calls_per_s < 0.93 * line.rate:
            slow = f"SIPp could make only {line.calls_per_s:,.0f} calls/s"
            notes.append(f"{titles[line.server]} at {line.rate:,} calls/s: {slow}.")
    for name, after in run.aftermath.items():
        said = f"{titles[name]}: {after.cpu_us:.0f} µs/call more after the loads (timers that run out)"
        said += f", idle {after.idle_percent:.1f} % of a core"
        if after.records is not None:
            said += f", {after.records:,} records on disk for {after.calls:,} calls"
        notes.append(said + ".")
    others = [sample.others_percent for sample in run.samples]
    notes.append(
        f"Other processes took {median(others):.0f} % of a core meanwhile, at most {max(others):.0f} %: "
        "above some 10 %, measure again."
    )
    worst = max((line.spread_percent for line in lines_of(run)), default=0.0)
    notes.append(
        f"The rounds of one server lie up to {worst:.0f} % apart: a difference below that is noise. "
        "Compare ratios of one run, never µs of two."
    )
    return notes


def _cells(line: Line) -> list[str]:
    return [
        f"{line.user_us:.0f}",
        f"{line.system_us:.0f}",
        f"{line.cpu_us:.0f}",
        f"{line.spread_percent:.0f} %",
        _ratio(line.to_kamailio),
        _ratio(line.to_floor),
        _ratio(line.pdd_p50_ms),
        _ratio(line.pdd_p99_ms),
        f"{line.retransmissions_percent:.2f} %",
        f"[red]{line.failed}[/red]" if line.failed else "0",
        f"{line.memory_mib:.0f}",
    ]


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _line(run: Run, server: str, rate: int) -> Line:
    samples = [sample for sample in run.samples if (sample.server, sample.rate) == (server, rate)]
    cpu = [sample.cpu_us for sample in samples]
    delays = sorted(delay for sample in samples for delay in sample.delays_ms)
    calls = sum(sample.calls for sample in samples)
    return Line(
        server=server,
        rate=rate,
        cpu_us=median(cpu),
        user_us=median(sample.user_us for sample in samples),
        system_us=median(sample.system_us for sample in samples),
        spread_percent=100 * (max(cpu) - min(cpu)) / max(median(cpu), 1e-9),
        to_kamailio=_median_ratio(run, samples, BASELINE),
        to_floor=_median_ratio(run, samples, FLOOR),
        pdd_p50_ms=_quantile(delays, 0.50),
        pdd_p99_ms=_quantile(delays, 0.99),
        retransmissions_percent=100 * sum(sample.retransmissions for sample in samples) / max(calls, 1),
        failed=sum(sample.failed for sample in samples),
        calls=calls,
        calls_per_s=median(sample.calls_per_s for sample in samples),
        memory_mib=max(sample.memory_mib for sample in samples),
    )


def _median_ratio(run: Run, samples: list[Sample], other: str) -> float | None:
    others = {(s.rate, s.round): s.cpu_us for s in run.samples if s.server == other}
    ratios = [s.cpu_us / base for s in samples if (base := others.get((s.rate, s.round), 0.0)) > 0]
    return median(ratios) if ratios else None


def _quantile(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
