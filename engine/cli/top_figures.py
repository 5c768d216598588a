"""What happened between two looks at the engine's counters: rates, ratios and quantiles for `mask700 top`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from engine.observe import catalogue
from engine.observe.tally import Snapshot

_Labels = Mapping[str, str]


@dataclass(slots=True)
class Look:
    """One look: `at` in seconds of a clock that only goes forward, what `metrics` and what `stats` answered."""

    at: float
    metrics: Snapshot
    stats: dict[str, Any]


def summary(before: Look, after: Look) -> dict[str, Any]:
    """Everything that the screen shows, as plain values: rates per second, times in seconds, ratios 0 to 1, None
    where nothing happened to measure."""
    between = _Between(before, after)
    stats = after.stats
    signalling = stats.get("signalling") or {}
    ended = between.by(catalogue.CALLS, "disposition")
    admitted = sum(count for disposition, count in ended.items() if disposition != "refused")
    rate = between.rate
    return {
        "node": stats.get("node"),
        "version": stats.get("version"),
        "uptime_s": stats.get("uptime_s"),
        "ready": stats.get("ready"),
        "why_not_ready": stats.get("why_not_ready"),
        "interval_s": round(between.seconds, 3),
        "calls_active": between.gauge(catalogue.CALLS_ACTIVE),
        "calls_begun_per_s": rate(catalogue.CALLS_BEGUN),
        "attempts_ended_per_s": rate(catalogue.CALLS),
        "asr": ended.get("answered", 0) / admitted if admitted else None,
        "outcomes": between.reasons(lambda labels: labels["disposition"] != "refused"),
        "refusals": between.reasons(lambda labels: labels["disposition"] == "refused"),
        "pdd_s": between.quantiles(catalogue.PDD),
        "setup_s": between.quantiles(catalogue.SETUP),
        "trunks": between.trunks(),
        "sip": {
            "requests_per_s": rate(catalogue.SIP_REQUESTS),
            "responses_per_s": rate(catalogue.SIP_RESPONSES),
            "retransmissions_in_per_s": rate(catalogue.SIP_RETRANSMISSIONS, direction="in"),
            "retransmissions_out_per_s": rate(catalogue.SIP_RETRANSMISSIONS, direction="out"),
            "malformed_per_s": rate(catalogue.SIP_MALFORMED),
            "overload_rejections_per_s": rate(catalogue.OVERLOAD_REJECTIONS),
            "transactions_active": between.gauge(catalogue.TRANSACTIONS_ACTIVE),
            "tcp_connections": between.gauge(catalogue.TCP_CONNECTIONS),
        },
        "loop_lag_s": between.quantiles(catalogue.EVENT_LOOP_LAG),
        "records": {
            "written_per_s": rate(catalogue.RECORDS_WRITTEN),
            "unsynced": between.gauge(catalogue.RECORDS_UNSYNCED),
            "error": signalling.get("journal_error"),
        },
        "bindings": between.gauge(catalogue.BINDINGS),
        "internal_errors": between.total(catalogue.INTERNAL_ERRORS),
    }


def quantile(bounds: tuple[float, ...], counts: list[int], wanted: float) -> float | None:
    """The value below which that share of the observations lies, interpolated within its bucket; beyond the last
    bound there is nothing to interpolate to, and the bound is answered. None without observations."""
    below = list(accumulate(counts))
    if not below or not below[-1]:
        return None
    rank = wanted * below[-1]
    bucket = bisect_left(below, rank)
    if bucket >= len(bounds):
        return bounds[-1]
    lower = bounds[bucket - 1] if bucket else 0.0
    before = below[bucket - 1] if bucket else 0
    return lower + (bounds[bucket] - lower) * (rank - before) / counts[bucket]


class _Between:
    """The difference. A counter that has become less belongs to an engine that was started anew: it counts whole."""

    def __init__(self, before: Look, after: Look) -> None:
        self.seconds = max(after.at - before.at, 1e-3)
        self._after = after.metrics
        known = {(name, *labels): value for name, labels, value in before.metrics["counters"]}
        self._grown = [
            (name, labels, value, _growth(known.get((name, *labels), 0), value))
            for name, labels, value in after.metrics["counters"]
        ]
        self._histograms_before = {name: counts for name, _, counts, _ in before.metrics["histograms"]}

    def rate(self, metric: str, **wanted: str) -> float:
        """Per second."""
        grown = sum(growth for labels, _, growth in self._of(metric) if wanted.items() <= labels.items())
        return round(grown / self.seconds, 3)

    def total(self, metric: str) -> float:
        """Since the engine's start."""
        return sum(value for _, value, _ in self._of(metric))

    def by(self, metric: str, label: str) -> dict[str, float]:
        """How much it grew, by the values of a label."""
        grown: dict[str, float] = {}
        for labels, _, growth in self._of(metric):
            grown[labels[label]] = grown.get(labels[label], 0) + growth
        return grown

    def reasons(self, wanted: Callable[[_Labels], bool]) -> dict[str, dict[str, float]]:
        """Attempts that ended, by reason: per second now, and since the start. The most frequent now first."""
        rows: dict[str, dict[str, float]] = {}
        for labels, value, growth in self._of(catalogue.CALLS):
            if wanted(labels) and value:
                row = rows.setdefault(labels["reason"], {"per_s": 0.0, "total": 0})
                row["per_s"] = round(row["per_s"] + growth / self.seconds, 3)
                row["total"] += value
        return dict(sorted(rows.items(), key=lambda item: (-item[1]["per_s"], -item[1]["total"], item[0])))

    def gauge(self, metric: str, *labels: str) -> float:
        """0 where there is none."""
        for name, values, value in self._after["gauges"]:
            if name == metric and tuple(values) == labels:
                return value
        return 0

    def quantiles(self, metric: str) -> dict[str, float | None]:
        """p50, p95 and p99 of what was observed between the looks."""
        bounds = catalogue.BY_NAME[metric].buckets
        counts = next((counts for name, _, counts, _ in self._after["histograms"] if name == metric), [])
        before = self._histograms_before.get(metric, [])
        if len(before) == len(counts) and all(old <= new for old, new in zip(before, counts, strict=True)):
            counts = [new - old for old, new in zip(before, counts, strict=True)]
        return {f"p{percent}": quantile(bounds, counts, percent / 100) for percent in (50, 95, 99)}

    def trunks(self) -> list[dict[str, Any]]:
        """In the order of the configuration."""
        rows = []
        for name, labels, value in self._after["gauges"]:
            if name != catalogue.TRUNK_UP:
                continue
            trunk = labels[0]
            rows.append(
                {
                    "name": trunk,
                    "up": bool(value),
                    "calls_in": self.gauge(catalogue.TRUNK_CALLS_ACTIVE, trunk, "in"),
                    "calls_out": self.gauge(catalogue.TRUNK_CALLS_ACTIVE, trunk, "out"),
                    "invites_in_per_s": self.rate(
                        catalogue.SIP_REQUESTS, method="INVITE", direction="in", trunk=trunk
                    ),
                    "invites_out_per_s": self.rate(
                        catalogue.SIP_REQUESTS, method="INVITE", direction="out", trunk=trunk
                    ),
                    "next_hops": {
                        hop_labels[1]: bool(up)
                        for hop, hop_labels, up in self._after["gauges"]
                        if hop == catalogue.NEXT_HOP_UP and hop_labels[0] == trunk
                    },
                }
            )
        return rows

    def _of(self, metric: str) -> Iterator[tuple[dict[str, str], float, float]]:
        """Labels, value now, growth."""
        names = catalogue.BY_NAME[metric].labels
        for name, labels, value, growth in self._grown:
            if name == metric:
                yield dict(zip(names, labels, strict=True)), value, growth


def _growth(before: float, after: float) -> float:
    return after - before if after >= before else after
