"""Every metric that the engine serves, in one table: name, kind, labels, help, buckets.

Labels come from small closed sets; no number, no tenant's text and no Call-ID ever becomes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(slots=True, frozen=True)
class Metric:
    """`buckets`: upper bounds of a histogram in seconds, rising, without +Inf."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


SIP_REQUESTS = "mask700_sip_requests_total"
SIP_RESPONSES = "mask700_sip_responses_total"
SIP_RETRANSMISSIONS = "mask700_sip_retransmissions_total"
SIP_MALFORMED = "mask700_sip_malformed_total"
CALLS = "mask700_calls_total"
CALLS_ACTIVE = "mask700_calls_active"
TRANSACTIONS_ACTIVE = "mask700_transactions_active"
PDD = "mask700_pdd_seconds"
SETUP = "mask700_setup_seconds"
TALK = "mask700_talk_seconds"
BINDING_LOOKUP = "mask700_binding_lookup_seconds"
BINDINGS = "mask700_bindings"
BINDING_RELOADS = "mask700_binding_reloads_total"
RECORDS_WRITTEN = "mask700_records_written_total"
RECORDS_UNSYNCED = "mask700_records_unsynced"
MESSAGES = "mask700_messages_total"
TRUNK_UP = "mask700_trunk_up"
OVERLOAD_REJECTIONS = "mask700_overload_rejections_total"
EVENT_LOOP_LAG = "mask700_event_loop_lag_seconds"
DRAINING = "mask700_draining"
BUILD_INFO = "mask700_build_info"
SIGNALLING_UP = "mask700_signalling_up"
READY = "mask700_ready"
CALLS_BEGUN = "mask700_calls_begun_total"
FAILURE = "mask700_failure_seconds"
TRUNK_CALLS_ACTIVE = "mask700_trunk_calls_active"
NEXT_HOP_UP = "mask700_next_hop_up"
JOURNAL_FAILED = "mask700_journal_failed"
RECORDS_ELSEWHERE = "mask700_records_elsewhere"
RECORD_FAILURES = "mask700_record_failures_total"
RECORDS_LOST = "mask700_records_lost_total"
INTERNAL_ERRORS = "mask700_internal_errors_total"
TCP_CONNECTIONS = "mask700_tcp_connections"
BINDING_TABLE_TIMESTAMP = "mask700_binding_table_timestamp_seconds"
UDP_DROPS = "mask700_udp_drops_total"
UDP_RECEIVE_QUEUE = "mask700_udp_receive_queue_bytes"
CAPTURED = "mask700_captured_messages_total"
OUTLET_UP = "mask700_outlet_up"
OUTLET_LAG_RECORDS = "mask700_outlet_lag_records"
OUTLET_LAG = "mask700_outlet_lag_seconds"
OUTLET_RECORDS = "mask700_outlet_records_total"
OUTLET_FAILURES = "mask700_outlet_failures_total"

_ANSWERING = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0)
_TALKING = (
    1.0,
    5.0,
    10.0,
    20.0,
    30.0,
    60.0,
    120.0,
    180.0,
    300.0,
    600.0,
    900.0,
    1800.0,
    3600.0,
    7200.0,
    14400.0,
)
_LOOKING = (2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0)
_LAGGING = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

