"""The records of a lab's engine, opened with the keys that it made below its data directory."""

from __future__ import annotations

import os
import time
from pathlib import Path

from engine.records.query import Record, Wanted, query
from engine.records.sealed_record import RecordCodec
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens
from engine.settings import Settings


class LabRecords:
    """Reads what the running engine has written so far."""

    def __init__(self, data_dir: Path, settings: Settings) -> None:
        keys = KeyRing.open(settings.sealing.directory(data_dir), os.environ, create=False)
        self._codec = RecordCodec(Sealer(keys), LookupTokens(keys.lookup))
        self._directories = settings.records.directories(data_dir)

    def of_calls_since(self, moment_ms: int) -> list[Record]:
        """The records of ended calls that began at `moment_ms` (unix milliseconds) or later."""
        return list(query(self._directories, self._codec, Wanted(since=moment_ms)))


def now_ms() -> int:
    """This moment as records write it."""
    return int(time.time() * 1000)
