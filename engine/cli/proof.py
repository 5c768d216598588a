"""`mask700 cdr verify`: proof that the records are what was written."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.engine_client import settings_or_exit
from engine.cli.options import DEFAULT_CONFIG, Config, Json, Overrides
from engine.cli.output import BAD_USAGE, FAILED, complain, fail, print_json, print_values

if TYPE_CHECKING:
    from engine.records.ports import Signatures
    from engine.records.sealed_record import RecordCodec
    from engine.records.verify_segment import Problem, Report
    from engine.settings import Settings

_WRITING_SECONDS = 0.05


def verify_records(
    public_key: Annotated[
        list[Path] | None,
        typer.Option("--public-key", metavar="FILE", help="Believe this key only (PEM); may be repeated."),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            "--head",
            metavar="HEAD",
            help="An earlier run's head, which must still be there; may be repeated.",
        ),
    ] = None,
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Find whatever was changed, removed, moved or added, in which segment and at which byte.

    Needs public keys only. Where the sealing keys are here too, damage is traced to single records. Keep the head that
    it prints in another place: with it, a later run also finds out when an older state of all files was put back.
    """
    from engine.records.verify import verify
    from engine.records.verify_segment import Head

    settings = settings_or_exit(config, overrides, json)
    try:
        heads = [Head.parse(text) for text in head or []]
    except ValueError as error:
        fail(str(error), json, BAD_USAGE)
    begun = time.perf_counter()
    report = verify(
        settings.records.directories(settings.data_dir),
        _signatures(settings, public_key or [], json),
        _codec(settings),
        heads=heads,
        wait=lambda: time.sleep(_WRITING_SECONDS),
        told=None if json else _tell,
    )
    values = _values(report, time.perf_counter() - begun)
    if json:
        print_json(values)
    else:
        print_values({name: value for name, value in values.items() if name != "problems"})
    if report.problems:
        raise typer.Exit(FAILED)


def _signatures(settings: Settings, files: list[Path], json: bool) -> Signatures:
    import os

    from engine.sealing.keys import KeysUnusable
    from engine.sealing.signing import PublicKeys

    try:
        if files:
            return PublicKeys.of_files(files)
        return PublicKeys.open(settings.sealing.directory(settings.data_dir), os.environ)
    except KeysUnusable as error:
        fail(str(error), json)


def _codec(settings: Settings) -> RecordCodec | None:
    """None for who holds no keys."""
    import os

    from engine.records.sealed_record import RecordCodec
    from engine.sealing.cipher import Sealer
    from engine.sealing.keys import KeyRing, KeysUnusable
    from engine.sealing.tokens import LookupTokens

    try:
        ring = KeyRing.open(settings.sealing.directory(settings.data_dir), os.environ, create=False)
    except KeysUnusable:
        return None
    return RecordCodec(Sealer(ring), LookupTokens(ring.lookup))


def _tell(problem: Problem) -> None:
    where = f", bytes {problem.offset} to {problem.end}" if problem.end else ""
    records = f"; records {' '.join(problem.records)}" if problem.records else ""
    complain(f"segment {problem.segment}: {problem.file}{where}: {problem.what}{records}")


def _values(report: Report, seconds: float) -> dict[str, object]:
    return {
        "ok": not report.problems,
        "segments": report.segments,
        "sealed": report.sealed,
        "unsealed": report.unsealed,
        "frames": report.frames,
        "starts": report.starts,
        "records": report.ends,
        "bytes": report.bytes,
        "unchained_lines": report.old_lines,
        "head": None if report.head is None else str(report.head),
        "seconds": round(seconds, 3),
        "problems": report.problems,
    }
