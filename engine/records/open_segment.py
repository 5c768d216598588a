"""The segment that a journal writes, and what it goes on from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from engine.records.frames import NO_CHAIN, PREAMBLE_BYTES, Entry, Footer, Kind


@dataclass(slots=True)
class Beginning:
    """What a journal goes on from; `engine.records.recovery` finds it. `open_calls`: places of the STARTs that have no
    END yet, as `frames.packed` writes them, by record id."""

    number: int = 1
    chain: bytes = NO_CHAIN
    open_calls: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class OpenSegment:
    """A segment that is written, or will be. `end` is behind its last frame; what it holds and the wall clock (ms) of
    its first and last frame are for its footer."""

    number: int
    path: Path
    descriptor: int
    end: int = PREAMBLE_BYTES
    frames: int = 0
    starts: int = 0
    ends: int = 0
    first_ms: int = 0
    last_ms: int = 0
    attempts: int = 0

    @property
    def directory(self) -> Path:
        return self.path.parent

    def footer(self, recovered: bool = False) -> Entry:
        """What it says of itself when it ends."""
        footer = Footer(
            self.number, self.frames, self.starts, self.ends, self.first_ms, self.last_ms, recovered
        )
        return Entry(Kind.FOOTER, msgspec.json.encode(footer))
