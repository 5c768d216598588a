"""Counting: what is counted comes out of the snapshot, and nobody can invent a label."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.observe import catalogue
from engine.observe.tally import Histogram, Snapshot, Tally

UNLABELLED = 4  # counters that are there from the start


def counters(tally: Tally) -> dict[tuple[str, ...], float]:
    return {(name, *labels): value for name, labels, value in tally.snapshot()["counters"]}


def gauges(tally: Tally) -> dict[tuple[str, ...], float]:
    return {(name, *labels): value for name, labels, value in tally.snapshot()["gauges"]}


def test_counters() -> None:
    tally = Tally()
    tally.sip_request("INVITE", "in", "pstn")
    tally.sip_request("INVITE", "in", "pstn")
    tally.sip_response("INVITE", 180, "out", "pstn")
    tally.retransmission("in")
    tally.malformed("via")
    tally.call_ended("AXB", "answered", "normal")
    tally.message_ended("delivered", "normal")
    tally.record_written("call")
    tally.overload("max_calls")
    tally.internal_error("timer")
    tally.calls_begun, tally.records_lost = 5, 6
    tally.record_write_failures, tally.record_sync_failures = 7, 8
    assert counters(tally) == {
        (catalogue.SIP_REQUESTS, "INVITE", "in", "pstn"): 2,
        (catalogue.SIP_RESPONSES, "INVITE", "180", "out", "pstn"): 1,
        (catalogue.SIP_RETRANSMISSIONS, "in"): 1,
        (catalogue.SIP_MALFORMED, "via"): 1,
        (catalogue.CALLS, "AXB", "answered", "normal"): 1,
        (catalogue.MESSAGES, "delivered", "normal"): 1,
        (catalogue.RECORDS_WRITTEN, "call"): 1,
        (catalogue.OVERLOAD_REJECTIONS, "max_calls"): 1,
        (catalogue.INTERNAL_ERRORS, "timer"): 1,
        (catalogue.CALLS_BEGUN,): 5,
        (catalogue.RECORDS_LOST,): 6,
        (catalogue.RECORD_FAILURES, "write"): 7,
        (catalogue.RECORD_FAILURES, "sync"): 8,
    }


def test_gauges() -> None:
    tally = Tally()
    tally.calls_active, tally.transactions_active, tally.records_unsynced, tally.bindings = 1, 2, 3, 4
    tally.draining = tally.journal_failed = tally.records_elsewhere = True
    tally.tcp_connections = 5
    tally.trunk_up["pstn"] = False
    tally.trunk_calls["pstn", "out"] = 6
    tally.next_hop_up["pstn", "udp://127.0.0.1:5090"] = True
    assert gauges(tally) == {
        (catalogue.CALLS_ACTIVE,): 1,
        (catalogue.TRANSACTIONS_ACTIVE,): 2,
        (catalogue.RECORDS_UNSYNCED,): 3,
        (catalogue.BINDINGS,): 4,
        (catalogue.DRAINING,): 1,
        (catalogue.TRUNK_UP, "pstn"): 0,
        (catalogue.TRUNK_CALLS_ACTIVE, "pstn", "out"): 6,
        (catalogue.NEXT_HOP_UP, "pstn", "udp://127.0.0.1:5090"): 1,
        (catalogue.JOURNAL_FAILED,): 1,
        (catalogue.RECORDS_ELSEWHERE,): 1,
        (catalogue.TCP_CONNECTIONS,): 5,
    }


@given(st.lists(st.text(min_size=1), max_size=50), st.lists(st.integers(100, 699), max_size=700))
def test_labels_stay_few_whatever_is_received(methods: list[str], codes: list[int]) -> None:
    tally = Tally()
    for method in methods:
        tally.sip_request(method, "in", "unknown")
    for code in codes:
        tally.sip_response("INVITE", code, "in", "unknown")
    assert {key[1] for key in counters(tally) if key[0] == catalogue.SIP_REQUESTS} <= {
        *("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "PRACK", "UPDATE", "INFO", "MESSAGE", "REFER"),
        *("REGISTER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "OTHER"),
    }
    assert len(counters(tally)) < 15 + 90 + UNLABELLED


def test_codes_that_nobody_registered_go_by_their_class() -> None:
    tally = Tally()
    for code in (200, 299, 404, 499, 699):
        tally.sip_response("BYE", code, "in", "pstn")
    assert {key[2] for key in counters(tally) if key[0] == catalogue.SIP_RESPONSES} == {
        "200",
        "2xx",
        "404",
        "4xx",
        "6xx",
    }


def test_kinds_of_malformed_messages_are_bounded() -> None:
    tally = Tally()
    for number in range(1000):
        tally.malformed(f"kind{number}")
    assert len(counters(tally)) == 65 + UNLABELLED
    assert counters(tally)[catalogue.SIP_MALFORMED, "OTHER"] == 1000 - 64


@given(st.lists(st.floats(0, 100, allow_nan=False), max_size=50))
def test_a_histogram_counts_each_value_below_its_bound(values: list[float]) -> None:
    bounds = (0.5, 1.0, 10.0)
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    cumulative = [sum(histogram.counts[: place + 1]) for place in range(len(bounds))]
    assert cumulative == [sum(value <= bound for value in values) for bound in bounds]
    assert sum(histogram.counts) == len(values)
    assert histogram.total == pytest.approx(sum(values))


def test_each_histogram_is_fed_by_its_own_method() -> None:
    tally = Tally()
    tally.observe_pdd(0.3)
    tally.observe_setup(4)
    tally.observe_failure(2)
    tally.observe_talk(60)
    tally.observe_lookup(0.00003)
    tally.observe_loop_lag(0.004)
    histograms = {name: (sum(counts), total) for name, _, counts, total in tally.snapshot()["histograms"]}
    assert histograms == {
        catalogue.PDD: (1, 0.3),
        catalogue.SETUP: (1, 4),
        catalogue.FAILURE: (1, 2),
        catalogue.TALK: (1, 60),
        catalogue.BINDING_LOOKUP: (1, 0.00003),
        catalogue.EVENT_LOOP_LAG: (1, 0.004),
    }


def test_the_snapshot_crosses_the_link_unchanged() -> None:
    tally = Tally()
    tally.sip_request("INVITE", "in", "pstn")
    tally.observe_pdd(1)
    snapshot = tally.snapshot()
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot) == snapshot


def test_everything_in_a_snapshot_stands_in_the_catalogue() -> None:
    tally = Tally()
    test_counters()
    for series in (tally.snapshot()["counters"], tally.snapshot()["gauges"]):
        for name, labels, _ in series:
            assert len(labels) == len(catalogue.BY_NAME[name].labels)
    for name, labels, counts, _ in tally.snapshot()["histograms"]:
        metric = catalogue.BY_NAME[name]
        assert (len(labels), len(counts)) == (len(metric.labels), len(metric.buckets) + 1)
