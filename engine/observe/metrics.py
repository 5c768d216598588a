"""The Prometheus page: the last figures of the signalling process and the control process's own."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from engine.observe import catalogue
from engine.observe.tally import Snapshot
from engine.observe.udp_queues import UdpQueue

SeriesName = tuple[str, tuple[str, ...]]  # a metric and its label values

_Series = dict[str, dict[tuple[str, ...], float]]  # by metric and label values

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics(Collector):
    """Holds what is known until the next scrape asks for more.

    `expected`: counters of the signalling process that are 0 until they move, instead of missing. `others`: gives
    series of other processes, by name and label values.
    `ready`, `table_in_force_since` (unix time, None: no table) and `udp_queues` (by address) are the control
    process's own to say.
    """

    def __init__(
        self,
        version: str,
        expected: Iterable[SeriesName] = (),
        others: Callable[[], Mapping[str, Mapping[tuple[str, ...], float]]] = dict,
    ) -> None:
        self._expected: _Series = {}
        for name, labels in expected:
            self._expected.setdefault(name, {})[labels] = 0
        self.ready = False
        self.table_in_force_since: float | None = None
        self.udp_queues: Mapping[str, UdpQueue] = {}
        self._counters: _Series = {}
        self._gauges: _Series = {}
        self._histograms: dict[str, dict[tuple[str, ...], tuple[list[int], float]]] = {}
        self._reloads: dict[tuple[str, ...], float] = {("loaded",): 0, ("rejected",): 0, ("failed",): 0}
        self._others = others
        self._build = (version, platform.python_version())
        self._fresh = False
        self._signalling_pid = 0
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        ProcessCollector("mask700_signalling", lambda: self._signalling_pid, registry=self._registry)

    def signalling_started(self, pid: int) -> None:
        """Its processor time and memory are read from the system from now on; 0: it is gone."""
        self._signalling_pid = pid

    def update(self, snapshot: Snapshot) -> None:
        """The signalling process's figures, now."""
        self._counters = _by_name(snapshot["counters"])
        self._gauges = _by_name(snapshot["gauges"])
        self._histograms = {}
        for name, labels, counts, total in snapshot["histograms"]:
            self._histograms.setdefault(name, {})[tuple(labels)] = (counts, total)
        self._fresh = True

    def unanswered(self) -> None:
        """It did not answer: what is known stays, marked by `mask700_signalling_up` 0."""
        self._fresh = False

    def reloaded(self, result: str) -> None:
        """Count a reload: "loaded", "rejected" (bad rows) or "failed"."""
        self._reloads[(result,)] += 1

    def page(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        queues = self.udp_queues.items()
        since = self.table_in_force_since
        others = self._others()
        counters: Mapping[str, Mapping[tuple[str, ...], float]] = {
            **others,
            **self._counters,
            **{name: {**zeros, **self._counters.get(name, {})} for name, zeros in self._expected.items()},
            catalogue.BINDING_RELOADS: self._reloads,
            catalogue.UDP_DROPS: {(address,): queue.dropped for address, queue in queues},
        }
        gauges: Mapping[str, Mapping[tuple[str, ...], float]] = {
            **others,
            **self._gauges,
            catalogue.BUILD_INFO: {self._build: 1.0},
            catalogue.SIGNALLING_UP: {(): float(self._fresh)},
            catalogue.READY: {(): float(self.ready)},
            catalogue.BINDING_TABLE_TIMESTAMP: {} if since is None else {(): since},
            catalogue.UDP_RECEIVE_QUEUE: {(address,): queue.waiting for address, queue in queues},
        }
        for metric in catalogue.METRICS:
            if metric.kind == "counter":
                counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
                for labels, value in counters.get(metric.name, {}).items():
                    counter.add_metric(labels, value)
                yield counter
            elif metric.kind == "gauge":
                gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
                for labels, value in gauges.get(metric.name, {}).items():
                    gauge.add_metric(labels, value)
                yield gauge
            else:
                histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
                bounds = [*map(floatToGoString, metric.buckets), "+Inf"]
                for labels, (counts, total) in self._histograms.get(metric.name, {}).items():
                    below = list(zip(bounds, map(float, accumulate(counts)), strict=True))
                    histogram.add_metric(labels, below, total)
                yield histogram


def _by_name(series: list[tuple[str, list[str], float]]) -> _Series:
    by_name: _Series = {}
    for name, labels, value in series:
        by_name.setdefault(name, {})[tuple(labels)] = value
    return by_name
