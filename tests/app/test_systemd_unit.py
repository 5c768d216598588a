"""config/systemd/mask700.service: what it promises the engine, and what the engine promises it."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.app.settings import ControlSettings
from engine.sip.settings import SipSettings
from tests.app.tables import ROOT

UNIT = ROOT / "config/systemd/mask700.service"
BINARY = "/opt/mask700/bin/mask700"


class _Every(configparser.RawConfigParser):
    """Keys keep their case; of those that stand several times the last one counts."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


@pytest.fixture(scope="module")
def unit() -> configparser.RawConfigParser:
    parser = _Every(strict=False, interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.read(UNIT, "utf-8")
    return parser


def test_it_starts_what_notifies(unit: configparser.RawConfigParser) -> None:
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"]) == ("notify", "main")
    assert service["ExecStart"] == f"{BINARY} serve"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert "MASK700_CONFIG=/etc/mask700/config.toml" in service["Environment"].split()
    assert service["KillMode"] == "mixed"  # the signalling process leaves signals to the control process
    assert unit["Install"]["WantedBy"] == "multi-user.target"


def test_it_waits_longer_than_the_engine_may_take(unit: configparser.RawConfigParser) -> None:
    service, control = unit["Service"], ControlSettings()
    assert (
        int(service["TimeoutStartSec"]) > control.build_timeout_s + 30
    )  # and the signalling process's start
    assert int(service["TimeoutStopSec"]) > control.drain_timeout_s + 10  # and its stop
    assert int(service["LimitNOFILE"]) > SipSettings().tcp_max_connections
    assert int(service["WatchdogSec"]) >= 10


def test_the_state_is_its_own(unit: configparser.RawConfigParser) -> None:
    service = unit["Service"]
    assert (service["StateDirectory"], service["StateDirectoryMode"]) == ("mask700", "0700")
    assert service["WorkingDirectory"] == "/var/lib/mask700"
    installed = (ROOT / "config/container.toml").read_text("utf-8")
    assert re.search(r'^data_dir = "/var/lib/mask700"', installed, re.MULTILINE)
    assert service["User"] != "root"
    assert (service["ProtectSystem"], service["NoNewPrivileges"], service["CapabilityBoundingSet"]) == (
        "strict",
        "true",
        "",
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    text = UNIT.read_text("utf-8").replace(BINARY, "/bin/true")  # as if it were installed
    (tmp_path / UNIT.name).write_text(text, "utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)], capture_output=True, text=True
    )
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    exposure = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(tmp_path / UNIT.name)],
        capture_output=True,
        text=True,
    )
    assert exposure.returncode == 0, exposure.stdout  # 2.0 of 10 at most
