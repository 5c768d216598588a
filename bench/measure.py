"""Measuring: one load on one server, all loads of a run in rotating order, and what remains to be done afterwards."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench import processes
from bench.bindings import Row
from bench.prober import CALLS_PER_S, Prober
from bench.processes import CpuTime
from bench.servers import PROBER_PORT, Server, last_words
from bench.sipp import Load

WARM_UP_RATE, WARM_UP_SECONDS = 300, 2.0
IDLE_SECONDS = 2.0
# The longest SIP timer that a server may still hold after a call is 64·T1 = 32 s (J, H, L …).
SETTLE_SECONDS = 33.0


@dataclass(slots=True, frozen=True)
class Sample:
    """One load on one server."""

    server: str
    rate: int
    round: int
    user_us: float
    """CPU in user space per successful call, µs, from the first call's start to the last call's end"""
    system_us: float
    """the same in the kernel"""
    calls: int
    """successful calls, SIPp's and the prober's"""
    failed: int
    retransmissions: int
    calls_per_s: float
    """rate that SIPp really made"""
    delays_ms: list[float]
    """INVITE → 180 of the prober's calls"""
    memory_mib: float
    """at the end of the load"""
    others_percent: float
    """CPU that neither the server nor SIPp nor the bench used meanwhile, percent of a core"""

    @property
    def cpu_us(self) -> float:
        """User and system per successful call, µs."""
        return self.user_us + self.system_us


@dataclass(slots=True)
class Aftermath:
    """What a server did outside of the loads' windows: timers that ran out, memory given back, records synced."""

    cpu_us: float
    """per call of the whole run, µs, less what the idle server uses in the same time"""
    idle_percent: float
    """CPU of the idle server before its first call, percent of a core"""
    calls: int
    records: int | None
    """records of calls on disk; None where it keeps none"""


@dataclass(slots=True)
class Run:
    """Everything that was measured."""

    samples: list[Sample] = field(default_factory=list)
    aftermath: dict[str, Aftermath] = field(default_factory=dict)


@dataclass(slots=True)
class _Books:
    started: CpuTime
    started_at: float
    idle: float = 0.0
    in_windows: float = 0.0
    window_seconds: float = 0.0
    calls: int = 0


class NotMasked(Exception):
    """A server did not do the work that is measured; the message says what was seen."""


def prove(server: Server, load: Load, rows: list[Row]) -> None:
    """A few calls, looked at: the callee is asked for by its real number and sees the 700 number; raises NotMasked."""
    outcome = load.run(server.port, 5, 1.0, trace=True)
    if outcome.failed:
        raise NotMasked(
            f"{outcome.failed} of {outcome.wanted} calls failed; its log ends: {last_words(server.log)}"
        )
    if not server.masks:
        return
    seen = load.callee_messages()
    row = rows[0]
    if f"INVITE sip:{row.b}@" not in seen:
        raise NotMasked(f"the Request-URI of the callee's INVITE is not the real number {row.b}")
    for method in ("INVITE", "BYE"):
        request = re.search(rf"^{method} .*?\r?\n\r?\n", seen, re.MULTILINE | re.DOTALL)
        from_ = re.search(r"^From:.*$", request[0], re.MULTILINE) if request else None
        if from_ is None or row.x not in from_[0] or row.a in from_[0]:
            raise NotMasked(
                f"the callee's {method} came from {from_[0] if from_ else 'nobody'}, not from {row.x}"
            )


def measure_all(
    servers: list[Server],
    load: Load,
    rows: list[Row],
    rates: list[int],
    seconds: float,
    rounds: int,
    settle: bool,
    tell: Callable[[str], None],
) -> Run:
    """Every server at every rate, `rounds` times; the order of the servers moves on by one each time."""
    run = Run()
    time.sleep(0.5)
    books = {server.name: _Books(server.cpu(), time.monotonic()) for server in servers}
    time.sleep(IDLE_SECONDS)
    for server in servers:
        book = books[server.name]
        book.idle = server.cpu().since(book.started).total / (time.monotonic() - book.started_at)
    for server in servers:
        tell(f"warming up {server.title}")
        # Counted in no sample, but its calls and its CPU belong to the aftermath's sums.
        _account(books[server.name], *_load_once(server, load, rows, WARM_UP_RATE, WARM_UP_SECONDS, 0))
    turn = 0
    for round_ in range(1, rounds + 1):
        for rate in rates:
            for server in servers[turn % len(servers) :] + servers[: turn % len(servers)]:
                tell(f"round {round_} of {rounds}: {server.title} at {rate:,} calls/s")
                sample, cpu, took = _load_once(server, load, rows, rate, seconds, round_)
                _account(books[server.name], sample, cpu, took)
                run.samples.append(sample)
            turn += 1
    if settle:
        tell(f"waiting {SETTLE_SECONDS:.0f} s for the last timers")
        time.sleep(SETTLE_SECONDS)
        run.aftermath = {server.name: _aftermath(server, books[server.name]) for server in servers}
    return run


def _load_once(
    server: Server, load: Load, rows: list[Row], rate: int, seconds: float, round_: int
) -> tuple[Sample, CpuTime, float]:
    # The prober calls from the far end of the table, so that it does not meet SIPp on a number.
    prober = Prober(PROBER_PORT, server.prober_port, rows[-200:], seconds)
    began, before = time.monotonic(), server.cpu()
    foreign_before = processes.machine_busy() - processes.own_busy() - before.total
    outcome = load.run(server.port, rate - CALLS_PER_S, seconds, beside=prober)
    probes = prober.probes
    after, took = server.cpu(), time.monotonic() - began
    cpu = after.since(before)
    foreign = processes.machine_busy() - processes.own_busy() - after.total - foreign_before
    calls = outcome.successful + probes.completed
    per_call = 1e6 / max(calls, 1)
    sample = Sample(
        server=server.name,
        rate=rate,
        round=round_,
        user_us=cpu.user * per_call,
        system_us=cpu.system * per_call,
        calls=calls,
        failed=outcome.failed + probes.made - probes.completed,
        retransmissions=outcome.retransmissions,
        calls_per_s=outcome.calls_per_s + CALLS_PER_S,
        delays_ms=probes.delays_ms,
        memory_mib=server.memory_mib(),
        others_percent=max(0.0, 100 * foreign / took),
    )
    return sample, cpu, took


def _account(book: _Books, sample: Sample, cpu: CpuTime, took: float) -> None:
    book.in_windows += cpu.total
    book.window_seconds += took
    book.calls += sample.calls


def _aftermath(server: Server, book: _Books) -> Aftermath:
    outside = server.cpu().since(book.started).total - book.in_windows
    seconds_outside = time.monotonic() - book.started_at - book.window_seconds
    return Aftermath(
        cpu_us=max(0.0, outside - book.idle * seconds_outside) * 1e6 / max(book.calls, 1),
        idle_percent=book.idle * 100,
        calls=book.calls,
        records=server.count_records() if server.count_records else None,
    )
