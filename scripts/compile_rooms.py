"""Compiles the pure rooms of the package below FOLDER with mypyc, in place: a `.so` beside each module, which Python
takes before the module's `.py`. So FOLDER is a copy, never the repository, where edited source would be hidden.

Run by an interpreter with mypy and setuptools, on a machine with a C compiler and Python's headers; `--python` names
the interpreter that will import what comes out (the same version of Python). A module that mypyc refuses stays
interpreted, or fails everything with `--all`. Prints which is which, as JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PURE_ROOMS = ("sip", "calls", "authorization", "routing", "numbering")
# Each try takes out the modules that mypyc named; more tries than this means that something else is wrong.
MOST_TRIES = 8
BUILD_TIMEOUT_S = 900
_BUILD = """
import json, sys
from setuptools import setup
from mypyc.build import mypycify
extensions = mypycify(json.loads(sys.argv[1]), opt_level="3", debug_level="0", multi_file=True)
setup(name="compiled", packages=[], ext_modules=extensions, script_args=["build_ext", "--inplace", "-j", "2"])
"""
_MYPY = ("--config-file=", "--follow-imports=silent")
_IMPORT = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    found = importlib.import_module(name).__file__
    assert found.startswith(sys.argv[1]) and found.endswith(".so"), found
"""
_REFUSED = re.compile(r"^(engine/[\w/]+\.py):\d+(?::\d+)?: error: (.*)$", re.MULTILINE)
_FRAME = re.compile(r'File "(?:.*/)?(engine/[\w/]+\.py)"')


class CannotCompile(Exception):
    """There is nothing compiled to be had here; the message says why."""


def compile_rooms(folder: Path, python: str, every: bool) -> dict[str, list[str] | dict[str, str]]:
    """`compiled`: modules, as paths below `folder`. `interpreted`: modules that mypyc refused → its first
    complaint, which with `every` raises instead. Raises CannotCompile."""
    if (folder / "pyproject.toml").exists():
        raise CannotCompile(f"{folder} is a source tree, whose edits the compiled modules would hide")
    files = pure_modules(folder)
    if not files:
        raise CannotCompile(f"there is no engine below {folder}")
    _require_tools()
    refused: dict[str, str] = {}
    for _ in range(MOST_TRIES):
        complaints = _try_to_compile(folder, files) or _try_to_import(folder, python, files)
        if not complaints:
            return {"compiled": files, "interpreted": refused}
        refused |= complaints
        if every:
            break
        files = [path for path in files if path not in refused]
    raise CannotCompile("mypyc refuses " + "; ".join(f"{path}: {why}" for path, why in refused.items()))


def pure_modules(folder: Path) -> list[str]:
    """Modules of the pure rooms below `folder`, as paths relative to it."""
    found: list[str] = []
    for room in PURE_ROOMS:
        paths = (folder / "engine" / room).rglob("*.py")
        found += [str(path.relative_to(folder)) for path in paths if path.name != "__init__.py"]
    return sorted(found)


def _try_to_compile(folder: Path, files: list[str]) -> dict[str, str]:
    """Modules that mypyc names → its first complaint about each."""
    for leftover in folder.rglob("*.so"):
        leftover.unlink()
    run = _run([sys.executable, "-c", _BUILD, json.dumps([*_MYPY, *files])], folder)
    if run.returncode == 0:
        return {}
    said = run.stdout + run.stderr
    complaints = {
        match[1]: match[2] for match in reversed(list(_REFUSED.finditer(said))) if match[1] in files
    }
    if not complaints:
        raise CannotCompile(f"mypyc failed: {said.strip()[-800:]}")
    return complaints


def _try_to_import(folder: Path, python: str, files: list[str]) -> dict[str, str]:
    """Some of mypyc's limits show only when a module is imported; the module that failed → the error."""
    names = [path.removesuffix(".py").replace("/", ".") for path in files]
    run = _run([python, "-P", "-c", _IMPORT, str(folder), *names], folder)
    if run.returncode == 0:
        return {}
    frames = [path for path in _FRAME.findall(run.stderr) if path in files]
    if not frames:
        raise CannotCompile(f"the compiled modules cannot be imported: {run.stderr.strip()[-800:]}")
    return {frames[-1]: run.stderr.strip().splitlines()[-1]}


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    except subprocess.TimeoutExpired as late:
        raise CannotCompile(f"compiling took longer than {BUILD_TIMEOUT_S} s") from late


def _require_tools() -> None:
    if shutil.which("cc") is None:
        raise CannotCompile("there is no C compiler (cc) here")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise CannotCompile("Python's headers are not installed (Debian package python3-dev)")
    try:
        version("mypy")
        version("setuptools")
    except PackageNotFoundError as missing:
        raise CannotCompile(f"{missing.name} is not installed in this environment") from missing


def main(words: Sequence[str]) -> int:
    """0: compiled. 1: not, and stderr says why."""
    parser = argparse.ArgumentParser(prog="compile_rooms", description="compile the pure rooms below FOLDER")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="where `engine` lies, a copy")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that will import it")
    parser.add_argument("--all", action="store_true", help="a module that mypyc refuses fails everything")
    asked = parser.parse_args(words)
    try:
        made = compile_rooms(asked.folder.resolve(), asked.python, asked.all)
    except CannotCompile as problem:
        print(f"not compiled: {problem}", file=sys.stderr)
        return 1
    print(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
