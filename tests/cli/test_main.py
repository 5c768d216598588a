"""The program as a whole: its commands, its exit status, and how soon it answers."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from engine.cli.main import app
from tests.cli.world import HEADER, World

HEAVY = (
    "rich",
    "prometheus_client",
    "uvicorn",
    "uvloop",
    "structlog",
    "lmdb",
    "cryptography",
    "asyncio_dgram",
)


@pytest.mark.parametrize(
    "words",
    [
        "serve", "check", "lab", "health", "stats", "top", "drain", "log-level", "version", "bindings list",
        "bindings get", "bindings load", "bindings reload", "bindings export", "bindings stats", "calls list",
        "calls show", "calls end", "trunks list", "trunks enable", "trunks disable", "cdr tail", "cdr query",
        "cdr export", "trace add", "trace remove", "trace list",
    ],
)  # fmt: skip
def test_every_command_takes_config_and_set(words: str) -> None:
    result = CliRunner().invoke(app, [*words.split(), "--help"])
    assert result.exit_code == 0
    assert "--config FILE" in result.stdout
    assert "--set KEY=VALUE" in result.stdout
    assert ("--json" in result.stdout) == (words != "serve")


@pytest.mark.parametrize(
    "words", ["", "nonsense", "bindings", "bindings add", "bindings get", "cdr tail -n x", "check -x"]
)
def test_bad_usage(words: str) -> None:
    assert CliRunner().invoke(app, words.split()).exit_code == 2


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys, engine.cli.main; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli.main", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: mask700 ")


def test_check_finds_nothing(world: World) -> None:
    result = world.run("check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{world.config}: good; {world.csv}: 5 bindings\n"
    assert json.loads(world.run("check", "--json").stdout) == {"ok": True, "problems": [], "bindings": 5}


def test_check_names_every_mistake_in_both_files(world: World) -> None:
    world.config.write_text(world.config.read_text() + "[sip]\nworkers = 2\n")
    world.csv.write_text(HEADER + "AXB,1,,13800000001,13900000001,,both,,,\nABX,,,,,,,,,\n")
    result = world.run("check", "--set", "calls.ring_timeout_s=0")
    assert result.exit_code == 1
    assert result.stdout == ""
    config, option, *rows, count = result.stderr.splitlines()
    assert config == f"{world.config}:5: sip.workers: more than one worker is not built yet"
    assert option == "--set: calls.ring_timeout_s: must be 1 to 3600, not 0"
    assert rows[0] == f"{world.csv}:2: x: is no 700 number"
    assert any(one.startswith(f"{world.csv}:3: model: ") for one in rows)
    assert count == f"{2 + len(rows)} problems"
    told = json.loads(world.run("check", "--json").stdout)
    assert told["ok"] is False
    assert told["problems"][0] == {
        "source": str(world.config),
        "line": 5,
        "column": "",
        "key": "sip.workers",
        "what": "more than one worker is not built yet",
    }
    assert told["problems"][1]["source"] == str(world.csv)
    assert (told["problems"][1]["line"], told["problems"][1]["column"]) == (2, "x")


def test_check_names_rows_on_numbers_that_are_not_ours(world: World) -> None:
    with world.config.open("a") as config:
        config.write(
            '[[trunks]]\nname = "carrier2"\nnext_hops = ["udp://127.0.0.1:5490"]\nprefixes = ["7009"]\n'
        )
    world.csv.write_text(world.csv.read_text() + "AXB,700900000000001,,13800000001,13900000001,,,,,\n")
    result = world.run("check")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{world.csv}:7: x: belongs to trunk carrier2 (trunks.carrier2.prefixes)",
        "1 problem",
    ]
    outside = world.run("check", "--set", 'numbering.own_prefixes=["7008"]')
    assert f"{world.csv}:2: x: is outside numbering.own_prefixes" in outside.stderr
    faulty = world.run("check", "--set", 'numbering.own_prefixes=["800"]')
    assert len(faulty.stderr.splitlines()) == 2  # the prefix, and not every row for it


def test_check_changes_nothing(world: World) -> None:
    world.run("check")
    assert not world.data_dir.exists()


def test_a_configuration_that_is_wrong_stops_every_command(world: World) -> None:
    for words in ("serve", "stats", "bindings list", "cdr tail"):
        result = world.run(*words.split(), "--set", "sip.workers=2")
        assert result.exit_code == 1, words
        assert "sip.workers: more than one worker is not built yet" in result.stderr, words
    told = json.loads(world.run("stats", "--json", "--set", "sip.workers=2").stdout)
    assert told["problems"][0]["key"] == "sip.workers"


def test_the_configuration_may_be_named_by_the_environment(world: World) -> None:
    told = CliRunner().invoke(app, ["check", "--json"], env={"MASK700_CONFIG": str(world.config)})
    assert json.loads(told.stdout) == {"ok": True, "problems": [], "bindings": 5}


def test_a_missing_configuration(world: World) -> None:
    world.config.unlink()
    result = world.run("stats")
    assert result.exit_code == 1
    assert f"{world.config}: No such file or directory" in result.stderr
