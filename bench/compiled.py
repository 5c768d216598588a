"""The engine with its pure rooms compiled by mypyc, in an environment of its own (`python -m bench.compiled`).

The package is copied to .venv-mypyc/package and compiled there: a `.so` beside edited source would hide the source. The
environment borrows the installed libraries of the one that runs this. A module that mypyc refuses stays interpreted
and is named. Built again only when a source file has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-mypyc"
PURE_ROOMS = ("sip", "calls", "authorization", "routing", "numbering")
OPTIMISATION = "3"
# Each try takes out the modules that mypyc named; more tries than this means that something else is wrong.
MOST_TRIES = 8
BUILD_TIMEOUT_S = 600
_BUILD = """
import json, sys
from setuptools import setup
from mypyc.build import mypycify
options = json.loads(sys.argv[1])
extensions = mypycify(options["mypy"] + options["files"], opt_level=options["level"], debug_level="0", multi_file=True)
setup(name="compiled", packages=[], ext_modules=extensions, script_args=["build_ext", "--inplace", "-j", "2"])
"""
_REFUSED = re.compile(r"^(engine/[\w/]+\.py):\d+(?::\d+)?: error: (.*)$", re.MULTILINE)
_FRAME = re.compile(r'File "(?:.*/)?(engine/[\w/]+\.py)"')


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
    _require_tools()
    digest = _digest()
    stamp = environment / "built.json"
    if stamp.exists():
        known = json.loads(stamp.read_text(encoding="utf-8"))
        if known["digest"] == digest:
            return _built(environment, known["compiled"], known["interpreted"])
    shutil.rmtree(environment, ignore_errors=True)
    venv.create(environment, with_pip=False, symlinks=True)
    package = environment / "package"
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    shutil.copytree(ROOT / "engine", package / "engine", ignore=ignored)
    # The copy stands first: the borrowed libraries may hold an installed mask700 too.
    borrowed = [str(package), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    site = environment / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (site / "compiled.pth").write_text("\n".join(dict.fromkeys(borrowed)) + "\n", encoding="utf-8")
    compiled, interpreted = _compile(environment, package)
    stamp.write_text(
        json.dumps({"digest": digest, "compiled": compiled, "interpreted": interpreted}, indent=1),
        encoding="utf-8",
    )
    return _built(environment, compiled, interpreted)


def pure_modules(package: Path) -> list[str]:
    """Modules of the pure rooms below `package`, as paths relative to it."""
    found: list[str] = []
    for room in PURE_ROOMS:
        paths = (package / "engine" / room).rglob("*.py")
        found += [str(path.relative_to(package)) for path in paths if path.name != "__init__.py"]
    return sorted(found)


def _compile(environment: Path, package: Path) -> tuple[list[str], dict[str, str]]:
    files = pure_modules(package)
    refused: dict[str, str] = {}
    for _ in range(MOST_TRIES):
        complaints = _try_to_compile(package, files) or _try_to_import(environment, package, files)
        if not complaints:
            return files, refused
        refused |= complaints
        files = [path for path in files if path not in refused]
    raise CannotCompile(f"mypyc went on refusing modules: {', '.join(sorted(refused))}")


def _try_to_compile(package: Path, files: list[str]) -> dict[str, str]:
    """Compile in place, in the copy; modules that mypyc names → its first complaint about each."""
    for leftover in package.rglob("*.so"):
        leftover.unlink()
    options = {"files": files, "level": OPTIMISATION, "mypy": ["--config-file=", "--follow-imports=silent"]}
    run = _run([sys.executable, "-c", _BUILD, json.dumps(options)], package)
    if run.returncode == 0:
        return {}
    said = run.stdout + run.stderr
    complaints = {
        match[1]: match[2] for match in reversed(list(_REFUSED.finditer(said))) if match[1] in files
    }
    if not complaints:
        raise CannotCompile(f"mypyc failed: {said.strip()[-800:]}")
    return complaints


def _try_to_import(environment: Path, package: Path, files: list[str]) -> dict[str, str]:
    """Some of mypyc's limits show only when a module is imported; the module that failed → the error."""
    names = [path.removesuffix(".py").replace("/", ".") for path in files]
    command = [str(environment / "bin" / "python"), "-P", "-c", "import importlib, sys\n"]
    command[-1] += "for name in sys.argv[1:]: importlib.import_module(name)"
    run = _run([*command, *names], environment)
    if run.returncode == 0:
        return {}
    frames = [path for path in _FRAME.findall(run.stderr) if path in files]
    if not frames:
        raise CannotCompile(f"the compiled modules cannot be imported: {run.stderr.strip()[-800:]}")
    return {frames[-1]: run.stderr.strip().splitlines()[-1]}


def _run(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
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


def _digest() -> str:
    digest = hashlib.sha256(f"{version('mypy')} {sys.version} -O{OPTIMISATION} {ROOT}".encode())
    digest.update(Path(__file__).read_bytes())
    for path in sorted((ROOT / "engine").rglob("*.py")):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _built(environment: Path, compiled: list[str], interpreted: dict[str, str]) -> Built:
    return Built(environment / "bin" / "python", environment / "package", compiled, interpreted)


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
