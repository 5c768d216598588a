"""A stage run as compose.yaml says: root read-only, its volumes, /tmp in memory, no privilege, own namespaces."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.root.image.build import BuiltStage

_CONFINED = ["setpriv", "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]


@dataclass(slots=True, frozen=True)
class Service:
    """One service of compose.yaml. `mounts`: (what of this machine, where, whether read-only)."""

    stage: BuiltStage
    command: tuple[str, ...]
    mounts: tuple[tuple[Path, str, bool], ...]
    environment: dict[str, str]
    folder: str

    @staticmethod
    def of(said: dict[str, Any], stage: BuiltStage, here: Path, volumes: Path) -> Service:
        """`here`: what relative paths are relative to. `volumes`: where the named ones lie."""
        mounts = []
        for mount in said.get("volumes", []):
            source, target, *mode = mount.split(":")
            named = not source.startswith(".")
            mounts.append(((volumes if named else here) / source, target, mode == ["ro"]))
            if named:
                _fill(volumes / source, stage.root / target.lstrip("/"))
        environment = stage.environment | said.get("environment", {})
        command = tuple(said.get("command") or stage.command)
        return Service(stage, command, tuple(mounts), environment, said.get("working_dir", stage.folder))


class Container:
    """One process in the place of a container's, and what it says."""

    def __init__(self, service: Service, log: Path) -> None:
        self._log = log
        with log.open("wb") as said:
            command = confined(service, (*service.stage.entrypoint, *service.command))
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)

    @property
    def status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> int:
        """The exit status. Raises subprocess.TimeoutExpired."""
        return self._process.wait(seconds)

    def stop(self, seconds: float) -> int:
        """SIGTERM to its process 1; the exit status."""
        for pid in self.pids()[:1]:
            os.kill(pid, signal.SIGTERM)
        return self.wait(seconds)

    def end(self) -> None:
        """With everything in it, however it is: the kernel takes a process table along with its process 1."""
        for pid in self.pids()[:1]:
            os.kill(pid, signal.SIGKILL)  # unshare would, had its child not become another user
        self._process.kill()
        self._process.wait(10)

    def pids(self) -> list[int]:
        """Its processes as this machine numbers them, the first of all first."""
        found = _children(self._process.pid)
        for pid in found:
            found += _children(pid)
        return found

    def memory_mib(self) -> float:
        """Of all its processes, what they share counted once."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total / 1024

    def last_words(self) -> str:
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


def execute(
    service: Service, command: Sequence[str], seconds: float = 30
) -> subprocess.CompletedProcess[str]:
    """A command in a container like the service's: the same files, the same user."""
    return subprocess.run(
        confined(service, command), capture_output=True, text=True, timeout=seconds, check=False
    )


def confined(service: Service, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` as the service runs."""
    root = str(service.stage.root)
    steps = ["set -e", f"mount --bind {root} {root}", f"mount -o remount,bind,ro {root}"]
    steps += [f"mount -t proc proc {root}/proc", f"mount -t tmpfs -o size=64m tmpfs {root}/tmp"]
    for source, target, read_only in service.mounts:
        steps.append(f"mount --bind {source} {root}{target}")
        if read_only:
            steps.append(f"mount -o remount,bind,ro {root}{target}")
    user, _, group = service.stage.user.partition(":")
    values = [f"{key}={value}" for key, value in service.environment.items()]
    inside = [
        *_CONFINED,
        f"--reuid={user}",
        f"--regid={group}",
        "env",
        "-i",
        f"--chdir={service.folder}",
    ]
    steps.append(f"exec chroot {root} {shlex.join([*inside, *values, *command])}")
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts"]
    return [*namespaces, "sh", "-c", "\n".join(steps)]


def wait_until(holds: Any, seconds: float, container: Container, what: str) -> float:
    """How long it took. Raises RuntimeError with the container's last words."""
    began = time.monotonic()
    while not holds():
        if container.status is not None or time.monotonic() - began > seconds:
            raise RuntimeError(f"not {what} within {seconds:g} s\n{container.last_words()}")
        time.sleep(0.05)
    return time.monotonic() - began


def _fill(volume: Path, place: Path) -> None:
    """A new volume begins as the folder of the image that it covers, with its owner."""
    if not volume.exists():
        volume.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(place), str(volume)], check=True)


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
