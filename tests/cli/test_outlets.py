"""`mask700 outlets`, with an engine and without."""

import json
from typing import Any

import pytest

from engine.app.link import Refused
from engine.app.outlets_process import OutletsLock
from engine.app.ownership import DataDirectory
from tests.cli.world import World, record

NOON = 1_769_860_800_000
OUTLET = 'outlets.billing.format="jsonl"'
ROW = {
    "name": "billing",
    "kind": "files",
    "position": "3:4096:1",
    "delivered": 7,
    "lag_records": 2,
    "lag_s": 1.5,
    "failures": 1,
    "error": "No space left on device",
}


def listed(world: World, *words: str) -> list[dict[str, Any]]:
    result = world.run("outlets", "list", "--json", "--set", OUTLET, *words)
    assert result.exit_code == 0
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_running_engine_says_where_they_stand(world: World) -> None:
    def answer(op: str, arguments: dict[str, Any]) -> object:
        if op == "outlets.list":
            return [ROW]
        if arguments["to"] == "soon":
            raise Refused('"soon" is no position')
        return {**ROW, "position": arguments["to"]}

    with world.engine(answer):
        assert listed(world) == [ROW]
        result = world.run("outlets", "list")
        assert "3:4096:1" in result.stdout
        assert "No space left on device" in result.stdout
        result = world.run("outlets", "reset", "billing", "--to", "3:40:0")
        assert result.stdout == "billing goes on behind 3:40:0: 2 records\n"
        result = world.run("outlets", "reset", "billing", "--to", "soon")
        assert (result.exit_code, result.stderr) == (1, '"soon" is no position\n')


def test_without_an_engine_the_places_are_as_they_were_left(world: World) -> None:
    world.write_records(record(1, NOON), record(2, NOON), record(3, NOON))
    (row,) = listed(world)
    assert (row["position"], row["lag_records"], row["delivered"], row["error"]) == ("0:0:0", 3, 0, "")
    assert row["lag_s"] >= 0
    result = world.run("outlets", "reset", "billing", "--to", "now", "--json", "--set", OUTLET)
    assert json.loads(result.stdout)["lag_records"] == 0
    position = json.loads(result.stdout)["position"]
    world.write_records(record(4, NOON))
    (row,) = listed(world)
    assert (row["position"], row["lag_records"]) == (position, 1)
    result = world.run("outlets", "reset", "billing", "--to", "beginning", "--set", OUTLET)
    assert result.stdout == "billing goes on behind 0:0:0: 4 records\n"
    (world.data_dir / "outlets" / "billing.position").write_text("?")
    (row,) = listed(world)
    assert "billing.position" in row["error"]


@pytest.mark.parametrize(
    ("name", "to", "why"),
    [
        ("other", "now", 'there is no outlet "other"'),
        ("billing", "7:0:0", "position 7:0:0: there is no segment 7"),
        ("billing", "soon", '"soon" is no position: SEGMENT:OFFSET:ENTRY'),
    ],
)
def test_what_cannot_be_reset(world: World, name: str, to: str, why: str) -> None:
    world.write_records(record(1, NOON))
    result = world.run("outlets", "reset", name, "--to", to, "--json", "--set", OUTLET)
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"error": why})


def test_nobody_moves_a_place_under_who_holds_it(world: World) -> None:
    world.write_records(record(1, NOON))
    running = DataDirectory(world.data_dir)
    result = world.run("outlets", "reset", "billing", "--to", "now", "--set", OUTLET)
    running.release()
    assert (result.exit_code, "belongs to a running engine" in result.stderr) == (1, True)
    lock = OutletsLock(world.data_dir / "outlets")
    assert lock.taken()
    result = world.run("outlets", "reset", "billing", "--to", "now", "--set", OUTLET)
    lock.release()
    assert (result.exit_code, "another process moves the outlets" in result.stderr) == (1, True)
