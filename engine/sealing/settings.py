"""`[sealing]`: where the keys lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class SealingSettings:
    keys_dir: str = ""  # "" is data_dir/keys; elsewhere when keys and data must not share a disk

    def directory(self, data_dir: Path) -> Path:
        """Where the key files lie, given the engine's data directory."""
        return Path(self.keys_dir) if self.keys_dir else data_dir / "keys"

    def check(self) -> list[tuple[str, str]]:
        """What is wrong, as (key, what)."""
        if "\0" in self.keys_dir:
            return [("keys_dir", "is no path")]
        return []
