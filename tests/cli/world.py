"""What commands meet: a configuration, a table, records, and an engine that answers what it is told to."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from engine.app import unix_door
from engine.app.control_socket import ControlSocket
from engine.calls.record import CallRecord, EntryKind
from engine.cli.main import app
from engine.records.disk import Disk
from engine.records.frames import Header
from engine.records.journal import Journal
from engine.records.recovery import recover
from engine.records.sealed_record import RecordCodec
from engine.records.settings import RecordSettings
from engine.routing.number_plan import NumberPlan
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens
from engine.stores.generations import switch_current
from engine.stores.table_build import build_table

HEADER = "model,x,y,a,b,expires_at,direction,max_duration_s,tenant,order_id\n"
ROWS = """\
AXB,700100000010001,,13800000001,13900000001,,both,,,order-1
AXYB,700100000010002,700100000010003,13800000002,13900000002,2099-01-31T08:00:00+08:00,a_to_b,60,acme,"order,2"
AX,700100000010004,,13800000003,,,both,,,
GXB,700100000010005,,13800000004|13800000005,01012345678,,b_to_a,,,order-4
AXB,700100000010001,,13800000006,13900000006,2020-01-01T00:00:00Z,both,,,order-5
"""


class World:
    """One data directory and the commands that look at it."""

    def __init__(self, directory: Path) -> None:
        self.data_dir = directory / "var"
        self.csv = directory / "bindings.csv"
        self.config = directory / "engine.toml"
        self.config.write_text(f'data_dir = "{self.data_dir}"\n[bindings]\ntable = "{self.csv}"\n')
        self.csv.write_text(HEADER + ROWS)

    def run(self, *words: str) -> Result:
        """`mask700 …` in this process."""
        return CliRunner().invoke(app, [*words, "--config", str(self.config)])

    def load_table(self) -> None:
        sealer, tokens = self._keys()
        ours = NumberPlan(["700"], []).fault
        built = build_table(self.data_dir, self.csv, sealer, tokens, time.time(), ours)
        switch_current(self.data_dir, built.generation)

    def write_records(self, *records: CallRecord) -> Path:
        """The segment that they are in, closed."""
        sealer, tokens = self._keys()
        codec = RecordCodec(sealer, tokens)
        directory = self.data_dir / "records"
        beginning = recover([directory], codec, lambda _: None).beginning
        settings = RecordSettings(segment_mib=1)
        journal = Journal([directory], settings, Header(0, "mask700-1", "w1"), beginning, Disk())
        for record in records:
            journal.append(EntryKind.END, codec.encode(EntryKind.END, record), record.record_id)
            journal.flush()
        assert journal.close()
        return journal.path

    def seal(self, record: CallRecord) -> bytes:
        """What the engine says of a call that is up, for who holds the keys."""
        return RecordCodec(*self._keys()).encode(EntryKind.START, record)

    def _keys(self) -> tuple[Sealer, LookupTokens]:
        ring = KeyRing.open(self.data_dir / "keys", {})
        return Sealer(ring), LookupTokens(ring.lookup)

    @contextmanager
    def engine(self, answer: Callable[[str, dict[str, Any]], object]) -> Iterator[None]:
        """A control socket that answers so, in a thread of its own."""
        self.data_dir.mkdir(exist_ok=True)
        stopping: list[Callable[[], object]] = []
        opened = threading.Event()

        async def asynchronously(op: str, arguments: dict[str, Any]) -> object:
            return answer(op, arguments)

        async def serve() -> None:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            stopping.append(lambda: loop.call_soon_threadsafe(stop.set))
            doors = ControlSocket(asynchronously)
            with unix_door.bind(self.data_dir / "control.sock") as door:
                await doors.open(door)
                opened.set()
                await stop.wait()
                await doors.close()
            (self.data_dir / "control.sock").unlink()

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            assert opened.wait(10)
            yield
        finally:
            stopping[0]()
            thread.join(10)


def record(number: int, setup_time: int, reason: str = "normal") -> CallRecord:
    return CallRecord(
        record_id=f"record-{number}",
        model="AXB",
        caller=f"+86{13800000000 + number}",
        dialled="700100000010001",
        shown="700100000010001",
        callee=f"+86{13900000000 + number}",
        setup_time=setup_time,
        talk_ms=1500,
        disposition="answered",
        reason=reason,
    )
