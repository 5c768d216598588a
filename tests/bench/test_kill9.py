"""A real engine, SIPp on both sides: killed under load, and told to stop under load."""

import shutil
import socket
from pathlib import Path

import pytest

from bench.kill9 import Counts, Plan, run

pytestmark = pytest.mark.skipif(shutil.which("sipp") is None, reason="there is no SIPp here")


def ports() -> int:
    """The first of five that nobody has, of either kind."""
    for first in range(22_320, 23_320, 5):
        sockets = [
            socket.socket(socket.AF_INET, kind)
            for _ in range(5)
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM)
        ]
        try:
            for number, one in enumerate(sockets):
                one.bind(("127.0.0.1", first + number // 2))
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
        return first
    raise AssertionError("no ports are free")


def played(tmp_path: Path, gracefully: bool) -> Counts:
    return run(
        Plan(kills=2, rate=60, between_s=3.0, talk_s=2.0, ports=ports(), gracefully=gracefully), tmp_path
    )


def test_kill_9_loses_nothing_doubles_nothing_and_leaves_nobody_talking(tmp_path: Path) -> None:
    counts = played(tmp_path, gracefully=False)
    assert counts.answered_by_both > 300
    assert counts.interrupted > 100
    assert counts.answered > 50
    assert counts.faults == 0, counts


def test_sigterm_interrupts_no_call(tmp_path: Path) -> None:
    counts = played(tmp_path, gracefully=True)
    assert counts.answered_by_both > 200
    assert counts.interrupted == 0
    assert counts.faults == 0, counts
