"""Where the time of a call goes, without sockets (`python -m bench.profile`).

Complete calls are driven through the endpoint in one process: bytes in, bytes out, a clock of its own. Messages are
made beforehand, in waves of many calls at once, so that only the engine's own work is timed. Two compositions:

core   parsing, transactions, dialogs, authorization, hiding; bindings in a dict, records thrown away
whole  the same with the LMDB look-up, the sealed records and the journal's write, as the signalling process has it

What the table lacks of a real call are the sockets, the loop and the sync thread; `python -m bench` measures those too.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import os
import pstats
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

from bench import compiled
from bench.bindings import Row, make_rows, write_engine_table
from bench.scripted import Party
from engine.app.journal_records import JournalRecords
from engine.app.signalling import MeasuredTable, RandomTokens, WallClock
from engine.authorization.gate import Gate, Policy
from engine.calls.board import Board
from engine.calls.ports import Bindings, Records
from engine.calls.record import CallRecord, EntryKind
from engine.calls.settings import CallSettings
from engine.calls.switchboard import Limits, Switchboard
from engine.numbering.binding import Found, Model, NumberBinding
from engine.numbering.numbers import MaskedNumber, RealNumber, parse_real
from engine.observe.tally import Tally
from engine.records.disk import Disk
from engine.records.frames import Header
from engine.records.journal import Journal
from engine.records.open_segment import Beginning
from engine.records.sealed_record import RecordCodec
from engine.records.settings import RecordSettings
from engine.routing.number_plan import NumberPlan
from engine.routing.settings import TrunkSettings
from engine.routing.trunks import Trunk, TrunkTable
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens
from engine.sip.dialog import Dialog
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow, Outbox
from engine.sip.timers import NEVER, TimerValues
from engine.stores.generations import switch_current
from engine.stores.table_build import build_table
from engine.stores.table_lmdb import BindingTable

ROOT = Path(__file__).resolve().parent.parent
ENGINE = "127.0.0.1:5163"
CALLER, CALLEE = "127.0.0.1:5170", "127.0.0.1:5190"
STEPS = ("INVITE", "180", "200", "ACK", "BYE", "200 (BYE)", "timers")
MOST_CALLS = 200_000


class MemoryTable:
    """Bindings in a dict; also the last callers, whom it forgets."""

    def __init__(self, rows: list[Row]) -> None:
        self._found: dict[tuple[str, str], Found] = {}
        for number, row in enumerate(rows):
            a, b = _real(row.a), _real(row.b)
            binding = NumberBinding(
                f"{number:024x}", "default", "", Model.AXB, MaskedNumber(row.x), None, (a,), b
            )
            self._found[row.x, a.digits] = Found(binding)

    def look_up(self, number: MaskedNumber, caller: RealNumber) -> Found:
        return self._found[number.digits, caller.digits]

    def remember(self, binding_id: str, caller: RealNumber, utc: float) -> None:
        pass


class NoRecords:
    """Takes every record and keeps none."""

    accepting = True

    def write(self, kind: EntryKind, record: CallRecord, legs: tuple[Dialog, Dialog] | None = None) -> None:
        pass


class Raising:
    """A fault of ours ends the profile."""

    def report(self, where: str, error: Exception) -> None:
        raise error


@dataclass(slots=True)
class Composition:
    """An engine without sockets; `keep` is what its wake-ups end with."""

    endpoint: Endpoint
    outbox: Outbox
    board: Board
    keep: list[Journal] = field(default_factory=list)


def core(rows: list[Row]) -> Composition:
    """Only the pure rooms."""
    table = MemoryTable(rows)
    return _compose(table, NoRecords(), table)


def whole(rows: list[Row], directory: Path) -> Composition:
    """With the stores and records of the signalling process, on disk below `directory`."""
    keys = KeyRing.open(directory / "keys", os.environ)
    sealer, tokens = Sealer(keys), LookupTokens(keys.lookup)
    csv = directory / "bindings.csv"
    write_engine_table(csv, rows)
    ours = NumberPlan(["700"], []).fault
    switch_current(directory, build_table(directory, csv, sealer, tokens, time.time(), ours).generation)
    table = BindingTable.open(directory, sealer, tokens, lambda _: None)
    header = Header(0, "bench", "", keys.current)
    journal = Journal([directory / "records"], RecordSettings(), header, Beginning(), Disk())
    tally = Tally()
    records = JournalRecords(journal, RecordCodec(sealer, tokens), tally)
    composition = _compose(MeasuredTable(table, tally), records, MemoryTable([]))
    composition.keep.append(journal)
    return composition


def _compose(bindings: Bindings, records: Records, callers: MemoryTable) -> Composition:
    outbox: Outbox = []
    tally, identifiers = Tally(), RandomTokens()
    sent_by = {"udp": ENGINE, "tcp": ENGINE}
    board = Board(
        CallSettings(),
        "bench",
        "127.0.0.1",
        sent_by,
        identifiers,
        WallClock(),
        records,
        callers,
        tally,
        Raising(),
    )
    pstn = TrunkSettings(
        name="pstn", peers=["127.0.0.0/8"], next_hops=[f"udp://{CALLEE}"], prefixes=[""], trust_identity=True
    )
    trunks = TrunkTable([Trunk.of(pstn)])
    switchboard = Switchboard(board, bindings, Gate(Policy(), trunks), trunks, Limits())
    endpoint = Endpoint(switchboard, TimerValues(), identifiers, tally, outbox, sent_by)
    board.endpoint = endpoint
    return Composition(endpoint, outbox, board)


def drive(
    composition: Composition, rows: list[Row], calls: int, wave: int, profiler: cProfile.Profile | None = None
) -> dict[str, float]:
    """Drive `calls` complete calls, `wave` at once; seconds that the engine took for each of STEPS."""
    spent = dict.fromkeys(STEPS, 0.0)
    now = 1000.0
    done = 0
    for number in range(0, calls, wave):
        size = min(wave, calls - number)
        party = Party(ENGINE, CALLER, CALLEE)
        invites = [party.invite(number + i, rows[(number + i) % len(rows)]) for i in range(size)]
        sent = _wave(composition, "INVITE", invites, CALLER, now, spent, profiler)
        asked = [data for data in sent if data.startswith(b"INVITE ")]
        now += 0.01
        _wave(composition, "180", [party.ringing(data) for data in asked], CALLEE, now, spent, profiler)
        now += 0.01
        answers = _wave(
            composition, "200", [party.answer(data) for data in asked], CALLEE, now, spent, profiler
        )
        answers = [data for data in answers if data.startswith(b"SIP/2.0 200 ")]
        now += 0.01
        _wave(composition, "ACK", [party.ack(data) for data in answers], CALLER, now, spent, profiler)
        now += 1.0
        sent = _wave(composition, "BYE", [party.bye(data) for data in answers], CALLER, now, spent, profiler)
        ended = [party.bye_answer(data) for data in sent if data.startswith(b"BYE ")]
        now += 0.01
        _wave(composition, "200 (BYE)", ended, CALLEE, now, spent, profiler)
        done += len(ended)
        now += 1.0
        _timers(composition, now, spent, profiler)
    _timers(composition, now + 64.0, spent, profiler)
    if done != calls or composition.board.calls:
        raise AssertionError(
            f"{done} of {calls} calls were whole, {len(composition.board.calls)} still stand"
        )
    return spent


def _wave(
    composition: Composition,
    step: str,
    messages: list[bytes],
    source: str,
    now: float,
    spent: dict[str, float],
    profiler: cProfile.Profile | None,
) -> list[bytes]:
    host, _, port = source.partition(":")
    flow = Flow("udp", host, int(port), 1, "pstn")
    receive, outbox = composition.endpoint.receive, composition.outbox
    sent: list[bytes] = []
    with _timed(step, spent, profiler):
        for data in messages:
            receive(data, flow, now)
        for journal in composition.keep:
            journal.flush()
    sent += [data for _, data in outbox]
    outbox.clear()
    return sent


def _timers(
    composition: Composition, until: float, spent: dict[str, float], profiler: cProfile.Profile | None
) -> None:
    endpoint = composition.endpoint
    with _timed("timers", spent, profiler):
        while (deadline := endpoint.next_deadline) <= until and deadline < NEVER:
            endpoint.expire(deadline)
        for journal in composition.keep:
            journal.flush()
    composition.outbox.clear()


class _timed:  # noqa: N801  (used as a word in a with statement)
    def __init__(self, step: str, spent: dict[str, float], profiler: cProfile.Profile | None) -> None:
        self._step, self._spent, self._profiler = step, spent, profiler

    def __enter__(self) -> None:
        if self._profiler is not None:
            self._profiler.enable()
        self._began = perf_counter()

    def __exit__(self, *_: object) -> None:
        self._spent[self._step] += perf_counter() - self._began
        if self._profiler is not None:
            self._profiler.disable()


def main() -> None:
    """Print µs per call and step, and with --top what cProfile saw."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.profile", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--calls", default=5_000, type=int)
    parser.add_argument(
        "--wave", default=500, type=int, help="calls at once: many keep caches warm, 1 does not"
    )
    parser.add_argument(
        "--top", default=0, type=int, help="also print so many lines of cProfile, by own time"
    )
    parser.add_argument("--of", default="whole", choices=("core", "whole"), help="what cProfile looks at")
    parser.add_argument("--compiled", action="store_true", help="with the pure rooms compiled by mypyc")
    asked = parser.parse_args()
    if not 1 <= asked.wave <= asked.calls <= MOST_CALLS:
        parser.error(f"--calls is --wave to {MOST_CALLS}")
    if asked.compiled:
        _again_compiled()
    directory = Path(tempfile.mkdtemp(prefix="mask700-profile-"))
    try:
        _profile(asked, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _profile(asked: argparse.Namespace, directory: Path) -> None:
    rows = make_rows(10_000)
    console = Console(width=None if sys.stdout.isatty() else 110)
    table = Table(title=f"µs per call over {asked.calls:,} calls, {_build()}", title_justify="left")
    for head in ("", *STEPS, "call"):
        table.add_column(head, justify="right")
    compositions = {"core": core(rows), "whole": whole(rows, directory)}
    for name, composition in compositions.items():
        drive(composition, rows, asked.wave, asked.wave)
        gc.collect()
        gc.freeze()
        spent = drive(composition, rows, asked.calls, asked.wave)
        each = [f"{spent[step] * 1e6 / asked.calls:.1f}" for step in STEPS]
        table.add_row(name, *each, f"{sum(spent.values()) * 1e6 / asked.calls:.1f}")
    console.print(table)
    if asked.top:
        profiler = cProfile.Profile()
        drive(compositions[asked.of], rows, asked.calls, asked.wave, profiler)
        statistics = pstats.Stats(profiler)
        statistics.strip_dirs().sort_stats("tottime").print_stats(asked.top)


def _build() -> str:
    return (
        "compiled"
        if re.search(r"\.so$", sys.modules["engine.sip.endpoint"].__file__ or "")
        else "interpreted"
    )


def _again_compiled() -> None:
    built = compiled.build()
    arguments = [argument for argument in sys.argv[1:] if argument != "--compiled"]
    start = f"import sys; sys.path.append({str(ROOT)!r}); from bench.profile import main; main()"
    # The compiled copy stands before the repository on the path, whose bench is wanted and whose engine is not.
    os.execv(built.python, [str(built.python), "-P", "-c", start, *arguments])


def _real(text: str) -> RealNumber:
    number = parse_real(text)
    if number is None:
        raise ValueError(f"{text} is no real number")
    return number


if __name__ == "__main__":
    main()
