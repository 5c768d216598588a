"""`make image-check` and `make setup-check`: build the image and make calls through it as compose.yaml says, or
`make setup` and the lab, in bare Debian 12 folders, with nothing of this machine but its kernel. As root; says what it
measured."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fcntl import ioctl
from pathlib import Path
from struct import pack
from typing import TypeVar

from tests.root.image import compose
from tests.root.image.build import (
    BuiltStage,
    bare_debian,
    build,
    copy_tree,
    in_root,
    with_network,
)
from tests.root.image.container import Container, Service, execute, wait_until
from tests.root.image.dockerfile import ignored, read_stages

ROOT = Path(__file__).resolve().parent.parent.parent.parent
CALLS = 20
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1  # <linux/sockios.h>, <linux/if.h>

_Result = TypeVar("_Result")


class Wrong(RuntimeError):
    """The image is not as it has to be."""


def main(what: str, folder: Path) -> int:
    """0: everything held."""
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(1)
    )  # by way of every `finally`: nothing is left running
    folder.mkdir(parents=True, exist_ok=True)
    try:
        base = timed("Debian 12, minimal", lambda: bare_debian(folder))
        say("its size", f"{size_mib(base):.0f} MiB")
        if what == "setup":
            check_setup(base, folder)
        else:
            check_image(base, folder)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"image-check: {error}", file=sys.stderr)
        return 1
    return 0


def check_image(base: Path, folder: Path) -> None:
    """Build every stage, then run the compose file's engine, callers and callees."""
    stages = read_stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    built = timed("all stages", lambda: build(stages, base, ROOT, folder))
    for name, stage in built.items():
        say(f"stage {name}", f"{size_mib(stage.root):.0f} MiB")
        for step, seconds in stage.seconds.items():
            say(f"  {step}", f"{seconds:.1f} s")
    engine = built["engine"]
    for program in ("pip", "pip3", "gcc", "cc", "mypyc", "curl", "sipp"):
        if shutil.which(program, path=f"{engine.root}/usr/bin:{engine.root}/opt/mask700/bin"):
            raise Wrong(f"the engine's image holds {program}")
    use_own_network()
    run_compose(built, folder)


def run_compose(built: dict[str, BuiltStage], folder: Path) -> None:
    """compose.yaml's engine, callees and callers, on its addresses moved to the loopback interface."""
    place = folder / "compose"
    shutil.rmtree(place, ignore_errors=True)
    (place / "config").mkdir(parents=True)
    for path in (ROOT / "config").glob("*.*"):
        (place / "config" / path.name).write_text(compose.moved(path.read_text(encoding="utf-8")))
    said = compose.moved(compose.read_compose(ROOT / "compose.yaml")["services"])
    images = {"engine": "engine", "callees": "sipp", "callers": "sipp"}
    services = {
        name: Service.of(said[name], built[image], place, place / "volumes") for name, image in images.items()
    }
    engine, callers = services["engine"], services["callers"]
    health = engine.stage.health
    before = execute(engine, health)
    if before.returncode != 1 or "nobody answers" not in before.stderr:
        raise Wrong(f"the health check before there is an engine: {before.returncode}, {before.stderr}")

    began = time.monotonic()
    server = Container(engine, place / "engine.log")
    callees = Container(services["callees"], place / "callees.log")
    try:
        wait_until(lambda: execute(engine, health).returncode == 0, 30, server, "healthy")
        say("healthy after", f"{time.monotonic() - began:.1f} s")
        check_compiled(engine, server)
        check_read_only(engine)
        call(callers, place / "callers.log", server)
        found = execute(engine, ("mask700", "cdr", "query", "--reason", "normal", "--json"))
        if len(found.stdout.splitlines()) != CALLS:
            raise Wrong(f"not {CALLS} records: {found.stdout}{found.stderr}")
        say("calls made, each with its record", str(CALLS))
        began = time.monotonic()
        checked = execute(engine, health)
        say("health check", f"{checked.stdout.strip()}, {(time.monotonic() - began) * 1000:.0f} ms")
        say("memory of the engine", f"{server.memory_mib():.0f} MiB, {len(server.pids())} processes")
        began = time.monotonic()
        status = server.stop(30)
        if status:
            raise Wrong(f"the engine's exit status is {status}\n{server.last_words()}")
        say("stopped after", f"{time.monotonic() - began:.1f} s")
        if execute(engine, health).returncode != 1:
            raise Wrong("the health check passes without an engine")
    finally:
        server.end()
        callees.end()


