"""The page that Prometheus reads."""

import os
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from engine.observe import catalogue
from engine.observe.metrics import Metrics
from engine.observe.tally import Tally
from engine.observe.udp_queues import UdpQueue

CONTRACT = """
mask700_sip_requests_total{method,direction,trunk} mask700_sip_responses_total{method,code,direction,trunk}
mask700_sip_retransmissions_total{direction} mask700_sip_malformed_total{kind}
mask700_calls_total{model,disposition,reason} mask700_calls_active mask700_transactions_active mask700_pdd_seconds
mask700_setup_seconds mask700_talk_seconds mask700_binding_lookup_seconds mask700_bindings
mask700_binding_reloads_total{result} mask700_records_written_total{type} mask700_records_unsynced
mask700_messages_total{disposition,reason} mask700_trunk_up{trunk} mask700_overload_rejections_total{cause}
mask700_event_loop_lag_seconds mask700_draining
"""


def samples(metrics: Metrics) -> Mapping[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.page().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))


def test_the_names_and_labels_of_the_contract() -> None:
    named = {}
    for word in CONTRACT.split():
        name, _, labels = word.partition("{")
        named[name] = tuple(labels.rstrip("}").split(",")) if labels else ()
    assert {name: catalogue.BY_NAME[name].labels for name in named} == named
    assert catalogue.BUILD_INFO in catalogue.BY_NAME


def test_every_metric_has_help_and_its_type() -> None:
    page = Metrics("1.2.3").page().decode()
    for metric in catalogue.METRICS:
        assert f"# HELP {metric.name} {metric.help}\n" in page
        assert f"# TYPE {metric.name} {metric.kind}\n" in page


def test_the_figures_of_the_signalling_process() -> None:
    tally = Tally()
    tally.sip_response("INVITE", 200, "in", "pstn")
    tally.calls_active = 7
    tally.observe_pdd(0.3)
    tally.observe_pdd(100)
    metrics = Metrics("1.2.3")
    metrics.update(tally.snapshot())
    labels = {"method": "INVITE", "code": "200", "direction": "in", "trunk": "pstn"}
    assert value(metrics, "mask700_sip_responses_total", **labels) == 1
    assert value(metrics, "mask700_calls_active") == 7
    assert value(metrics, "mask700_pdd_seconds_bucket", le="0.25") == 0
    assert value(metrics, "mask700_pdd_seconds_bucket", le="0.5") == 1
    assert value(metrics, "mask700_pdd_seconds_bucket", le="+Inf") == 2
    assert value(metrics, "mask700_pdd_seconds_count") == 2
    assert value(metrics, "mask700_pdd_seconds_sum") == 100.3
    assert value(metrics, "mask700_signalling_up") == 1


def test_what_is_known_stays_when_nobody_answers() -> None:
    tally = Tally()
    tally.calls_active = 7
    metrics = Metrics("1.2.3")
    assert value(metrics, "mask700_signalling_up") == 0
    metrics.update(tally.snapshot())
    metrics.unanswered()
    assert value(metrics, "mask700_signalling_up") == 0
    assert value(metrics, "mask700_calls_active") == 7


def test_reloads_are_counted_here() -> None:
    metrics = Metrics("1.2.3")
    metrics.reloaded("loaded")
    metrics.reloaded("rejected")
    metrics.reloaded("loaded")
    assert value(metrics, "mask700_binding_reloads_total", result="loaded") == 2
    assert value(metrics, "mask700_binding_reloads_total", result="rejected") == 1
    assert value(metrics, "mask700_binding_reloads_total", result="failed") == 0


def test_a_figure_that_is_not_in_the_catalogue_is_left_out() -> None:
    metrics = Metrics("1.2.3")
    metrics.update({"counters": [("mask700_new_total", ["x"], 1)], "gauges": [], "histograms": []})
    assert b"mask700_new_total" not in metrics.page()


def test_the_build_is_named() -> None:
    assert 'mask700_build_info{python="3.11' in Metrics("1.2.3").page().decode()
    assert 'version="1.2.3"' in Metrics("1.2.3").page().decode()


def test_memory_and_processor_time_of_both_processes() -> None:
    metrics = Metrics("1.2.3")
    assert value(metrics, "process_resident_memory_bytes")
    assert value(metrics, "mask700_signalling_process_resident_memory_bytes") is None
    metrics.signalling_started(os.getppid())
    assert value(metrics, "mask700_signalling_process_resident_memory_bytes")


def test_what_the_control_process_knows() -> None:
    metrics = Metrics("1.2.3")
    assert value(metrics, "mask700_ready") == 0
    assert value(metrics, "mask700_binding_table_timestamp_seconds") is None
    metrics.ready = True
    metrics.table_in_force_since = 1_700_000_000.5
    metrics.udp_queues = {"udp://127.0.0.1:5060": UdpQueue(12, 34)}
    assert value(metrics, "mask700_ready") == 1
    assert value(metrics, "mask700_binding_table_timestamp_seconds") == 1_700_000_000.5
    assert value(metrics, "mask700_udp_receive_queue_bytes", socket="udp://127.0.0.1:5060") == 12
    assert value(metrics, "mask700_udp_drops_total", socket="udp://127.0.0.1:5060") == 34


def test_an_expected_counter_is_there_before_it_moves() -> None:
    metrics = Metrics("1.2.3", [(catalogue.OVERLOAD_REJECTIONS, ("calls",))])
    assert value(metrics, "mask700_overload_rejections_total", cause="calls") == 0
    tally = Tally()
    tally.overload("calls")
    tally.overload("records")
    metrics.update(tally.snapshot())
    assert value(metrics, "mask700_overload_rejections_total", cause="calls") == 1
    assert value(metrics, "mask700_overload_rejections_total", cause="records") == 1
