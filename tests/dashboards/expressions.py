"""What stands in a PromQL expression, and what an engine exports."""

from __future__ import annotations

import re

from engine.observe import catalogue

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_NAME = re.compile(r"\b(?:(?:[a-z_]+:)?(?:mask700|process)_[a-z0-9_:]+|up|ALERTS)\b")
_MATCHER = re.compile(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")

# prometheus_client's ProcessCollector, for both processes
_OF_A_PROCESS = (
    *("process_cpu_seconds_total", "process_open_fds", "process_max_fds", "process_resident_memory_bytes"),
    *("process_start_time_seconds", "process_virtual_memory_bytes"),
)


def names_in(expression: str) -> set[str]:
    """The metrics that it speaks of."""
    return set(_NAME.findall(_QUOTED.sub('""', expression)))


def labels_in(expression: str) -> set[str]:
    """The labels that it selects or groups by."""
    grouped = {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")}
    return grouped | set(_MATCHER.findall(expression))


def exported_names() -> set[str]:
    """Every name of a sample on the page of /metrics."""
    names = {*_OF_A_PROCESS, *(f"mask700_signalling_{name}" for name in _OF_A_PROCESS)}
    for metric in catalogue.METRICS:
        if metric.kind == "histogram":
            names |= {f"{metric.name}_{part}" for part in ("bucket", "count", "sum")}
        else:
            names.add(metric.name)
    return names
