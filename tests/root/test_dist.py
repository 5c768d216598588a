"""The wheel and the source distribution: both are built, one from the other, and the wheel is installed and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flows.stage import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dist")]  # one build serves all

KEPT_OUT = (
    "__pycache__",
    ".git",
    ".venv*",
    "var",
    "build",
    "dist",
    "*.egg-info",
    ".*_cache",
    ".hypothesis",
    "*.so",
)


@dataclass(slots=True, frozen=True)
class Distributions:
    source: Path
    wheel: Path
    folder: Path

    @property
    def tree(self) -> Path:
        """What they were built from."""
        return self.folder / "tree"

    def names_in_source(self) -> set[str]:
        with tarfile.open(self.source) as archive:
            return {name.partition("/")[2] for name in archive.getnames()}

    def names_in_wheel(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """As `make dist` builds them, from a copy, since a build writes beside what it reads."""
    folder = tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, folder / "tree", ignore=shutil.ignore_patterns(*KEPT_OUT))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), "."]
    done = subprocess.run(command, cwd=folder / "tree", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (source,) = (folder / "dist").glob("mask700-*.tar.gz")
    (wheel,) = (folder / "dist").glob("mask700-*-py3-none-any.whl")
    return Distributions(source, wheel, folder)


@pytest.fixture(scope="module")
def installed(built: Distributions) -> Path:
    """The wheel in an environment of its own; the locked libraries are found behind it."""
    environment = built.folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, str(built.wheel)], check=True)
    (libraries,) = environment.glob("lib/python3.11/site-packages")
    (libraries / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(installed / "bin" / "mask700"), *words],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_wheel_is_the_package_and_nothing_else(built: Distributions) -> None:
    names = built.names_in_wheel()
    assert {name.split("/")[0] for name in names} == {"engine", "mask700-0.1.0.dist-info"}
    assert "engine/py.typed" in names
    modules = {str(path.relative_to(built.tree)) for path in (built.tree / "engine").rglob("*.py")}
    assert {name for name in names if name.startswith("engine/")} == modules | {"engine/py.typed"}


def test_the_source_distribution_is_the_repository(built: Distributions) -> None:
    names = built.names_in_source()
    for needed in (
        "pyproject.toml",
        "requirements.lock",
        "requirements-dev.lock",
        "Makefile",
        "Dockerfile",
        ".ci/run",
    ):
        assert needed in names
    for folder in ("bench", "config", "engine", "scripts", "sipp_scenarios", "tests"):
        here = {path for path in (built.tree / folder).rglob("*") if path.is_file()}
        assert {str(path.relative_to(built.tree)) for path in here} <= names
    assert not any("__pycache__" in name or name.startswith((".venv", "var/")) for name in names)


def test_it_says_what_it_is(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "version", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["version"] == "0.1.0"
    where = [str(installed / "bin" / "python"), "-c", "import engine; print(engine.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert found.startswith(str(installed))


def test_it_checks_a_configuration(installed: Path, built: Distributions, tmp_path: Path) -> None:
    with tarfile.open(built.source) as archive:
        archive.extractall(tmp_path)
    (source,) = tmp_path.iterdir()
    done = run(installed, source, "check", "--config", "config/lab.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("config/lab.toml: good; config/bindings.csv: ")
    listed = run(installed, source, "lab", "--list")
    assert listed.returncode == 0
    assert "axb_a_calls" in listed.stdout


def test_without_flows_the_lab_says_where_they_are(installed: Path, tmp_path: Path) -> None:
    for words in (("lab",), ("lab", "axb_a_calls"), ("lab", "--list")):
        done = run(installed, tmp_path, *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("there are no flows here: they are the folders of sipp_scenarios/")
