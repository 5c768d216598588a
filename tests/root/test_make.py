"""The Makefile: `make help` tells of every target, and every target is one."""

import re
import subprocess

from tests.flows.stage import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([A-Za-z][\w.-]*):(?!=)", MAKEFILE, re.MULTILINE)
CONTRACT = {"setup", "lab", "test", "check", "bench"}  # names that stay


def test_help_tells_of_every_target() -> None:
    told = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split()[0] for line in told] == TARGETS
    columns = {re.match(r"\S+ +", line).end() for line in told}  # type: ignore[union-attr]
    assert len(columns) == 1
    assert all(len(line.split()) > 1 for line in told)


def test_help_is_what_make_alone_does() -> None:
    assert ".DEFAULT_GOAL := help" in MAKEFILE


def test_no_target_is_a_file() -> None:
    phony = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert " ".join(phony).split() == TARGETS
    assert set(TARGETS) >= CONTRACT
