"""`[records]`: call detail records on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_BOUNDS = {
    "fsync_ms": (1, 10_000),
    "segment_mib": (1, 1024),
    "segment_s": (1, 86_400),
    "buffer_mib": (1, 1024),
    "patience_ms": (0, 60_000),
}


@dataclass(slots=True)
class RecordSettings:
    fsync_ms: int = 20  # what a power cut can take, at most
    durable: Literal["kernel", "fsync"] = "kernel"  # who must have a call's start before its 200 leaves
    segment_mib: int = 64  # a segment's space is taken when it is made, and the next one's with it
    segment_s: int = 3600
    spare_dir: str = ""  # where segments go while data_dir/records takes none; "" for none
    buffer_mib: int = 64  # kept in memory while no disk takes anything
    patience_ms: int = 1000  # a failing disk; after that new calls are refused

    def directories(self, data_dir: Path) -> list[Path]:
        """Where segments lie, given the engine's data directory; the first is where they should."""
        return [data_dir / "records", *([Path(self.spare_dir)] if self.spare_dir else [])]

    def check(self) -> list[tuple[str, str]]:
        """What is wrong, as (key, what)."""
        problems = []
        for key, (least, most) in _BOUNDS.items():
            value = getattr(self, key)
            if not least <= value <= most:
                problems.append((key, f"must be {least} to {most}, not {value}"))
        if "\0" in self.spare_dir:
            problems.append(("spare_dir", "is no path"))
        return problems
