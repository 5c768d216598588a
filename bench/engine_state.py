"""What the running engine says of itself (/metrics) and what the kernel says of its processes."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench import processes

SIGNALLING_WORD = b"engine.app.signalling"


def samples(control: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample of /metrics at `control` (host:port), by name and label values (in the order of label names)."""
    with urllib.request.urlopen(f"http://{control}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[tuple[str, tuple[str, ...]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found[sample.name, labels] = sample.value
    return found


def total(control: str, name: str) -> float:
    """The sum over all labels of one metric."""
    return sum(value for (sample, _), value in samples(control).items() if sample == name)


def by_label(control: str, name: str) -> dict[str, float]:
    """A metric with one label, by its values."""
    return {labels[0]: value for (sample, labels), value in samples(control).items() if sample == name}


def signalling_pids() -> list[int]:
    """The signalling processes among this process's descendants."""
    found: list[int] = []
    for pid in processes.with_descendants(os.getpid()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if SIGNALLING_WORD in command:
            found.append(pid)
    return found
