"""What a flow measures, while it runs and when it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from engine.lab.engine_process import Usage
from engine.lab.sipp import Standing

_SHARES = (("median", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))


@dataclass(slots=True, frozen=True)
class Figures:
    """Of one flow so far. `made`, `answered`, `ended`, `failed` count calls at the caller's side; `retransmissions`
    are SIPp's on all sides, `sent_again` the engine's, asked for under load only; `pdd_ms` ascending post-dial
    delays in milliseconds; CPU is of all the engine's processes, in microseconds a call and as a share of one core;
    `memory` theirs in bytes; `seconds` since the flow began."""

    made: int = 0
    answered: int = 0
    ended: int = 0
    failed: int = 0
    retransmissions: int = 0
    sent_again: int = 0
    pdd_ms: tuple[float, ...] = ()
    cpu_us_per_call: float = 0.0
    cpu_share: float = 0.0
    memory: int = 0
    seconds: float = 0.0

    @property
    def asr(self) -> float | None:
        """Answer-seizure ratio of the calls whose set-up has ended; None before there is one."""
        tried = max(
            self.answered, min(self.answered + self.failed, self.made)
        )  # one may fail after its answer
        return self.answered / tried if tried else None

    @property
    def up(self) -> int:
        """Calls that ring or talk."""
        return max(0, self.made - self.ended)


def quantiles(times: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile and the longest of ascending times; zeros when there are none."""
    last = len(times) - 1
    return {name: times[min(last, int(len(times) * share))] if times else 0.0 for name, share in _SHARES}


class Machine(Protocol):
    """Something that uses CPU and memory: an engine."""

    def usage(self) -> Usage: ...


@dataclass(slots=True)
class Meter:
    """Looks at the caller's SIPp, the callees' and the engine of one flow. `begun`: the loop's time, `before`: what
    the engine had used until then."""

    caller: Standing
    callees: Sequence[Standing]
    engine: Machine
    begun: float
    before: Usage
    _pdd_ms: list[float] = field(default_factory=list)
    _answered: int = 0

    def read(self, now: float, sent_again: int = 0) -> Figures:
        """The figures at the loop's time `now`."""
        for name, time_ms in self.caller.new_times():
            if name == "pdd":
                self._pdd_ms.append(time_ms)
            elif name == "setup":
                self._answered += 1
        self._pdd_ms.sort()
        counts = self.caller.counts()
        ended = counts.passed + counts.failed
        usage = self.engine.usage()
        cpu_s, seconds = usage.cpu_s - self.before.cpu_s, now - self.begun
        worth = (counts.created + ended) / 2  # a call that is up has cost about half of what it will
        return Figures(
            made=counts.created,
            answered=self._answered,
            ended=ended,
            failed=counts.failed,
            retransmissions=sum(one.counts().retransmissions for one in (self.caller, *self.callees)),
            sent_again=sent_again,
            pdd_ms=tuple(self._pdd_ms),
            cpu_us_per_call=cpu_s * 1e6 / worth if worth else 0.0,
            cpu_share=cpu_s / seconds if seconds > 0 else 0.0,
            memory=usage.memory,
            seconds=seconds,
        )
