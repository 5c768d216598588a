"""The stages of a Dockerfile built in folders, each from a copy of one bare Debian."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.root.image.dockerfile import Instruction, Stage, Unreadable, ignored

BASE_IMAGE = "debian:12-slim"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INSIDE = 'mount -t proc proc "$1/proc" && root=$1 && shift && exec chroot "$root" /usr/bin/env -i "$@"'
_NETWORK = ("resolv.conf", "hosts")  # of this machine's, for as long as something is installed
_PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT")
_CERTIFICATES = "tmp/certificates.crt"


class StepFailed(RuntimeError):
    """A step of the image failed; the text is what it said."""


@dataclass(slots=True)
class BuiltStage:
    """`root`: its file system. `seconds`: how long each step took, by its text."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    folder: str = "/"
    user: str = "0:0"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


def bare_debian(folder: Path) -> Path:
    """`folder`/base, made by debootstrap from where this machine's apt gets Debian 12, unless it is there already."""
    base = folder / "base"
    if not base.is_dir():
        making = folder / "base.part"
        shutil.rmtree(making, ignore_errors=True)
        run(["debootstrap", "--variant=minbase", "bookworm", str(making), _mirror()])
        in_root(making, {"PATH": _PATH}, ["sh", "-c", "apt-get clean && rm -rf /var/lib/apt/lists/*"])
        making.rename(base)
    return base


def copy_tree(source: Path, destination: Path) -> None:
    """As it is: owners, devices, times."""
    shutil.rmtree(destination, ignore_errors=True)
    run(["cp", "-a", "--reflink=auto", str(source), str(destination)])


def build(stages: Sequence[Stage], base: Path, context: Path, folder: Path) -> dict[str, BuiltStage]:
    """Every stage in a folder of its name. Raises StepFailed, Unreadable."""
    patterns = (context / ".dockerignore").read_text(encoding="utf-8").split()
    built: dict[str, BuiltStage] = {}
    for stage in stages:
        if stage.base != BASE_IMAGE:
            raise Unreadable(f"stage {stage.name} is from {stage.base}, not from {BASE_IMAGE}")
        one = built[stage.name] = BuiltStage(folder / stage.name)
        copy_tree(base, one.root)
        with_network(one.root)
        for instruction in stage.instructions:
            _carry_out(instruction, one, built, context, patterns)
        without_network(one.root)
    return built


def in_root(root: Path, environment: dict[str, str], command: Sequence[str]) -> None:
    """Run a command as root of that folder, with a process table of its own. Raises StepFailed."""
    values = [f"{key}={value}" for key, value in (environment | _passed_on(root)).items()]
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    run([*namespaces, "sh", "-c", _INSIDE, "sh", str(root), *values, *command])


def with_network(root: Path) -> None:
    """What a container engine lends to a build: names of hosts, and here the certificates that pip believes."""
    for name in _NETWORK:
        shutil.copyfile(Path("/etc") / name, root / "etc" / name)
    if "PIP_CERT" in os.environ:
        shutil.copyfile(os.environ["PIP_CERT"], root / _CERTIFICATES)


def without_network(root: Path) -> None:
    """Takes it back, so that the stage holds what the Dockerfile put there."""
    for name in (*(f"etc/{one}" for one in _NETWORK), _CERTIFICATES):
        (root / name).unlink(missing_ok=True)


def run(command: Sequence[str]) -> None:
    """Raises StepFailed with the command's last words."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        said = done.stdout.decode(errors="replace").splitlines()[-30:]
        raise StepFailed("\n".join([f"{' '.join(command)}: exit status {done.returncode}", *said]))


def _carry_out(
    instruction: Instruction,
    stage: BuiltStage,
    built: dict[str, BuiltStage],
    context: Path,
    patterns: list[str],
) -> None:
    words = instruction.words
    match instruction.name:
        case "RUN":
            began = time.monotonic()
            in_root(stage.root, stage.environment, ["sh", "-c", f"cd {stage.folder} && {words[0]}"])
            stage.seconds[words[0]] = time.monotonic() - began
        case "COPY":
            origin = instruction.flags.get("from")
            if set(instruction.flags) - {"from"}:
                raise Unreadable(f"line {instruction.line}: COPY with {instruction.flags}")
            _copy(words, built[origin].root if origin else context, stage, [] if origin else patterns)
        case "ARG" | "ENV":  # no stage that is run afterwards has an ARG, which would not last as long
            for pair in words:
                key, _, value = pair.partition("=")
                stage.environment[key] = value.replace("$PATH", stage.environment["PATH"])
        case "WORKDIR":
            stage.folder = words[0]
            (stage.root / words[0].lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "USER":
            stage.user = words[0]
        case "VOLUME":
            stage.volumes = words
        case "ENTRYPOINT":
            stage.entrypoint = words
        case "CMD":
            stage.command = words
        case "HEALTHCHECK":
            stage.health = words
        case _:
            pass  # LABEL, EXPOSE and STOPSIGNAL tell others something and build nothing


def _copy(words: Sequence[str], origin: Path, stage: BuiltStage, patterns: list[str]) -> None:
    """Docker's rules: of a folder its content; into a folder when the destination ends in a stroke."""
    *sources, destination = words
    for source in sources:
        path = origin / source.lstrip("/")
        if patterns and ignored(source, patterns):
            raise StepFailed(f"COPY {source}: .dockerignore keeps it out")
        target = stage.root / destination.lstrip("/")
        if path.is_dir():
            shutil.copytree(
                path, target, symlinks=True, dirs_exist_ok=True, ignore=_keeping_out(origin, patterns)
            )
        else:
            target = target / path.name if destination.endswith("/") else target
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)


def _keeping_out(origin: Path, patterns: list[str]) -> Callable[[str, list[str]], set[str]] | None:
    """For copytree."""

    def names(folder: str, entries: list[str]) -> set[str]:
        below = Path(folder).relative_to(origin)
        return {one for one in entries if ignored(str(below / one), patterns)}

    return names if patterns else None


def _passed_on(root: Path) -> dict[str, str]:
    values = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
    if (root / _CERTIFICATES).is_file():
        values["PIP_CERT"] = f"/{_CERTIFICATES}"
    return values


def _mirror() -> str:
    """Where this machine's apt gets Debian 12."""
    targets = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Codename: bookworm"]
    sites = subprocess.run(targets, capture_output=True, text=True, check=True).stdout.split()
    if not sites:
        raise StepFailed("apt has no source for Debian 12 (bookworm)")
    return sites[0]
