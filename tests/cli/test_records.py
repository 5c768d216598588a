"""`mask700 cdr`: records in clear for who holds the keys."""

import csv
import io
import json
import subprocess
import sys
import time
from dataclasses import replace
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
    content = path.read_bytes()
    path.write_bytes(content.replace(b"normal", b"abnorm", 1))
    result = world.run("cdr", "query", "--json")
    assert [one["record_id"] for one in lines(result.stdout)] == ["record-2"]
    assert result.exit_code == 1
    assert result.stderr.startswith("1 places could not be read; the first: ")


def test_query_by_the_rest(world: World) -> None:
    world.write_records(
        replace(record(1, NOON), tenant="acme", order_id="order-1"),
        replace(record(2, NOON), shown="700100000010009"),
    )
    query = ("cdr", "query", "--json")
    assert ids(world.run(*query, "--tenant", "acme")) == ["record-1"]
    assert ids(world.run(*query, "--order-id", "order-1")) == ["record-1"]
    assert ids(world.run(*query, "--order-id", "order-2")) == []
    assert ids(world.run(*query, "--shown", "700100000010009")) == ["record-2"]


def test_an_export_goes_on_where_the_last_one_ended(world: World) -> None:
    written(world)
    first = world.run("cdr", "export", "--format", "csv", "--positions")
    assert first.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(first.stdout, newline="")))
    assert [row["record_id"] for row in rows] == ["record-1", "record-2", "record-3", "record-3"]
    assert (rows[0]["caller"], rows[0]["tenant"], rows[1]["reason"]) == ("+8613800000001", "", "not_bound")
    position = first.stderr.split()[-1]
    assert first.stderr == f"go on with --after {position}\n"
    assert position == rows[-1]["position"]
    again = world.run("cdr", "export", "--after", position, "--json")
    assert (again.stdout, json.loads(again.stderr)) == ("", {"position": position})
    world.write_records(record(4, NOON))
    assert ids(world.run("cdr", "export", "--after", position)) == ["record-4"]
    assert ids(world.run("cdr", "export", "--after", rows[1]["position"]))[0] == "record-3"
    more = world.run("cdr", "export", "--after", position, "--format", "csv", "--no-header")
    assert more.stdout.startswith("1,record-4,call,")


def test_what_cannot_be_exported(world: World) -> None:
    written(world)
    for words, why in (
        (("--after", "1:2"), '"1:2" is no position: SEGMENT:OFFSET:ENTRY'),
        (("--after", "9:40:0"), "position 9:40:0: there is no segment 9"),
        (("--format", "xml"), '--format: "xml" is none of csv, jsonl'),
    ):
        result = world.run("cdr", "export", *words)
        assert (result.exit_code, result.stdout, result.stderr) == (2, "", why + "\n")


def test_verify_proves_and_locates(world: World) -> None:
    world.run("keys", "generate")
    path = world.write_records(record(1, NOON), record(2, NOON))
    world.write_records(record(3, NOON))
    public = str(world.data_dir / "keys" / "signing-1.pub")
    result = world.run("cdr", "verify", "--json", "--public-key", public)
    assert result.exit_code == 0
    values = json.loads(result.stdout)
    assert (values["ok"], values["segments"], values["records"], values["problems"]) == (True, 2, 3, [])
    assert world.run("cdr", "verify", "--head", values["head"]).exit_code == 0
    content = path.read_bytes()
    place = content.index(b"normal")
    path.write_bytes(content.replace(b"normal", b"abnorm", 1))
    result = world.run("cdr", "verify", "--json")
    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["problems"]
    assert (problem["segment"], problem["file"], problem["records"]) == (1, str(path), ["record-1"])
    assert problem["offset"] <= place < problem["end"]
    told = world.run("cdr", "verify").stderr
    assert told.startswith(f"segment 1: {path}, bytes {problem['offset']} to {problem['end']}: ")
    assert told.endswith("; records record-1\n")
    assert world.run("cdr", "verify", "--head", "x").exit_code == 2
    assert (
        world.run("cdr", "verify", "--public-key", str(path)).stderr == f"{path}: is no public key in PEM\n"
    )


def test_without_keys(world: World) -> None:
    result = world.run("cdr", "tail")
    assert result.exit_code == 1
    assert "there are no keys" in result.stderr
