"""`mask700 lab` from outside: what it prints, how it refuses, and that it leaves nothing running."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.lab.sockets import free_port, listening
from tests.flows.stage import ROOT, Stage

STAGE = Stage()
PATIENCE_S = 60


def lab_command(folder: Path, *arguments: str) -> list[str]:
    sets = STAGE.overrides(f"data_dir={json.dumps(str(folder))}")
    options = [word for override in sets for word in ("--set", override)]
    return [sys.executable, "-m", "engine.cli.main", "lab", *options, *arguments]


def lab(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        lab_command(folder, *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def everything_is_free() -> bool:
    ports = [("udp", 5060), ("tcp", 5060), ("tcp", 8700), ("udp", 5090)]
    return all(free_port(transport, STAGE.host, port) for transport, port in ports)


def running_below(folder: Path) -> Iterator[str]:
    """Command lines of processes that know of the folder or run in it."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            place = os.readlink(process / "cwd")
        except OSError:
            continue
        if str(folder) in command or place.startswith(str(folder)):
            yield command


def test_the_flows_are_listed_without_an_engine(tmp_path: Path) -> None:
    lines = lab(tmp_path, "--list", "--json").stdout.splitlines()
    flows = [json.loads(line) for line in lines]
    assert {"axb_a_calls", "ax_callback", "load"} <= {flow["flow"] for flow in flows}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("no_such_flow",), "there is no flow no_such_flow; there are anonymous_caller"),
        (("load", "--calls", "0"), "greater than 0"),
        (("busy", "--set", "sip.t1=1"), "sip.t1"),
    ],
)
def test_bad_usage_is_refused(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = lab(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.sipp
@pytest.mark.slow
@pytest.mark.xdist_group("sipp")
def test_flows_of_ones_own_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    (own / "uac.xml").write_text((ROOT / "sipp_scenarios" / "not_bound" / "uac.xml").read_text())
    (own / "calls.csv").write_text(
        "SEQUENTIAL\n# caller;dialled;reason\n13800000001;700100000010098;not_bound\n"
    )
    done = lab(tmp_path, str(own), "one_way", "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["passed"]
    assert [(flow["flow"], flow["reasons"]) for flow in outcome["flows"]] == [
        ("mine", {"not_bound": 1}),
        ("one_way", {"direction": 1}),
    ]
    assert everything_is_free()


@pytest.mark.sipp
@pytest.mark.slow
@pytest.mark.xdist_group("sipp")
def test_load_is_told_while_it_runs_and_as_json(tmp_path: Path) -> None:
    scale = ("load", "--rate", "50", "--calls", "200", "--hold", "0.5")
    told = lab(tmp_path, *scale)
    assert told.returncode == 0, told.stderr
    lines = told.stderr.splitlines()
    assert lines[0] == "load: 200 calls, 50 a second, 0.5 s each"
    assert re.match(r"load: calls \d+ of 200, up \d+, failed 0, ASR 100.00%, PDD .* CPU per call", lines[1])
    assert "load: calls 200 of 200, up 0, failed 0, ASR 100.00%" in told.stdout
    done = lab(tmp_path, *scale, "--json")
    (load,) = json.loads(done.stdout)["flows"]
    assert done.stderr == ""
    assert (load["calls"], load["passed"], load["asr"]) == (200, 200, 1.0)
    pdd = load["pdd_ms"]  # SIPp's clock has steps of 4 ms
    assert 0 <= pdd["median"] <= pdd["p95"] <= pdd["p99"] <= pdd["max"]
    assert load["cpu_us_per_call"] > 0
    assert {"retransmissions", "engine_retransmissions", "memory_bytes", "seconds"} <= set(load)


@pytest.mark.sipp
@pytest.mark.slow
@pytest.mark.xdist_group("sipp")
def test_flows_run_side_by_side_and_leave_nothing(tmp_path: Path) -> None:
    own = tmp_path / "slow"
    own.mkdir()
    for name in ("uac.xml", "uas.xml", "calls.csv"):
        (own / name).write_text((ROOT / "sipp_scenarios" / "axb_a_calls" / name).read_text())
    (own / "flow.toml").write_text('hold_ms = 1500\n[settings]\n"calls.ring_timeout_s" = 7\n')
    done = lab(tmp_path, str(own), "no_answer", "one_way")
    assert done.returncode == 0, done.stdout
    logs = sorted((tmp_path / "lab").glob("engine*.log"))
    ready = [line for log in logs for line in log.read_text().splitlines() if '"event":"ready"' in line]
    assert len({json.loads(line)["addresses"][0] for line in ready}) == 3
    assert "3 of 3 flows passed" in done.stdout
    assert everything_is_free()
    assert list(running_below(tmp_path)) == []


@pytest.mark.sipp
@pytest.mark.slow
@pytest.mark.xdist_group("sipp")
def test_a_flow_that_does_not_pass_is_explained(tmp_path: Path) -> None:
    own = tmp_path / "wrong"
    own.mkdir()
    (own / "uac.xml").write_text((ROOT / "sipp_scenarios" / "not_bound" / "uac.xml").read_text())
    (own / "calls.csv").write_text(
        "SEQUENTIAL\n# caller;dialled;reason\n13800000099;700100000010001;not_bound\n"
    )
    done = lab(tmp_path, str(own))
    assert done.returncode == 1
    assert "wrong did not pass" in done.stdout
    assert "record of call 1: reason is 'not_a_party', not 'not_bound'" in done.stdout
    assert str(tmp_path / "lab" / "wrong") in done.stdout
    assert everything_is_free()


@pytest.mark.sipp
@pytest.mark.slow
@pytest.mark.xdist_group("sipp")
def test_a_scenario_that_sipp_refuses_fails_its_flow_at_once(tmp_path: Path) -> None:
    own = tmp_path / "refused"
    own.mkdir()
    for name in ("uac.xml", "uas.xml"):
        (own / name).write_text('<scenario name="x"><recv request="INVITE"><action>\n</scenario>')
    done = lab(tmp_path, str(own), "one_way", "--json")
    assert done.returncode == 1
    refused, other = json.loads(done.stdout)["flows"]
    assert "did not begin to listen" in refused["problems"][0]
    assert (refused["passed"], other["passed"]) == (0, 1)


@pytest.mark.sipp
@pytest.mark.slow
@pytest.mark.xdist_group("sipp")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_it_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        lab_command(tmp_path, "load", "--calls", "100000", "--rate", "20"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stderr is not None
        assert "load" in process.stderr.readline()  # the flow has begun
        while not listening("udp", STAGE.host, 5090):
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 130
    finally:
        process.kill()
        process.communicate()
    assert everything_is_free()
    assert list(running_below(tmp_path)) == []


@pytest.mark.sipp
@pytest.mark.slow
@pytest.mark.xdist_group("sipp")
def test_an_engine_that_cannot_start_says_why(tmp_path: Path) -> None:
    table = tmp_path / "bad.csv"
    table.write_text("model,x,y,a,b\n")
    done = lab(tmp_path, "one_way", "--set", f'bindings.table="{table}"')
    assert done.returncode == 1
    assert "the engine ended, status 1" in done.stderr
    assert "bad.csv" in done.stderr
    assert everything_is_free()
