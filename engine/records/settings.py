"""`[records]`: how soon a call record is safe from a power cut."""

from dataclasses import dataclass


@dataclass(slots=True)
class RecordSettings:
    """`fsync_ms`: the longest time between a record's write and its fsync."""

    fsync_ms: int = 20

    def check(self) -> list[tuple[str, str]]:
        """Every problem, as (key below `records`, what is wrong)."""
        if not 1 <= self.fsync_ms <= 10_000:
            return [("fsync_ms", "must be 1 to 10000")]
        return []
