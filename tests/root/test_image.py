"""The Dockerfile is made of steps that exist, so that they can be run without Docker."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.flows.stage import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SCRIPTS = sorted((ROOT / "scripts").iterdir())


def test_what_is_copied_from_the_repository_is_there() -> None:
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    assert copies
    for sources in copies:
        assert all((ROOT / source).exists() for source in sources.split())


def test_every_step_is_a_script_of_the_repository() -> None:
    steps = re.findall(r"^RUN (.+)$", DOCKERFILE, re.MULTILINE)
    assert len(steps) == DOCKERFILE.count("RUN ")
    for step in steps:
        for command in step.split(" && "):
            name = Path(command.split()[0]).name
            assert name == "rm" or ROOT / "scripts" / name in SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_script_can_be_run_and_read(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")


def test_a_stage_that_there_is_not_is_refused() -> None:
    done = subprocess.run(
        [str(ROOT / "scripts" / "image-python"), "walk"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "image-python: build or run\n")