METRICS: tuple[Metric, ...] = (
    Metric(
        SIP_REQUESTS,
        "counter",
        ("method", "direction", "trunk"),
        "SIP requests, without retransmissions; each ACK to a 2xx that comes in counts.",
    ),
    Metric(
        SIP_RESPONSES,
        "counter",
        ("method", "code", "direction", "trunk"),
        "SIP responses, without retransmissions.",
    ),
    Metric(SIP_RETRANSMISSIONS, "counter", ("direction",), "SIP messages sent or received once more."),
    Metric(SIP_MALFORMED, "counter", ("kind",), "Messages that could not be read, by what was wrong."),
    Metric(CALLS, "counter", ("model", "disposition", "reason"), "Call attempts that have ended."),
    Metric(CALLS_ACTIVE, "gauge", (), "Calls that ring or talk now."),
    Metric(TRANSACTIONS_ACTIVE, "gauge", (), "SIP transactions in memory."),
    Metric(PDD, "histogram", (), "Post-dial delay: from INVITE to the first ringing or answer.", _ANSWERING),
    Metric(SETUP, "histogram", (), "From INVITE to the answer.", _ANSWERING),
    Metric(TALK, "histogram", (), "From the answer to the release.", _TALKING),
    Metric(BINDING_LOOKUP, "histogram", (), "Time that one look-up of a binding took.", _LOOKING),
    Metric(BINDINGS, "gauge", (), "Bindings in the table that answers calls."),
    Metric(BINDING_RELOADS, "counter", ("result",), "Reloads of the binding table."),
    Metric(RECORDS_WRITTEN, "counter", ("type",), "Call detail records written."),
    Metric(RECORDS_UNSYNCED, "gauge", (), "Records handed to the kernel and not yet on the disk."),
    Metric(MESSAGES, "counter", ("disposition", "reason"), "Short messages that have ended."),
    Metric(TRUNK_UP, "gauge", ("trunk",), "1 while the trunk is enabled and one of its next hops is up."),
    Metric(OVERLOAD_REJECTIONS, "counter", ("cause",), "Requests refused to protect the engine."),
    Metric(EVENT_LOOP_LAG, "histogram", (), "How late the signalling process wakes up.", _LAGGING),
    Metric(DRAINING, "gauge", (), "1 while no new call is taken."),
    Metric(BUILD_INFO, "gauge", ("version", "python"), "Always 1; what is running."),
    Metric(
        SIGNALLING_UP, "gauge", (), "1 when the signalling figures here are fresh, 0 when they are its last."
    ),
    Metric(READY, "gauge", (), "1 while new calls are taken (what /readyz says)."),
    Metric(
        CALLS_BEGUN, "counter", (), "Calls that have begun; attempts turned away unseen are not among them."
    ),
    Metric(
        FAILURE,
        "histogram",
        (),
        "From INVITE to the answer that ends a call before anything rings.",
        _ANSWERING,
    ),
    Metric(
        TRUNK_CALLS_ACTIVE,
        "gauge",
        ("trunk", "direction"),
        "Calls that ring or talk now, by the trunk that they came in or went out on.",
    ),
    Metric(
        NEXT_HOP_UP, "gauge", ("trunk", "next_hop"), "1 unless the probes of that next hop went unanswered."
    ),
    Metric(
        JOURNAL_FAILED, "gauge", (), "1 while records do not reach the disk; soon no call is admitted then."
    ),
    Metric(
        RECORDS_ELSEWHERE,
        "gauge",
        (),
        "1 while records go to records.spare_dir, for the first place takes none.",
    ),
    Metric(
        RECORD_FAILURES,
        "counter",
        ("step",),
        "Times that the system refused to write records or to bring them to the disk.",
    ),
    Metric(RECORDS_LOST, "counter", (), "Records dropped because the disk took none for too long."),
    Metric(
        INTERNAL_ERRORS, "counter", ("where",), "Faults of the engine's own; the log has their tracebacks."
    ),
    Metric(TCP_CONNECTIONS, "gauge", (), "SIP connections over TCP that are open."),
    Metric(
        BINDING_TABLE_TIMESTAMP, "gauge", (), "When the table that answers calls was put in force, unix time."
    ),
    Metric(
        UDP_DROPS, "counter", ("socket",), "Datagrams that the system dropped before the engine read them."
    ),
    Metric(
        CAPTURED,
        "counter",
        ("result",),
        "Messages for the HEP3 collector: sent, dropped by the engine, failed.",
    ),
    Metric(UDP_RECEIVE_QUEUE, "gauge", ("socket",), "Bytes that wait to be read by the engine."),
    Metric(OUTLET_UP, "gauge", ("outlet",), "1 while nothing keeps the outlet from giving out records."),
    Metric(OUTLET_LAG_RECORDS, "gauge", ("outlet",), "Records that it has not given out yet."),
    Metric(OUTLET_LAG, "gauge", ("outlet",), "Age of the oldest record that it has not given out yet."),
    Metric(OUTLET_RECORDS, "counter", ("outlet",), "Records given out, since the outlet was first used."),
    Metric(
        OUTLET_FAILURES, "counter", ("outlet",), "Times that it could not go on; each damaged place counts."
    ),
)

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
