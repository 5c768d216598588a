"""`[records]`: call detail records on disk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RecordSettings:
    fsync_ms: int = 20  # what a power cut can take, at most

    def check(self) -> list[tuple[str, str]]:
        """What is wrong, as (key, what)."""
        if not 1 <= self.fsync_ms <= 10_000:
            return [("fsync_ms", f"must be 1 to 10000, not {self.fsync_ms}")]
        return []
