"""`python -m engine.app.build_command DATA_DIR KEYS_DIR TABLE PREFIX…`: builds the next binding table, prints
one JSON value.

A PREFIX is one of ours, `7001`, or of a trunk, `7009=carrier`: a row on a number that is not ours is refused.

A process of its own, because a table takes seconds and no call may wait for it; of low priority, for the
same reason. The value is what `engine.stores.table_build.build_report` returns; the exit status is 0 when
it says `ok`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from engine.routing.number_plan import NumberPlan
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing, KeysUnusable
from engine.sealing.tokens import LookupTokens
from engine.stores.table_build import be_modest, build_report


def command(data_dir: Path, keys_dir: Path, table: Path, plan: NumberPlan) -> list[str]:
    """What to run for one build; keys configured by the environment are inherited."""
    return [
        *(sys.executable, "-m", "engine.app.build_command", str(data_dir), str(keys_dir), str(table)),
        *plan.own_prefixes,
        *(f"{prefix}={trunk}" for prefix, trunk in plan.carriers),
    ]


def main(arguments: list[str]) -> int:
    """Build, print, and say by the exit status how it went."""
    data_dir, keys_dir, table = (Path(argument) for argument in arguments[:3])
    plan = _plan(arguments[3:])
    be_modest()
    report: dict[str, object]
    try:
        ring = KeyRing.open(keys_dir, os.environ, create=False)
    except KeysUnusable as error:
        report = {"ok": False, "error": str(error)}
    else:
        sealer, tokens = Sealer(ring), LookupTokens(ring.lookup)
        report = build_report(data_dir, table, sealer, tokens, time.time(), plan.fault)
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    return 0 if report["ok"] else 1


def _plan(words: list[str]) -> NumberPlan:
    split = [word.partition("=") for word in words]
    return NumberPlan(
        [prefix for prefix, equals, _ in split if not equals],
        [(prefix, trunk) for prefix, equals, trunk in split if equals],
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
