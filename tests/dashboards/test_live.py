"""A real engine under a real Prometheus: every metric moves, every query of every dashboard returns data."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.lab.judge import attempts_of
from engine.observe import catalogue
from tests.dashboards.boards import Query, queries, variables
from tests.dashboards.live_run import HOST, MOST_CALLS, NOBODY, Seen, run

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sipp")]

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return asyncio.run(run(tmp_path_factory.mktemp("live")))


@pytest.fixture(scope="module")
def midway(seen: Seen) -> Samples:
    return samples(seen.midway)


@pytest.fixture(scope="module")
def last(seen: Seen) -> Samples:
    return samples(seen.last)


def samples(page: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def total(page: Samples, name: str, **labels: str) -> float:
    """Of all series that have these labels; there has to be one."""
    found = [value for (one, own), value in page.items() if one == name and own >= labels.items()]
    assert found, f"{name} {labels}"
    return sum(found)


def test_calls_came_out_as_their_callees_meant_them(seen: Seen) -> None:
    tries = {what for what, _ in seen.statuses}
    got = {what: {status for one, status in seen.statuses if one == what} for what in tries}
    assert got.pop("flood") == {200, 503}
    assert got.pop("no disk") <= {200, 503}
    assert got == {
        "answers": {200}, "twice": {200}, "late": {200}, "busy": {486}, "rejects": {603}, "off": {480},
        "rings on": {480}, "gives up": {487}, "unbound": {404}, "stranger": {404}, "expired": {404},
        "incomplete": {484}, "unknown source": {403}, "drained": {503},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("what", "disposition", "reason"),
    [
        ("busy", "busy", "callee_busy"),
        ("rejects", "failed", "callee_rejected"),
        ("rings on", "no_answer", "no_answer"),
        ("gives up", "cancelled", "cancelled"),
        ("unbound", "refused", "not_bound"),
        ("stranger", "refused", "not_a_party"),
        ("expired", "refused", "expired"),
        ("incomplete", "refused", "incomplete_number"),
        ("unknown source", "refused", "unknown_source"),
        ("drained", "refused", "draining"),
    ],
)
def test_each_outcome_is_counted_once(
    seen: Seen, last: Samples, what: str, disposition: str, reason: str
) -> None:
    tried = sum(count for (one, _), count in seen.statuses.items() if one == what)
    assert total(last, catalogue.CALLS, disposition=disposition, reason=reason) == tried > 0


def test_records_and_counters_agree_to_the_call(seen: Seen, last: Samples) -> None:
    """Over every kind of outcome, and with what the callers themselves were told."""
    recorded: Counter[tuple[str, str]] = Counter()
    for record in seen.records:
        recorded[str(record["disposition"]), str(record["reason"])] += attempts_of(record)
    counted: Counter[tuple[str, str]] = Counter()
    for (name, labels), value in last.items():
        if name == catalogue.CALLS and value:
            of = dict(labels)
            counted[of["disposition"], of["reason"]] += round(value)
    assert recorded == counted
    assert recorded["answered", "normal"] == sum(
        n for (_, status), n in seen.statuses.items() if status == 200
    )
    assert recorded.total() >= sum(seen.statuses.values())
    ids = [record["record_id"] for record in seen.records]
    assert len(ids) == len(set(ids))


def test_answered_calls_are_counted_and_measured(seen: Seen, last: Samples) -> None:
    answered = sum(count for (_, status), count in seen.statuses.items() if status == 200)
    assert total(last, catalogue.CALLS, model="AXB", disposition="answered", reason="normal") == answered
    assert total(last, f"{catalogue.TALK}_count") == answered
    assert total(last, f"{catalogue.SETUP}_count") == answered
    rang = sum(count for (what, _), count in seen.statuses.items() if what in ("rings on", "gives up"))
    too_late = seen.statuses[
        "no disk", 503
    ]  # some of them rang and were answered when no record could be kept
    assert answered + rang <= total(last, f"{catalogue.PDD}_count") <= answered + rang + too_late
    assert 0.05 < total(last, f"{catalogue.PDD}_sum") / (answered + rang) < 2
    assert total(last, f"{catalogue.FAILURE}_count") > 0
    assert total(last, catalogue.CALLS_BEGUN) >= answered + rang
    assert total(last, f"{catalogue.BINDING_LOOKUP}_count") >= answered


def test_messages_are_counted(last: Samples) -> None:
    for method in ("INVITE", "ACK", "BYE", "CANCEL"):
        assert total(last, catalogue.SIP_REQUESTS, method=method, direction="in", trunk="pstn") > 0
        assert total(last, catalogue.SIP_REQUESTS, method=method, direction="out", trunk="pstn") > 0
    assert total(last, catalogue.SIP_REQUESTS, method="INVITE", direction="in", trunk="unknown") > 0
    assert total(last, catalogue.SIP_REQUESTS, method="OPTIONS", direction="out", trunk="spare") > 0
    for code in ("180", "200", "404", "480", "484", "486", "487", "503", "603"):
        assert total(last, catalogue.SIP_RESPONSES, method="INVITE", code=code, direction="out") > 0
    for code in ("180", "200", "480", "486", "487", "603"):
        assert total(last, catalogue.SIP_RESPONSES, method="INVITE", code=code, direction="in") > 0
    assert total(last, catalogue.SIP_RETRANSMISSIONS, direction="in") > 0
    assert total(last, catalogue.SIP_RETRANSMISSIONS, direction="out") > 0
    assert total(last, catalogue.SIP_MALFORMED) > 10


def test_records_are_counted(seen: Seen, last: Samples) -> None:
    assert total(last, catalogue.RECORDS_WRITTEN, type="call") > 100
    assert total(last, catalogue.RECORD_FAILURES, step="write") > 0
    assert total(last, catalogue.JOURNAL_FAILED) == 0
    assert total(last, catalogue.RECORDS_LOST) == 0
    assert total(last, catalogue.RECORDS_UNSYNCED) >= 0
    (unsynced,) = [
        series
        for query, answer in seen.answers.items()
        if catalogue.RECORDS_UNSYNCED in query.expr
        for series in answer
    ]
    assert max(int(value) for _, value in unsynced["values"]) > 0
    refused = sum(
        count for (what, status), count in seen.statuses.items() if (what, status) == ("no disk", 503)
    )
    assert total(last, catalogue.OVERLOAD_REJECTIONS, cause="records") <= refused
    assert total(last, catalogue.OVERLOAD_REJECTIONS, cause="records") > 0


def test_what_is_up_now(midway: Samples, last: Samples) -> None:
    assert 0 < total(midway, catalogue.CALLS_ACTIVE) <= MOST_CALLS
    assert total(midway, catalogue.TRUNK_CALLS_ACTIVE, trunk="pstn", direction="in") > 0
    assert total(midway, catalogue.TRUNK_CALLS_ACTIVE, trunk="pstn", direction="out") > 0
    assert total(midway, catalogue.TRUNK_CALLS_ACTIVE, trunk="spare") == 0
    assert total(midway, catalogue.TRANSACTIONS_ACTIVE) > 0
    assert total(midway, catalogue.TCP_CONNECTIONS) >= 1
    assert total(midway, catalogue.TRUNK_UP, trunk="pstn") == 1
    assert total(midway, catalogue.TRUNK_UP, trunk="spare") == 0
    assert total(midway, catalogue.NEXT_HOP_UP, trunk="spare", next_hop=NOBODY) == 0
    assert (total(midway, catalogue.READY), total(midway, catalogue.DRAINING)) == (1, 0)
    assert (total(last, catalogue.READY), total(last, catalogue.DRAINING)) == (0, 1)
    assert total(last, catalogue.SIGNALLING_UP) == 1
    assert total(last, catalogue.OVERLOAD_REJECTIONS, cause="calls") > 0


def test_the_table_and_the_engine_itself(last: Samples) -> None:
    assert total(last, catalogue.BINDINGS) == 7
    assert total(last, catalogue.BINDING_RELOADS, result="loaded") == 2  # the first one at the start
    assert total(last, catalogue.BINDING_RELOADS, result="rejected") == 1
    assert total(last, catalogue.BINDING_TABLE_TIMESTAMP) > 1.7e9
    assert total(last, f"{catalogue.EVENT_LOOP_LAG}_count") > 50
    assert total(last, catalogue.UDP_RECEIVE_QUEUE, socket=f"udp://{HOST}:5060") >= 0
    assert total(last, catalogue.UDP_DROPS, socket=f"udp://{HOST}:5060") == 0
    assert total(last, catalogue.INTERNAL_ERRORS) == 0
    assert total(last, catalogue.BUILD_INFO) == 1
    for process in ("", "mask700_signalling_"):
        for figure in (
            "cpu_seconds_total",
            "resident_memory_bytes",
            "open_fds",
            "max_fds",
            "start_time_seconds",
        ):
            assert total(last, f"{process}process_{figure}") > 0


def test_nothing_of_the_catalogue_is_missing(last: Samples) -> None:
    there = {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in last} | {name for name, _ in last}
    missing = {metric.name for metric in catalogue.METRICS} - there - {catalogue.CAPTURED}  # opt-in
    assert {name for name in missing if not name.startswith("mask700_outlet_")} == set()  # opt-in


@pytest.mark.parametrize("query", queries(), ids=str)
def test_every_query_returns_data(seen: Seen, query: Query) -> None:
    series = seen.answers[query]
    points = [point for one in series for point in one.get("values") or [one["value"]]]
    assert [value for _, value in points if value != "NaN"], query.expr
    for label in re.findall(r"{{(\w+)}}", query.legend):
        assert all(label in one["metric"] for one in series), f"{query.expr} has no {label}"


@pytest.mark.parametrize("variable", variables(), ids=lambda one: f"{one[0]}: {one[1]}")
def test_every_variable_has_choices(seen: Seen, variable: tuple[str, str]) -> None:
    expected = {f"{HOST}:8700"} if variable[1].endswith("instance)") else {"pstn", "spare"}
    assert set(seen.variables[variable]) == expected


def test_rules_are_evaluated_without_a_fault(seen: Seen) -> None:
    assert len(seen.rules) > 40
    assert [rule for rule in seen.rules if rule["health"] != "ok"] == []


def test_alerts_fire_and_can_be_read(seen: Seen) -> None:
    firing = {alert["labels"]["alertname"]: alert for alert in seen.alerts if alert["state"] == "firing"}
    assert {"Mask700BindingReloadFailed", "Mask700RecordWritesRefused"} <= set(firing)
    assert {alert["labels"]["alertname"] for alert in seen.alerts} >= {
        "Mask700TrunkDown",
        "Mask700NextHopDown",
    }
    for alert in seen.alerts:
        for text in alert["annotations"].values():
            assert "<no value>" not in text
            assert "<error" not in text
            assert "{{" not in text
    assert HOST in firing["Mask700BindingReloadFailed"]["annotations"]["summary"]


def test_top_agrees(seen: Seen) -> None:
    top: dict[str, Any] = seen.top
    assert top["ready"] is True
    assert top["calls_active"] > 0
    assert 2 < top["calls_begun_per_s"] < 20
    assert 0 < top["asr"] <= 1
    assert 0.05 < top["pdd_s"]["p50"] < 2
    assert {"not_bound", "unknown_source", "overload"} <= set(top["refusals"])
    assert {"normal", "callee_busy"} <= set(top["outcomes"])
    assert {trunk["name"]: trunk["up"] for trunk in top["trunks"]} == {"pstn": True, "spare": False}
    assert top["bindings"] == 7
    assert top["loop_lag_s"]["p99"] is not None
