"""`mask700 keys`: made, named and rotated, and nothing that they made is lost."""

import json
import os
from typing import Any

import pytest

from engine.sealing.keys import SEALING_VARIABLE, KeyRing
from engine.sealing.signing import SIGNING_VARIABLE, SigningKeys
from tests.cli.world import World, record

NOON = 1_790_000_000_000


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_keys_are_made_once(world: World) -> None:
    result = world.run("keys", "list")
    assert (result.exit_code, result.stderr[-1:]) == (1, "\n")
    assert "there are no keys" in result.stderr
    made = json.loads(world.run("keys", "generate", "--json").stdout)["made"]
    assert [os.path.basename(path) for path in made] == ["sealing-1.key", "lookup.key", "signing-1.key"]
    assert world.run("keys", "generate").stdout == "every key is here already\n"


def test_a_list_tells_no_secret(world: World) -> None:
    world.run("keys", "generate")
    rows = lines(world.run("keys", "list", "--json").stdout)
    assert [(row["kind"], row["id"], row["current"]) for row in rows] == [
        ("sealing", 1, True),
        ("signing", 1, True),
        ("lookup", None, True),
    ]
    assert rows[1]["public"].encode() == (world.data_dir / "keys" / "signing-1.pub").read_bytes()
    printed = world.run("keys", "list").stdout + json.dumps(rows)
    for name in ("sealing-1.key", "signing-1.key", "lookup.key"):
        assert (world.data_dir / "keys" / name).read_text().strip() not in printed
    assert len({row["fingerprint"] for row in rows}) == 3


def test_records_stay_readable_after_a_rotation(world: World) -> None:
    world.write_records(record(1, NOON))
    result = world.run("keys", "rotate", "sealing")
    assert result.exit_code == 0
    assert result.stdout == f"{world.data_dir}/keys/sealing-2.key: the engine seals with it when it starts\n"
    world.write_records(record(2, NOON))
    found = lines(world.run("cdr", "query", "--json").stdout)
    assert [one["caller"] for one in found] == ["+8613800000001", "+8613800000002"]
    (world.data_dir / "keys" / "sealing-1.key").unlink()
    result = world.run("cdr", "query", "--json")
    assert [one["caller"] for one in lines(result.stdout)] == ["+8613800000002"]
    assert (result.exit_code, "sealing key 1 is not among the keys" in result.stderr) == (1, True)


def test_a_running_engine_takes_the_key_over(world: World) -> None:
    world.run("keys", "generate")
    asked: list[str] = []

    def answer(op: str, arguments: dict[str, Any]) -> object:
        asked.append(op)
        return {"sealing_key": KeyRing.open(world.data_dir / "keys", {}).current if len(asked) == 1 else 1}

    with world.engine(answer):
        result = world.run("keys", "rotate", "sealing", "--json")
        assert (result.exit_code, asked) == (0, ["keys.take"])
        assert json.loads(result.stdout)["in_use"] is True
        result = world.run("keys", "rotate", "sealing")  # one whose keys come from elsewhere
        assert result.exit_code == 1
        assert "the engine seals with key 1: its keys are elsewhere" in result.stdout
        assert "until it is reloaded or started anew" in result.stderr
        result = world.run("keys", "rotate", "signing")
        assert (result.exit_code, asked) == (0, ["keys.take"] * 2)
    assert SigningKeys.open(world.data_dir / "keys", {}, create=False).current == 2


@pytest.mark.parametrize(
    ("kind", "status", "why"),
    [("lookup", 1, "the look-up key cannot rotate"), ("all", 2, '"all" is neither sealing nor signing')],
)
def test_what_cannot_rotate(world: World, kind: str, status: int, why: str) -> None:
    world.run("keys", "generate")
    result = world.run("keys", "rotate", kind)
    assert result.exit_code == status
    assert why in result.stderr
    assert len(lines(world.run("keys", "list", "--json").stdout)) == 3


def test_keys_of_the_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run("keys", "generate")
    monkeypatch.setenv(SEALING_VARIABLE, f"7:{'ab' * 32}")
    monkeypatch.setenv(SIGNING_VARIABLE, f"3:{'cd' * 32}")
    rows = lines(world.run("keys", "list", "--json").stdout)
    assert [(row["id"], row["from"], row["made"]) for row in rows[:2]] == [
        (7, SEALING_VARIABLE, None),
        (3, SIGNING_VARIABLE, None),
    ]
    for kind, variable in (("sealing", SEALING_VARIABLE), ("signing", SIGNING_VARIABLE)):
        result = world.run("keys", "rotate", kind)
        assert (result.exit_code, f"the keys stand in {variable}" in result.stderr) == (1, True)
