"""The signalling process's own figures: plain integers, counted on the call path.

A count is one dictionary increment. The control process fetches a `Snapshot` and makes a Prometheus page of
it (`engine.observe.metrics`); nothing here knows Prometheus.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TypedDict

from engine.observe import catalogue

OTHER = "OTHER"
UNHEARD = "unheard"
_MOST_KINDS = 64  # of malformed messages; the parser has fewer

_METHODS = frozenset(
    (
        *("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "PRACK", "UPDATE", "INFO"),
        *("MESSAGE", "REFER", "REGISTER", "SUBSCRIBE", "NOTIFY", "PUBLISH"),
    )
)
# IANA's response codes; what is not among them goes by its class, so that nobody can invent labels.
_CODES: dict[int, str] = {
    code: str(code)
    for code in (
        *(100, 180, 181, 182, 183, 199, 200, 202, 204, 300, 301, 302, 305, 380),
        *(*range(400, 411), 412, 413, 414, 415, 416, 417, 420, 421, 422, 423, 424, 425, 428, 429, 430, 433),
        *(
            436,
            437,
            438,
            439,
            440,
            469,
            470,
            *range(480, 490),
            491,
            493,
            494,
            *range(500, 506),
            513,
            555,
            580,
        ),
        *(600, 603, 604, 606, 607, 608),
    )
}

Series = list[tuple[str, list[str], float]]


class Snapshot(TypedDict):
    """As it crosses the link: [name, label values, value]; a histogram's counts are one per bucket (not
    cumulative) with +Inf last, followed by the sum."""

    counters: Series
    gauges: Series
    histograms: list[tuple[str, list[str], list[int], float]]


class Histogram:
    """Counts per bucket; an observation equal to a bound falls below it (`le`)."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Tally:
    """Counters by method call, gauges by attribute.

    `direction` of a message is "in" or "out". `trunk` is a configured trunk's name or "unknown".
    """

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, str], int] = {}
        self.responses: dict[tuple[str, str, str, str], int] = {}
        self.retransmissions: dict[str, int] = {}
        self.malformed_messages: dict[str, int] = {}
        self.calls: dict[tuple[str, str, str], int] = {}
        self.messages: dict[tuple[str, str], int] = {}
        self.records: dict[str, int] = {}
        self.overloads: dict[str, int] = {}
        self.captured: dict[str, int] = {}
        self.pdd = _histogram(catalogue.PDD)
        self.setup = _histogram(catalogue.SETUP)
        self.talk = _histogram(catalogue.TALK)
        self.lookup = _histogram(catalogue.BINDING_LOOKUP)
        self.failure = _histogram(catalogue.FAILURE)
        self.loop_lag = _histogram(catalogue.EVENT_LOOP_LAG)
        self.internal_errors: dict[str, int] = {}
        self.calls_begun = 0
        self.calls_active = 0
        self.transactions_active = 0
        self.records_unsynced = 0
        self.records_lost = 0
        self.record_write_failures = 0
        self.record_sync_failures = 0
        self.journal_failed = False
        self.records_elsewhere = False
        self.tcp_connections = 0
        self.bindings = 0
        self.draining = False
        self.trunk_up: dict[str, bool] = {}
        self.trunk_calls: dict[tuple[str, str], int] = {}  # by trunk and direction
        self.next_hop_up: dict[tuple[str, str], bool] = {}  # by trunk and address

    def sip_request(self, method: str, direction: str, trunk: str) -> None:
        key = (method if method in _METHODS else OTHER, direction, trunk)
        self.requests[key] = self.requests.get(key, 0) + 1

    def sip_response(self, method: str, code: int, direction: str, trunk: str) -> None:
        label = _CODES.get(code) or f"{code // 100}xx"
        key = (method if method in _METHODS else OTHER, label, direction, trunk)
        self.responses[key] = self.responses.get(key, 0) + 1

    def retransmission(self, direction: str) -> None:
        self.retransmissions[direction] = self.retransmissions.get(direction, 0) + 1

    def malformed(self, kind: str) -> None:
        if kind not in self.malformed_messages and len(self.malformed_messages) >= _MOST_KINDS:
            kind = OTHER
        self.malformed_messages[kind] = self.malformed_messages.get(kind, 0) + 1

    def unheard(self, count: int) -> None:
        """Datagrams of senders of rubbish that were not looked at: one more kind of malformed messages."""
        self.malformed_messages[UNHEARD] = self.malformed_messages.get(UNHEARD, 0) + count

    def call_ended(self, model: str, disposition: str, reason: str) -> None:
        """`model` is "" for an attempt that found no binding."""
        key = (model, disposition, reason)
        self.calls[key] = self.calls.get(key, 0) + 1

    def message_ended(self, disposition: str, reason: str) -> None:
        key = (disposition, reason)
        self.messages[key] = self.messages.get(key, 0) + 1

    def record_written(self, record_type: str) -> None:
        self.records[record_type] = self.records.get(record_type, 0) + 1

    def overload(self, cause: str) -> None:
        self.overloads[cause] = self.overloads.get(cause, 0) + 1

    def internal_error(self, where: str) -> None:
        """A fault of ours; `where` is a word of the code's, not of anybody's message."""
        self.internal_errors[where] = self.internal_errors.get(where, 0) + 1

    def observe_pdd(self, seconds: float) -> None:
        self.pdd.observe(seconds)

    def observe_setup(self, seconds: float) -> None:
        self.setup.observe(seconds)

    def observe_failure(self, seconds: float) -> None:
        self.failure.observe(seconds)

    def observe_talk(self, seconds: float) -> None:
        self.talk.observe(seconds)

    def observe_lookup(self, seconds: float) -> None:
        self.lookup.observe(seconds)

    def observe_loop_lag(self, seconds: float) -> None:
        self.loop_lag.observe(seconds)

    def snapshot(self) -> Snapshot:
        """Everything as it stands, ready for JSON."""
        counters: Series = []
        counters += [(catalogue.SIP_REQUESTS, list(key), count) for key, count in self.requests.items()]
        counters += [(catalogue.SIP_RESPONSES, list(key), count) for key, count in self.responses.items()]
        counters += [(catalogue.CALLS, list(key), count) for key, count in self.calls.items()]
        counters += [(catalogue.MESSAGES, list(key), count) for key, count in self.messages.items()]
        for name, counts in (
            (catalogue.SIP_RETRANSMISSIONS, self.retransmissions),
            (catalogue.SIP_MALFORMED, self.malformed_messages),
            (catalogue.RECORDS_WRITTEN, self.records),
            (catalogue.OVERLOAD_REJECTIONS, self.overloads),
            (catalogue.INTERNAL_ERRORS, self.internal_errors),
            (catalogue.CAPTURED, self.captured),
        ):
            counters += [(name, [label], count) for label, count in counts.items()]
        counters += [
            (catalogue.CALLS_BEGUN, [], self.calls_begun),
            (catalogue.RECORDS_LOST, [], self.records_lost),
            (catalogue.RECORD_FAILURES, ["write"], self.record_write_failures),
            (catalogue.RECORD_FAILURES, ["sync"], self.record_sync_failures),
        ]
        gauges: Series = [
            (catalogue.CALLS_ACTIVE, [], self.calls_active),
            (catalogue.TRANSACTIONS_ACTIVE, [], self.transactions_active),
            (catalogue.RECORDS_UNSYNCED, [], self.records_unsynced),
            (catalogue.BINDINGS, [], self.bindings),
            (catalogue.DRAINING, [], int(self.draining)),
            (catalogue.JOURNAL_FAILED, [], int(self.journal_failed)),
            (catalogue.RECORDS_ELSEWHERE, [], int(self.records_elsewhere)),
            (catalogue.TCP_CONNECTIONS, [], self.tcp_connections),
        ]
        gauges += [(catalogue.TRUNK_UP, [trunk], int(up)) for trunk, up in self.trunk_up.items()]
        gauges += [
            (catalogue.TRUNK_CALLS_ACTIVE, list(key), count) for key, count in self.trunk_calls.items()
        ]
        gauges += [(catalogue.NEXT_HOP_UP, list(key), int(up)) for key, up in self.next_hop_up.items()]
        histograms = [
            (name, list[str](), list(histogram.counts), histogram.total)
            for name, histogram in (
                (catalogue.PDD, self.pdd),
                (catalogue.SETUP, self.setup),
                (catalogue.FAILURE, self.failure),
                (catalogue.TALK, self.talk),
                (catalogue.BINDING_LOOKUP, self.lookup),
                (catalogue.EVENT_LOOP_LAG, self.loop_lag),
            )
        ]
        return {"counters": counters, "gauges": gauges, "histograms": histograms}


def _histogram(name: str) -> Histogram:
    return Histogram(catalogue.BY_NAME[name].buckets)
