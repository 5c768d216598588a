"""`python -m engine.app.finish_command KEYS_DIR STOPPED DIRECTORY…`: seals and indexes the closed segments of the
records in these directories, prints one JSON value.

A process of its own and of low priority, because a segment takes a second or two and no call may wait for it. STOPPED
is `stopped` when nobody writes any more, else `running`. The value is `engine.records.finishing.Finished`, or
{"error": why}; the exit status is 0 when there is no error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from engine.records.finishing import finish
from engine.records.sealed_record import RecordCodec
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing, KeysUnusable
from engine.sealing.signing import SigningKeys
from engine.sealing.tokens import LookupTokens
from engine.stores.table_build import be_modest


def command(keys_dir: Path, directories: Iterable[Path], stopped: bool) -> list[str]:
    """What to run; keys configured by the environment are inherited."""
    word = "stopped" if stopped else "running"
    return [sys.executable, "-m", "engine.app.finish_command", str(keys_dir), word, *map(str, directories)]


def main(arguments: list[str]) -> int:
    """Finish, print, and say by the exit status how it went."""
    keys_dir, stopped, *directories = arguments
    if stopped == "running":
        be_modest()
    value: object
    try:
        ring = KeyRing.open(Path(keys_dir), os.environ, create=False)
        signing = SigningKeys.open(Path(keys_dir), os.environ, create=False)
        codec = RecordCodec(Sealer(ring), LookupTokens(ring.lookup))
        value = finish(map(Path, directories), codec, signing, stopped=stopped == "stopped")
    except (KeysUnusable, OSError) as error:
        value = {"error": str(error)}
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    return 1 if isinstance(value, dict) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
