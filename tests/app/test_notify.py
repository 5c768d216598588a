"""What the service manager hears."""

import os
import socket
from pathlib import Path

import pytest

from engine.app.notify import Notifier


def test_the_states(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"))
        notifier.ready()
        notifier.reloading()
        notifier.stopping()
        assert manager.recv(1000) == b"READY=1"
        state, moment = manager.recv(1000).split(b"\n")
        assert state == b"RELOADING=1"
        assert int(moment.removeprefix(b"MONOTONIC_USEC=")) > 0
        assert manager.recv(1000) == b"STOPPING=1"


def test_an_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")  # the kernel chooses an abstract name
        Notifier("@" + manager.getsockname()[1:].decode()).ready()
        assert manager.recv(1000) == b"READY=1"


def test_a_manager_that_is_gone_disturbs_nobody(tmp_path: Path) -> None:
    Notifier(str(tmp_path / "nobody")).ready()


def test_children_do_not_inherit_the_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        Notifier.from_environment().ready()
        assert manager.recv(1000) == b"READY=1"
    assert "NOTIFY_SOCKET" not in os.environ
    assert "WATCHDOG_USEC" not in os.environ
    Notifier.from_environment().ready()


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, 0.0),  # meant for another process
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_how_often_signs_of_life_are_wanted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], seconds: float
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Notifier.from_environment().watchdog_s == seconds
