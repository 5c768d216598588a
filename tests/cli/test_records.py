"""`mask700 cdr`: records in clear for who holds the keys."""

import json
import subprocess
import sys
import time
from typing import Any

from typer.testing import Result

from engine.calls.rfc3339 import format_time
from tests.cli.world import World, record

NOON = 1_790_000_000_000  # milliseconds since the epoch


def ids(result: Result) -> list[str]:
    assert result.exit_code == 0, result.stderr
    return [str(one["record_id"]) for one in lines(result.stdout)]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def written(world: World) -> None:
    world.write_records(
        record(1, NOON),
        record(2, NOON + 60_000, "not_bound"),
        record(3, NOON + 120_000),
        record(3, NOON + 180_000),
    )


def test_query_by_everything(world: World) -> None:
    written(world)
    query = ("cdr", "query", "--json")
    assert len(ids(world.run(*query))) == 4
    assert ids(world.run(*query, "--caller", "+86 138 0000 0001")) == ["record-1"]
    assert ids(world.run(*query, "--callee", "13900000002")) == ["record-2"]
    assert ids(world.run(*query, "--dialled", "700100000010001", "--reason", "not_bound")) == ["record-2"]
    assert ids(world.run(*query, "--dialled", "700100000010002")) == []
    assert ids(world.run(*query, "--since", format_time(NOON + 120_000))) == ["record-3", "record-3"]
    assert ids(world.run(*query, "--until", format_time(NOON + 60_000))) == ["record-1"]


def test_numbers_are_in_clear_and_every_field_is_there(world: World) -> None:
    written(world)
    (found,) = lines(world.run("cdr", "query", "--json", "--caller", "13800000001").stdout)
    assert (found["caller"], found["callee"]) == ("+8613800000001", "+8613900000001")
    assert found["setup_time"] == format_time(NOON)
    assert len(found) == 34
    assert "+8613800000001" in world.run("cdr", "query").stdout


def test_how_long_ago(world: World) -> None:
    now = int(time.time() * 1000)
    world.write_records(record(1, now - 3_600_000), record(2, now - 60_000))
    assert ids(world.run("cdr", "query", "--json", "--since", "15m")) == ["record-2"]
    assert ids(world.run("cdr", "query", "--json", "--since", "2h", "--until", "1800s")) == ["record-1"]


def test_what_cannot_be_asked(world: World) -> None:
    written(world)
    for words, why in (
        (["query", "--since", "yesterday"], '--since: "yesterday" must be like 2026-01-31T08:00:00Z or 15m'),
        (
            ["export", "--until", "2026-01-01"],
            '--until: "2026-01-01" must be like 2026-01-31T08:00:00Z or 15m',
        ),
        (["query", "--caller", "x"], "caller: is no real number"),
        (["query", "--dialled", "x"], "dialled: is no number"),
    ):
        result = world.run("cdr", *words)
        assert (result.exit_code, result.stderr) == (2, why + "\n")


def test_export_is_json_lines(world: World) -> None:
    written(world)
    assert ids(world.run("cdr", "export")) == ids(world.run("cdr", "export", "--json"))
    assert ids(world.run("cdr", "export", "--since", format_time(NOON + 1))) == [
        "record-2",
        "record-3",
        "record-3",
    ]


def test_tail(world: World) -> None:
    written(world)
    assert ids(world.run("cdr", "tail", "--json", "-n", "2")) == ["record-3", "record-3"]
    assert world.run("cdr", "tail", "-n", "3").stdout.count("+8613800000003") == 2


def test_tail_goes_on(world: World) -> None:
    written(world)
    command = [
        sys.executable,
        "-m",
        "engine.cli.main",
        "cdr",
        "tail",
        "-n",
        "1",
        "-f",
        "--config",
        str(world.config),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        try:
            assert "+8613800000003" in following.stdout.readline()
            world.write_records(record(4, NOON + 240_000))
            line = following.stdout.readline()
            assert "+8613800000004 → 700100000010001 ⇒ 700100000010001 → +8613900000004" in line
            assert line.endswith("answered normal 1.5 s\n")
        finally:
            following.kill()


def test_a_record_that_cannot_be_read_is_not_passed_over_in_silence(world: World) -> None:
    path = world.write_records(record(1, NOON), record(2, NOON))
    first, second = path.read_bytes().splitlines()
    path.write_bytes(first.replace(b"normal", b"abnorm") + b"\n" + second + b"\n")
    result = world.run("cdr", "query", "--json")
    assert [one["record_id"] for one in lines(result.stdout)] == ["record-2"]
    assert result.exit_code == 1
    assert result.stderr.startswith("1 records could not be read; the first: ")


def test_without_keys(world: World) -> None:
    result = world.run("cdr", "tail")
    assert result.exit_code == 1
    assert "there are no keys" in result.stderr