def call(callers: Service, log: Path, server: Container) -> None:
    """The compose file's callers, until `CALLS` calls are done."""
    limited = replace(callers, command=(*callers.command, "-m", str(CALLS), "-timeout", "60s"))
    caller = Container(limited, log)
    try:
        status = caller.wait(90)
    finally:
        caller.end()
    if status:
        said = f"{caller.last_words()}\n{server.last_words()}"
        raise Wrong(f"the callers' SIPp: exit status {status}\n{said}")


def check_compiled(engine: Service, server: Container) -> None:
    """What runs, and not only what lies there: every process of the engine has mapped compiled modules."""
    said = json.loads(execute(engine, ("mask700", "version", "--json")).stdout)
    mapped = [
        Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").count("/engine/sip/") for pid in server.pids()
    ]
    if (said["rooms"], said["running"]["rooms"]) != ("compiled", "compiled") or not all(mapped):
        raise Wrong(f"the pure rooms are not compiled: {said}, mapped by its processes: {mapped}")
    say("rooms", said["running"]["rooms"])


def check_read_only(engine: Service) -> None:
    """Only the volume and /tmp can be written to, and nobody there is root."""
    tried = (
        "id -u; for place in / /etc/mask700 /opt/mask700/bin /var/tmp /run /var/lib/mask700 /tmp; do "
        '(: >"$place/written") 2>/dev/null && echo "$place" && rm "$place/written"; done; exit 0'
    )
    wrote = execute(engine, ("sh", "-c", tried)).stdout.split()
    if wrote != [engine.stage.user.split(":")[0], "/var/lib/mask700", "/tmp"]:
        raise Wrong(f"user and writable places: {' '.join(wrote)}")
    say("user and writable places", " ".join(wrote))


def check_setup(base: Path, folder: Path) -> None:
    """`make setup` where nothing is installed, again when everything is, and one flow of the lab."""
    root = folder / "setup"
    copy_tree(base, root)
    with_network(root)
    patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()

    def left_out(where: str, entries: list[str]) -> set[str]:
        below = Path(where).relative_to(ROOT)
        return {one for one in entries if ignored(str(below / one), patterns)}

    shutil.copytree(ROOT, root / "mask700", symlinks=True, ignore=left_out)
    shell = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}

    def does(command: str) -> Callable[[], None]:
        return lambda: in_root(root, shell, ["sh", "-c", f"cd /mask700 && {command}"])

    timed(
        "apt-get install make",
        does("apt-get update -qq && apt-get install -y -qq --no-install-recommends make"),
    )
    timed("make setup", does("make setup"))
    timed("make setup, again", does("make setup"))
    timed("the same without make", does("scripts/setup"))
    use_own_network()
    timed("make lab LAB=axb_a_calls", does("make lab LAB=axb_a_calls"))


def use_own_network() -> None:
    """From here on a network namespace of a loopback interface alone: nobody here has taken a port of it."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_CLONE_NEWNET):
        raise Wrong(f"no network of its own: {os.strerror(ctypes.get_errno())}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        ioctl(door, _SIOCSIFFLAGS, pack("16sh14x", b"lo", _IFF_UP))


def timed(what: str, work: Callable[[], _Result]) -> _Result:
    began = time.monotonic()
    result = work()
    say(what, f"{time.monotonic() - began:.1f} s")
    return result


def say(what: str, figure: str) -> None:
    print(f"{what:<60} {figure}", flush=True)


def size_mib(folder: Path) -> float:
    """On disk, as du counts it."""
    done = subprocess.run(["du", "-sxk", str(folder)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]).resolve()))
