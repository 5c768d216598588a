"""`mask700 bindings`: reading the table in force, and asking the engine for another."""

import json
from pathlib import Path
from typing import Any

from typer.testing import Result

from engine.app.control_socket import RefusedWith
from tests.cli.world import HEADER, ROWS, World


def values(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_list_masks_real_numbers(world: World) -> None:
    world.load_table()
    for options in ([], ["--json"]):
        text = world.run("bindings", "list", *options).stdout
        assert "138****0001" in text
        assert "010****5678" in text
        assert "700100000010001" in text
        assert "1380000000" not in text
    assert "+8613800000001" in world.run("bindings", "list", "--clear").stdout


def test_list_has_every_field(world: World) -> None:
    world.load_table()
    found = {one["order_id"]: one for one in values(world.run("bindings", "list", "--json", "--clear"))}
    assert len(found) == 5
    binding = found["order,2"]
    assert len(binding.pop("id")) == 24
    assert binding == {
        "model": "AXYB",
        "x": "700100000010002",
        "y": "700100000010003",
        "a": ["+8613800000002"],
        "b": "+8613900000002",
        "expires_at": "2099-01-31T00:00:00.000Z",
        "direction": "a_to_b",
        "max_duration_s": 60,
        "tenant": "acme",
        "order_id": "order,2",
        "expired": False,
    }
    assert found["order-5"]["expired"] is True
    assert found[""]["b"] is None


def test_list_by_number(world: World) -> None:
    world.load_table()
    by_x = values(world.run("bindings", "list", "--json", "--x", "+86700100000010001"))
    assert {one["order_id"] for one in by_x} == {"order-1", "order-5"}
    by_number = values(world.run("bindings", "list", "--json", "--number", "+86 138 0000 0005"))
    assert [one["order_id"] for one in by_number] == ["order-4"]
    both = world.run("bindings", "list", "--json", "--x", "700100000010001", "--number", "13800000005")
    assert values(both) == []


def test_what_is_no_number_is_bad_usage(world: World) -> None:
    world.load_table()
    assert world.run("bindings", "list", "--x", "13800000001").exit_code == 2
    result = world.run("bindings", "list", "--number", "110")
    assert (result.exit_code, result.stderr) == (2, "--number: is no real number\n")


def test_get(world: World) -> None:
    world.load_table()
    binding = values(world.run("bindings", "list", "--json"))[0]
    assert values(world.run("bindings", "get", binding["id"], "--json")) == [binding]
    shown = world.run("bindings", "get", binding["id"]).stdout
    assert f"x               {binding['x']}\n" in shown
    result = world.run("bindings", "get", "0" * 24)
    assert (result.exit_code, result.stderr) == (1, f'there is no binding "{"0" * 24}"\n')
    assert json.loads(world.run("bindings", "get", "x", "--json").stdout) == {
        "error": 'there is no binding "x"'
    }


def test_an_export_makes_the_same_table_again(world: World) -> None:
    world.load_table()
    before = values(world.run("bindings", "list", "--json", "--clear"))
    exported = world.run("bindings", "export").stdout
    assert exported.startswith(HEADER)
    world.csv.write_text(exported)
    world.load_table()
    assert values(world.run("bindings", "list", "--json", "--clear")) == before
    assert values(world.run("bindings", "export", "--json")) == before


def test_stats(world: World) -> None:
    world.load_table()
    (stats,) = values(world.run("bindings", "stats", "--json"))
    assert (stats["rows"], stats["expired"], stats["models"]["AXB"]) == (5, 1, 2)
    assert stats["built"].endswith("Z")
    assert "models.GXB" in world.run("bindings", "stats").stdout


def test_an_engine_that_never_started_has_no_keys(world: World) -> None:
    result = world.run("bindings", "list")
    assert result.exit_code == 1
    assert "there are no keys" in result.stderr
    assert not world.data_dir.exists()


def test_a_table_that_was_never_loaded_is_empty(world: World) -> None:
    world.write_records()
    assert values(world.run("bindings", "list", "--json")) == []
    assert values(world.run("bindings", "stats", "--json"))[0]["built"] is None


LOADED = {
    "generation": "table-2.mdb",
    "rows": 5,
    "expired": 1,
    "added": 1,
    "changed": 2,
    "removed": 3,
    "previous": "",
}


def test_reload_and_load_print_what_changed(world: World, tmp_path: Path) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def answer(op: str, arguments: dict[str, Any]) -> object:
        asked.append((op, arguments))
        return LOADED

    with world.engine(answer):
        result = world.run("bindings", "reload")
        assert result.stdout == "loaded 5 bindings (1 expired): 1 added, 2 changed, 3 removed\n"
        assert values(world.run("bindings", "load", str(tmp_path / "other.csv"), "--json")) == [LOADED]
    assert asked == [("bindings.reload", {}), ("bindings.load", {"path": str(tmp_path / "other.csv")})]


def test_a_relative_path_is_this_process_s(world: World) -> None:
    asked: list[dict[str, Any]] = []

    def answer(op: str, arguments: dict[str, Any]) -> object:
        asked.append(arguments)
        return LOADED | {"previous": "damaged"}

    with world.engine(answer):
        result = world.run("bindings", "load", "other.csv")
    assert asked == [{"path": str(Path.cwd() / "other.csv")}]
    assert result.stdout.splitlines()[1] == "the table before could not be compared: damaged"


def test_a_refused_table_names_its_rows(world: World) -> None:
    problems = [
        {"line": 2, "column": "x", "reason": "is no 700 number"},
        {"line": 3, "column": "", "reason": "has 1 fields instead of 10"},
        {"line": 0, "column": "", "reason": "cannot be read"},
    ]

    def answer(op: str, arguments: dict[str, Any]) -> object:
        raise RefusedWith({"error": "the table has 7 problems", "problems": problems, "problem_count": 7})

    with world.engine(answer):
        result = world.run("bindings", "reload")
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            f"{world.csv}:2: x: is no 700 number",
            f"{world.csv}:3: has 1 fields instead of 10",
            f"{world.csv}: cannot be read",
            "… and 4 more",
            "not loaded: the table has 7 problems; the table before stays in force",
        ]
        told = world.run("bindings", "reload", "--json")
        assert told.exit_code == 1
        assert json.loads(told.stdout) == {"error": "the table has 7 problems", "problems": problems}


def test_no_engine(world: World) -> None:
    result = world.run("bindings", "reload")
    assert result.exit_code == 1
    assert result.stderr.startswith("no engine runs here")


def test_the_rows_of_these_tests_are_all_good(world: World) -> None:
    assert world.run("check").stdout.endswith(f"{len(ROWS.splitlines())} bindings\n")
