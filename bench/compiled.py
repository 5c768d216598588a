"""The engine with its pure rooms compiled by mypyc, in an environment of its own (`python -m bench.compiled`).

The package is copied to .venv-mypyc/package and compiled there as the image's is (`scripts/compile_rooms.py`). The
environment borrows the installed libraries of the one that runs this. A module that mypyc refuses stays interpreted
and is named. Built again only when a source file has changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-mypyc"
COMPILER = ROOT / "scripts" / "compile_rooms.py"


class CannotCompile(Exception):
    """There is no compiled engine to be had here; the message says why."""


@dataclass(slots=True)
class Built:
    """A compiled copy of the package."""

    python: Path
    """interpreter that imports it"""
    package: Path
    """directory of the copy"""
    compiled: list[str]
    """paths of the compiled modules, relative to the repository"""
    interpreted: dict[str, str]
    """modules of the pure rooms that mypyc refused → its first complaint"""


def build(environment: Path = ENVIRONMENT) -> Built:
    """The compiled engine, built now if it is not there or not of these sources; raises CannotCompile."""
    digest = _digest()
    stamp = environment / "built.json"
    if stamp.exists():
        known = json.loads(stamp.read_text(encoding="utf-8"))
        if known["digest"] == digest:
            return _built(environment, known)
    shutil.rmtree(environment, ignore_errors=True)
    venv.create(environment, with_pip=False, symlinks=True)
    package = environment / "package"
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "engine", package / "engine", ignore=ignored)
    # The copy stands first: the borrowed libraries may hold an installed mask700 too.
    borrowed = [str(package), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    site = environment / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "compiled.pth").write_text("\n".join(dict.fromkeys(borrowed)) + "\n", encoding="utf-8")
    command = [sys.executable, str(COMPILER), str(package), "--python", str(environment / "bin" / "python")]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise CannotCompile(run.stderr.strip().removeprefix("not compiled: "))
    made = json.loads(run.stdout)
    stamp.write_text(json.dumps({"digest": digest, **made}, indent=1), encoding="utf-8")
    return _built(environment, made)


def _digest() -> str:
    try:
        digest = hashlib.sha256(f"{version('mypy')} {sys.version} {ROOT}".encode())
    except PackageNotFoundError as missing:
        raise CannotCompile(f"{missing.name} is not installed in this environment") from missing
    for path in (Path(__file__), COMPILER):
        digest.update(path.read_bytes())
    for path in sorted((ROOT / "engine").rglob("*.py")):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _built(environment: Path, made: dict[str, Any]) -> Built:
    python, package = environment / "bin" / "python", environment / "package"
    return Built(python, package, made["compiled"], made["interpreted"])


def main() -> None:
    """Build and say what was compiled, as JSON."""
    began = time.monotonic()
    try:
        built = build()
    except CannotCompile as problem:
        sys.exit(f"not compiled: {problem}")
    said = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(built).items()}
    print(json.dumps(said | {"seconds": round(time.monotonic() - began, 1)}, indent=1))


if __name__ == "__main__":
    main()
