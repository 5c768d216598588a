"""`mask700 cdr`: call detail records, in clear for who holds the keys."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.engine_client import settings_or_exit
from engine.cli.options import DEFAULT_CONFIG, Config, Json, Overrides
from engine.cli.output import FAILED, complain, fail, print_json, print_table

if TYPE_CHECKING:
    from pathlib import Path

    from engine.records.query import Record
    from engine.records.sealed_record import RecordCodec
    from engine.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Call detail records.")

Since = Annotated[
    str, typer.Option("--since", metavar="TIME", help="RFC 3339, or how long ago: 90s 15m 2h 7d.")
]
Until = Annotated[str, typer.Option("--until", metavar="TIME", help="Before this time; as --since.")]

_TITLES = (
    *("setup_time", "model", "caller", "dialled", "shown", "callee", "disposition", "reason"),
    *("ring_ms", "talk_ms", "in_trunk", "out_trunk"),
)
_AGO = re.compile(r"([0-9]{1,9})([smhd])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FOLLOW_SECONDS = 0.3


@app.command("query")
def query_records(
    caller: Annotated[str | None, typer.Option("--caller", metavar="NUMBER")] = None,
    callee: Annotated[str | None, typer.Option("--callee", metavar="NUMBER")] = None,
    dialled: Annotated[
        str | None,
        typer.Option("--dialled", metavar="NUMBER", help="The 700 number, or whatever was dialled."),
    ] = None,
    shown: Annotated[
        str | None, typer.Option("--shown", metavar="NUMBER", help="The 700 number that the callee saw.")
    ] = None,
    since: Since = "",
    until: Until = "",
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="WORD", help="normal, not_bound, …")
    ] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="NAME")] = None,
    order_id: Annotated[str | None, typer.Option("--order-id", metavar="ID")] = None,
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Find records by number, time, reason, tenant and order, whether the engine runs or not."""
    from engine.records.query import Wanted, query

    settings = settings_or_exit(config, overrides, json)
    codec = record_codec(settings, json)
    try:
        wanted = Wanted.of(
            codec,
            caller=caller,
            callee=callee,
            dialled=dialled,
            since=_moment("--since", since),
            until=_moment("--until", until),
            reason=reason,
            shown=shown,
            tenant=tenant,
            order_id=order_id,
        )
    except ValueError as error:
        fail(str(error), json, 2)
    broken = Broken()
    _print(query(record_directories(settings), codec, wanted, broken=broken), json)
    broken.tell()


@app.command("export")
def export_records(
    since: Since = "",
    until: Until = "",
    form: Annotated[str, typer.Option("--format", metavar="csv|jsonl", help="What each line is.")] = "jsonl",
    after: Annotated[
        str, typer.Option("--after", metavar="POSITION", help="Only what was written behind this position.")
    ] = "",
    positions: Annotated[
        bool, typer.Option("--positions", help="Put each record's position in front of it.")
    ] = False,
    no_header: Annotated[bool, typer.Option("--no-header", help="Leave the header row of CSV out.")] = False,
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Write records as JSON lines or CSV.

    The columns are always the same, in the same order. What comes last, on stderr, is the position to go on from with
    --after; with --json as {"position": …}.
    """
    import sys

    from engine.records.frames import Position
    from engine.records.query import Wanted, records_after
    from engine.records.reading import BEGINNING
    from engine.records.rows import FORMATS, header, line_of

    settings = settings_or_exit(config, overrides, json)
    codec = record_codec(settings, json)
    passed = BEGINNING

    def seen(position: Position) -> None:
        nonlocal passed
        passed = position

    broken = Broken()
    output = sys.stdout.buffer
    try:
        if form not in FORMATS:
            raise ValueError(f'--format: "{form}" is none of {", ".join(FORMATS)}')
        passed = Position.parse(after) if after else BEGINNING
        wanted = Wanted.of(codec, since=_moment("--since", since), until=_moment("--until", until))
        found = records_after(record_directories(settings), codec, passed, wanted, broken=broken, seen=seen)
        line, head = line_of(form, positions), header(form, positions)
        first = next(found, None)  # a position that there is not is bad usage, and gives no header
        output.write(b"" if no_header else head)
        if first is not None:
            output.write(line(first))
        for one in found:
            output.write(line(one))
    except ValueError as error:
        fail(str(error), json, 2)
    output.flush()
    complain(f'{{"position":"{passed}"}}' if json else f"go on with --after {passed}")
    broken.tell()


@app.command("tail")
def tail_records(
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="How many of the last ones.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with each new one.")] = False,
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Show the last records."""
    from engine.records.query import tail

    def wait() -> bool:
        time.sleep(_FOLLOW_SECONDS)
        return True

    settings = settings_or_exit(config, overrides, json)
    broken = Broken()
    records = tail(
        record_directories(settings),
        record_codec(settings, json),
        count,
        wait=wait if follow else None,
        broken=broken,
    )
    if follow and not json:
        for record in records:
            print(_line(record), flush=True)
    else:
        _print(records, json)
    broken.tell()


class Broken:
    """Counts what could not be read: an answer that lacks something must not look complete."""

    def __init__(self) -> None:
        self._count = 0
        self._first = ""

    def __call__(self, why: str) -> None:
        self._count += 1
        self._first = self._first or why

    def tell(self) -> None:
        if self._count:
            complain(f"{self._count} places could not be read; the first: {self._first}")
            raise typer.Exit(FAILED)


def _print(records: Iterator[Record], json: bool) -> None:
    if json:
        for record in records:
            print_json(record)
    else:
        print_table(_TITLES, ([record[title] for title in _TITLES] for record in records))


def _line(record: Record) -> str:
    talk = record["talk_ms"]
    spoken = f" {talk / 1000:.1f} s" if isinstance(talk, int) else ""
    return (
        f"{record['setup_time']} {record['caller'] or '-'} → {record['dialled'] or '-'} ⇒ "
        f"{record['shown'] or '-'} → {record['callee'] or '-'}  {record['disposition']} {record['reason']}{spoken}"
    )


def record_directories(settings: Settings) -> list[Path]:
    """Where records lie."""
    return settings.records.directories(settings.data_dir)


def record_codec(settings: Settings, json: bool) -> RecordCodec:
    """What opens records, with the keys that are here; or why there are none, and exit status 1."""
    import os

    from engine.records.sealed_record import RecordCodec
    from engine.sealing.cipher import Sealer
    from engine.sealing.keys import KeyRing, KeysUnusable
    from engine.sealing.tokens import LookupTokens

    try:
        ring = KeyRing.open(settings.sealing.directory(settings.data_dir), os.environ, create=False)
    except KeysUnusable as error:
        fail(str(error), json)
    return RecordCodec(Sealer(ring), LookupTokens(ring.lookup))


def _moment(option: str, text: str) -> int | None:
    """Milliseconds since the epoch; raise ValueError."""
    from engine.calls.rfc3339 import parse_time

    if not text:
        return None
    ago = _AGO.match(text)
    if ago is not None:
        return int((time.time() - int(ago[1]) * _SECONDS[ago[2]]) * 1000)
    moment = parse_time(text)
    if moment is None:
        raise ValueError(f'{option}: "{text}" must be like 2026-01-31T08:00:00Z or 15m')
    return round(moment * 1000)
