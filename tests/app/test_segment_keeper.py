"""Closed segments get their seals and indexes beside the engine; keys are taken over while it runs."""

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from engine.app.held_keys import HeldKeys
from engine.app.link import Refused
from engine.app.segment_keeper import SegmentKeeper
from engine.records.index import index_path
from engine.records.seals import seal_path
from engine.records.verify import verify
from engine.sealing.cipher import SealBroken
from engine.sealing.keys import KeyRing, rotate_sealing
from engine.sealing.signing import PublicKeys, SigningKeys
from engine.settings import Settings
from tests.records.samples import record
from tests.records.segments import Segments


def keys_in(tmp_path: Path) -> Path:
    KeyRing.open(tmp_path / "keys", {})
    SigningKeys.open(tmp_path / "keys", {})
    return tmp_path / "keys"


def journal_in(tmp_path: Path) -> Segments:
    """One closed segment and one that is written."""
    journal = Segments(tmp_path / "records")
    journal.write(record(1))
    journal.next()
    journal.write(record(2))
    return journal


async def test_what_is_closed_is_finished_and_at_the_end_the_rest(tmp_path: Path) -> None:
    keys, journal = keys_in(tmp_path), journal_in(tmp_path)
    keeper = SegmentKeeper([tmp_path / "records"], keys, look_seconds=0.05)
    running = asyncio.create_task(keeper.run())
    first = tmp_path / "records" / "segment-0000000001.journal"
    async with asyncio.timeout(30):
        while not seal_path(first).exists():
            await asyncio.sleep(0.05)
        journal.next()
        while not seal_path(tmp_path / "records" / "segment-0000000002.journal").exists():
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert index_path(first).exists()
    assert not seal_path(journal.path).exists()
    journal.close()
    await keeper.last()
    assert seal_path(journal.path).exists()
    report = verify([tmp_path / "records"], PublicKeys.open(keys, {}), None)
    assert (report.problems, report.sealed) == ([], 3)


class Counted:
    """A command that is counted, and does what it is told instead."""

    def __init__(self, script: str) -> None:
        self.script = script
        self.runs = 0

    def __call__(self, keys_dir: Path, directories: Iterable[Path], stopped: bool) -> list[str]:
        self.runs += 1
        return [sys.executable, "-c", self.script]


@pytest.mark.parametrize(
    "script",
    ["raise SystemExit(3)", 'print(\'{"error": "no keys"}\')', 'print(\'{"problems": ["damaged"]}\')'],
)
async def test_what_cannot_be_finished_is_tried_once(tmp_path: Path, script: str) -> None:
    journal = journal_in(tmp_path)
    command = Counted(script)
    keeper = SegmentKeeper([tmp_path / "records"], tmp_path / "keys", 0.01, command)
    running = asyncio.create_task(keeper.run())
    await asyncio.sleep(0.5)
    assert command.runs == 1
    journal.next()
    async with asyncio.timeout(20):
        while command.runs < 2:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert command.runs == 2


async def test_a_process_that_takes_too_long_does_not_outlive_its_keeper(tmp_path: Path) -> None:
    journal_in(tmp_path)
    script = f"import time, pathlib; pathlib.Path({str(tmp_path / 'up')!r}).touch(); time.sleep(60)"
    keeper = SegmentKeeper([tmp_path / "records"], tmp_path / "keys", 0.01, Counted(script))
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(20):
        while not (tmp_path / "up").exists():
            await asyncio.sleep(0.01)
    running.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(running, return_exceptions=True)


def test_keys_that_were_rotated_are_taken_over(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    held = HeldKeys(settings)
    before = held.sealer.seal(b"before", b"")
    assert held.take() == 1
    rotate_sealing(tmp_path / "keys", {})
    assert held.take() == 2
    after = held.sealer.seal(b"after", b"")
    assert (before[1], after[1]) == (1, 2)
    assert (held.sealer.open(before, b""), held.sealer.open(after, b"")) == (b"before", b"after")


@pytest.mark.parametrize("change", ["missing", "another look-up key"])
def test_keys_that_cannot_be_taken_change_nothing(tmp_path: Path, change: str) -> None:
    held = HeldKeys(Settings(data_dir=tmp_path))
    rotate_sealing(tmp_path / "keys", {})
    if change == "missing":
        (tmp_path / "keys" / "lookup.key").unlink()
    else:
        (tmp_path / "keys" / "lookup.key").write_text("ab" * 32 + "\n")
    with pytest.raises(Refused):
        held.take()
    assert held.sealer.seal(b"", b"")[1] == 1
    with pytest.raises(SealBroken):
        held.sealer.open(b"\x01\x02" + bytes(60), b"")
