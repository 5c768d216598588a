"""`[records]`: call detail records on disk; `[[outlets]]`: who gets them."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
_OUTLET_BOUNDS = {"rotate_s": (1, 86_400), "rotate_mib": (1, 4096)}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


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


@dataclass(slots=True)
class OutletSettings:
    """One reader of the journal, with a place of its own in it. `name` is in file names and a metric label.

    `kind` "files": records as files in `directory` ("" is data_dir/outlets/NAME), each closed after `rotate_s` seconds
    or `rotate_mib` MiB, whatever comes first. `numbers`: "masked" (138****0001, and no text of messages) or "clear".
    """

    name: str = ""
    kind: Literal["files"] = "files"
    directory: str = ""
    format: Literal["csv", "jsonl"] = "csv"
    numbers: Literal["masked", "clear"] = "masked"
    rotate_s: int = 300
    rotate_mib: int = 64

    def drop(self, data_dir: Path) -> Path:
        """Where its files go, given the engine's data directory."""
        return Path(self.directory) if self.directory else outlets_directory(data_dir) / self.name

    def check(self) -> list[tuple[str, str]]:
        """What is wrong, as (key below the outlet, what)."""
        problems = []
        if not _NAME.fullmatch(self.name):
            problems.append(
                ("name", f'"{self.name}" must be 1 to 32 of A-Z a-z 0-9 _ - and begin with no sign')
            )
        for key, (least, most) in _OUTLET_BOUNDS.items():
            value = getattr(self, key)
            if not least <= value <= most:
                problems.append((key, f"must be {least} to {most}, not {value}"))
        if "\0" in self.directory:
            problems.append(("directory", "is no path"))
        return problems


def check_outlets(outlets: Sequence[OutletSettings]) -> list[tuple[int, str, str]]:
    """Every problem of all outlets, as (index of the outlet, key below it, what is wrong); names must differ."""
    problems: list[tuple[int, str, str]] = []
    seen: set[str] = set()
    for index, outlet in enumerate(outlets):
        problems.extend((index, key, what) for key, what in outlet.check())
        if outlet.name in seen:
            problems.append((index, "name", f'"{outlet.name}" is the name of another outlet too'))
        seen.add(outlet.name)
    return problems


def outlets_directory(data_dir: Path) -> Path:
    """Where the places of the outlets are kept."""
    return data_dir / "outlets"
