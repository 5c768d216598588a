"""Two engines never share a data directory."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.app.ownership import AlreadyRunning, DataDirectory

HOLD = """
import sys, time
from pathlib import Path
from engine.app.ownership import DataDirectory
directory = DataDirectory(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    DataDirectory(tmp_path / "a" / "var").release()
    assert (tmp_path / "a" / "var").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("mode", "open_to_others"), [(0o700, False), (0o775, False), (0o777, True)])
def test_it_is_known_whether_others_may_write_there(tmp_path: Path, mode: int, open_to_others: bool) -> None:
    tmp_path.chmod(mode)
    directory = DataDirectory(tmp_path)
    assert directory.others_may_write is open_to_others
    directory.release()


def test_the_second_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path)
    with pytest.raises(AlreadyRunning, match=r"belongs to a running engine, process [0-9]+"):
        DataDirectory(tmp_path)
    first.release()
    DataDirectory(tmp_path).release()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning, match=f"process {holder.pid}"):
            DataDirectory(tmp_path)
        holder.kill()
    DataDirectory(tmp_path).release()
