"""A million records (`python -m bench.records`): how large they are, how long it takes to seal, index, find and prove.

The records are made by the journal itself, as calls of 19,800 callers, each with a START and an END; then the closed
segments are finished by the engine's own process, and asked by the `mask700` command, its start included. Exit status
0: one number's records are found in less than a second, all of them, and everything is proven.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from engine.app.finish_command import command as finish_command
from engine.calls.record import CallRecord, EntryKind
from engine.records.disk import Disk
from engine.records.frames import Header
from engine.records.journal import Journal
from engine.records.open_segment import Beginning
from engine.records.sealed_record import RecordCodec
from engine.records.settings import RecordSettings
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.signing import SigningKeys
from engine.sealing.tokens import LookupTokens

RECORDS = 1_000_000
CALLERS = 19_800
A_WAKE_UP = 4  # entries that are written at once: some 200 calls/s, read every 10 ms
FIRST_MS = 1_790_000_000_000
ALLOWED_S = 1.0
ROUNDS = 5
MOST_SECONDS = 1800


def main() -> int:
    """The exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--records", type=int, default=RECORDS)
    options.add_argument("--directory", type=Path, help="made and kept; a temporary one else")
    options.add_argument("--kept", action="store_true", help="the records in --directory are there already")
    chosen = options.parse_args()
    work = chosen.directory or Path(tempfile.mkdtemp(prefix="mask700-records-"))
    try:
        return _run(work, chosen.records, chosen.kept)
    finally:
        if chosen.directory is None:
            shutil.rmtree(work, ignore_errors=True)


def _run(work: Path, count: int, kept: bool) -> int:
    data = work / "var"
    ring = KeyRing.open(data / "keys", {})
    SigningKeys.open(data / "keys", {})
    if not kept:
        _measured(
            "made",
            lambda: _make(data / "records", RecordCodec(Sealer(ring), LookupTokens(ring.lookup)), count),
            count,
        )
        _measured("sealed and indexed", lambda: _finish(data), count)
    sizes = {suffix: _size(data / "records", suffix) for suffix in (".journal", ".index", ".seal")}
    for suffix, size in sizes.items():
        print(f"{suffix[1:]:24}{size / 1e6:10.1f} MB {size / count:10.1f} bytes a record")
    good = True
    for number in range(ROUNDS):
        caller = (number * 7919) % CALLERS
        expected = len(range(caller, count, CALLERS))
        for option, value, wanted in (
            ("--caller", _national(caller), expected),
            ("--dialled", _masked(caller), expected),
            ("--order-id", f"order-{caller}", 1),
            ("--caller", "13999999999", 0),
        ):
            found, seconds = _asked(work, "query", "--json", option, value)
            fits = len(found) == wanted and seconds < ALLOWED_S
            good &= fits
            print(
                f"query {option:12} {seconds:9.3f} s {len(found):10} records{'' if fits else '   NOT GOOD'}"
            )
    proof, seconds = _asked(work, "verify", "--json")
    report = json.loads(proof[0])
    good &= bool(report["ok"]) and report["records"] == count
    speed = f"{report['records'] / seconds:10.0f} records/s {report['bytes'] / seconds / 1e6:8.1f} MB/s"
    print(f"verify             {seconds:9.3f} s {speed}")
    return 0 if good else 1


def _make(directory: Path, codec: RecordCodec, count: int) -> None:
    journal = Journal(
        [directory], RecordSettings(), Header(0, "mask700-1", "bench", 1, 1), Beginning(), Disk()
    )
    like = CallRecord(
        node="mask700-1", tenant="default", binding_id="ab" * 12, model="AXB", direction="a_to_b", ring_ms=900,
        talk_ms=61_000, disposition="answered", reason="normal", released_by="caller", sip_status=200, q850_cause=16,
        in_trunk="pstn", out_trunk="pstn", source="127.0.0.1:5080",
    )  # fmt: skip
    pending = 0
    for number in range(count):
        caller, setup = number % CALLERS, FIRST_MS + 5 * number
        record = replace(
            like, record_id=f"{number:016x}", order_id=f"order-{number}", caller=f"+86{_national(caller)}",
            dialled=_masked(caller), shown=_masked(caller), callee=f"+86139{caller:08d}", setup_time=setup,
            ringing_time=setup + 100, answer_time=setup + 1000, release_time=setup + 62_000,
            a_call_id=f"{number}-4711@127.0.0.1", b_call_id=f"{number:016x}",
        )  # fmt: skip
        journal.append(EntryKind.START, codec.encode(EntryKind.START, record, None), record.record_id)
        journal.append(EntryKind.END, codec.encode(EntryKind.END, record), record.record_id)
        pending += 2
        if pending >= A_WAKE_UP:
            journal.flush()
            pending = 0
    if not journal.close():
        raise SystemExit(f"the records cannot be written: {journal.failed}")


def _finish(data: Path) -> None:
    command = finish_command(data / "keys", [data / "records"], True)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MOST_SECONDS)
    outcome = json.loads(done.stdout)
    if outcome.get("problems", ["?"]):
        raise SystemExit(f"not finished: {done.stdout}{done.stderr}")


def _asked(work: Path, *words: str) -> tuple[list[str], float]:
    config = work / "engine.toml"
    config.write_text(f'data_dir = "{work / "var"}"\n[bindings]\ntable = ""\n')
    command = [sys.executable, "-m", "engine.cli.main", "cdr", *words, "--config", str(config)]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MOST_SECONDS)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout.splitlines(), seconds


def _measured(what: str, work: object, count: int) -> None:
    assert callable(work)
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    print(f"{what:24}{seconds:9.1f} s {count / seconds:12.0f} records/s", flush=True)


def _size(directory: Path, suffix: str) -> int:
    return sum(path.stat().st_size for path in directory.iterdir() if path.suffix == suffix)


def _national(caller: int) -> str:
    return f"138{caller:08d}"


def _masked(caller: int) -> str:
    return f"7001234567{caller:05d}"


if __name__ == "__main__":
    sys.exit(main())
