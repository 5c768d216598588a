"""The page of /metrics: the signalling process's figures of this moment, and what the control process sees itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from engine.app.link import LinkLost, Refused
from engine.app.signalling_child import SignallingChild
from engine.authorization.reason import ANSWER, Reason, word
from engine.numbering.binding import Model
from engine.observe import catalogue
from engine.observe.metrics import Metrics, SeriesName
from engine.observe.udp_queues import udp_queues
from engine.stores import generations

# Refused before a binding is known, or because there is none.
_WITHOUT_BINDING = frozenset(
    {
        Reason.UNKNOWN_SOURCE,
        Reason.UNVERIFIED,
        Reason.NOT_BOUND,
        Reason.INCOMPLETE_NUMBER,
        Reason.NOT_A_PARTY,
        Reason.MALFORMED,
        Reason.OVERLOAD,
        Reason.DRAINING,
        Reason.STORE_UNAVAILABLE,
        Reason.LOOP,
    }
)
# Where faults of the engine's own are caught (`calls.ports.Faults.report`).
_FAULTS = ("call", "leg", "look-up", "receive", "record", "records", "request", "timer", "transport")


class MetricsPage:
    """Asks, and renders."""

    def __init__(
        self,
        metrics: Metrics,
        signalling: SignallingChild,
        why_not_ready: Callable[[], Awaitable[str]],
        data_dir: Path,
    ) -> None:
        self._metrics = metrics
        self._signalling = signalling
        self._why_not_ready = why_not_ready
        self._data_dir = data_dir

    async def snapshot(self) -> dict[str, Any]:
        """The signalling process's figures (`engine.observe.tally.Snapshot`). Raise Refused or LinkLost."""
        answer: dict[str, Any] = await self._signalling.ask("metrics")
        return answer

    async def text(self) -> bytes:
        """With the signalling process's figures of this moment, or its last."""
        metrics = self._metrics
        try:
            metrics.update(await self._signalling.ask("metrics"))
        except (Refused, LinkLost):
            metrics.unanswered()
            metrics.ready = False
        else:
            metrics.ready = not await self._why_not_ready()
        metrics.table_in_force_since = generations.in_force_since(self._data_dir)
        metrics.udp_queues = udp_queues(self._signalling.addresses)
        return metrics.page()


def expected_series() -> Iterator[SeriesName]:
    """Counters that are there before they move: what happens for the first time is an increase that Prometheus sees."""
    models = [model.name for model in Model]
    for reason, answer in ANSWER.items():
        if reason is Reason.ENGINE_RESTART:
            continue  # found out by the next start, which counts nothing
        of = ["none"] if reason in _WITHOUT_BINDING else ["none", *models]
        yield from ((catalogue.CALLS, (model, answer.disposition, word(reason))) for model in of)
    yield from ((catalogue.SIP_RETRANSMISSIONS, (direction,)) for direction in ("in", "out"))
    yield from ((catalogue.OVERLOAD_REJECTIONS, (cause,)) for cause in ("calls", "transactions", "records"))
    yield from ((catalogue.INTERNAL_ERRORS, (where,)) for where in _FAULTS)
    yield from ((catalogue.RECORDS_WRITTEN, (kind,)) for kind in ("call", "sms"))
    yield catalogue.MESSAGES, ("delivered", "normal")
