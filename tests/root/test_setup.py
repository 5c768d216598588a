"""`scripts/setup` as far as it can be tried without installing anything: what it says and when it does nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.stage import ROOT

TOOLS = ("bash", "dirname", "tr", "sha256sum", "cat", "cmp", "env", "rm")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of what setup reads, and a PATH of its own in `bin`: the tools, Python, and a user who is not root."""
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/setup", "requirements-dev.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    commands = tmp_path / "bin"
    commands.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (commands / tool).symlink_to(found)
    command(tmp_path, "id", "echo 1000")
    command(tmp_path, "sipp", "true")
    command(tmp_path, "python3.11", f'exec {sys.executable} "$@"')
    return tmp_path


def command(place: Path, name: str, does: str) -> None:
    path = place / "bin" / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!{shutil.which('bash')}\n{does}\n")
    path.chmod(0o755)


def setup(place: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(place / "scripts" / "setup"), *arguments],
        env={"PATH": str(place / "bin"), "PYTHON": "python3.11"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_whoever_is_not_root_is_told_what_to_install(place: Path) -> None:
    (place / "bin" / "sipp").unlink()
    done = setup(place)
    assert done.returncode == 1
    assert "please install, as root: apt-get install sip-tester" in done.stderr
    assert not (place / ".venv").exists()


def test_without_a_python_3_11_debians_is_asked_for(place: Path) -> None:
    command(place, "python3.11", "exit 1")
    done = setup(place)
    assert done.returncode == 1
    assert "apt-get install python3 python3-venv" in done.stderr


def test_without_venv_debians_is_asked_for(place: Path) -> None:
    command(place, "python3.11", f'[[ $2 != *ensurepip* ]] || exit 1\nexec {sys.executable} "$@"')
    done = setup(place)
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr


def test_the_bench_needs_more(place: Path) -> None:
    done = setup(place, "bench")
    assert done.returncode == 1
    assert "kamailio gcc libc6-dev" in done.stderr


def test_what_is_compiled_needs_a_compiler(place: Path) -> None:
    done = setup(place, "compile")
    assert done.returncode == 1
    assert "apt-get install gcc libc6-dev" in done.stderr
    assert "kamailio" not in done.stderr


def test_the_tests_need_prometheus(place: Path) -> None:
    command(place, "prometheus", "true")
    done = setup(place, "test")
    assert done.returncode == 1
    assert done.stderr.endswith("apt-get install prometheus\n")


def test_nothing_is_done_when_nothing_is_missing(place: Path) -> None:
    venv = place / ".venv" / "bin"
    venv.mkdir(parents=True)
    for name in ("python", "mask700"):
        (venv / name).symlink_to(place / "bin" / "python3.11")
    fingerprint = subprocess.run(
        ["bash", "-c", "{ pwd; cat requirements-dev.lock pyproject.toml; } | sha256sum"],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    made_from = venv.parent / "made-from"
    made_from.write_text(fingerprint)
    done = setup(place)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert made_from.read_text() == fingerprint


def test_a_changed_lock_file_is_noticed(place: Path) -> None:
    venv = place / ".venv" / "bin"
    venv.mkdir(parents=True)
    for name in ("python", "mask700"):
        command(place, "said", 'echo "$@" >>"$SAID"')
        (venv / name).symlink_to(place / "bin" / "python3.11")
    (venv.parent / "made-from").write_text("something else\n")
    command(
        place,
        "python3.11",
        f'[[ $1 != -m ]] || {{ echo "$@" >>{place}/said; exit; }}\nexec {sys.executable} "$@"',
    )
    assert setup(place).returncode == 0
    said = (place / "said").read_text()
    assert "--require-hashes -r requirements-dev.lock" in said
    assert "--no-deps --no-build-isolation -e ." in said
    assert setup(place).stderr == ""
