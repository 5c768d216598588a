"""A load that dies at any point leaves the old table or the new one, and nothing that stops the next load."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from engine.stores.callers import LastCallers
from tests.stores.tables import NOW, SEALER, real

ROOT = Path(__file__).parents[2]

REMEMBER = """
import os, signal, sys
from pathlib import Path
from engine.stores.callers import LastCallers
from tests.stores.tables import NOW, SEALER, real
callers = LastCallers.open(Path(sys.argv[1]), SEALER, 3600)
for index in range(500):
    callers.remember(f"{index:024x}", real(index), NOW)
    callers.flush(NOW)
callers.remember(f"{500:024x}", real(500), NOW)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_load_killed_at_any_point(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.stores.crash_points", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    report = json.loads(done.stdout)
    outcome = [tuple(entry) for entry in report["outcome"]]
    # each kind of end was met, or the points were chosen badly
    assert {("call", "killed", "old"), ("call", "killed", "new"), ("call", "finished", "new")} <= set(outcome)
    assert ("alarm", "killed", "old") in outcome
    assert not [entry for entry in outcome if entry[1:] == ("finished", "old")]
    assert report["files"] == ["build.lock", "current", report["current"]]


def test_last_callers_that_were_flushed_survive_a_kill(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", REMEMBER, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    lost: list[str] = []
    callers = LastCallers.open(tmp_path, SEALER, 3600, lost.append)
    assert [callers.get(f"{index:024x}", NOW) for index in range(500)] == [
        real(index) for index in range(500)
    ]
    assert callers.get(f"{500:024x}", NOW) is None
    assert lost == []
    callers.close(NOW)
    assert "open-in-boot" not in os.listdir(tmp_path / "callers")
