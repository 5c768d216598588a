"""What compiles the pure rooms, tried on a package of five small modules."""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.flows.stage import ROOT

MODULES = (
    "sip/endpoint",
    "calls/switchboard",
    "authorization/gate",
    "routing/trunks",
    "numbering/translation",
)
NO_COMPILER = shutil.which("cc") is None or not (Path(sysconfig.get_path("include")) / "Python.h").exists()
needs_compiler = pytest.mark.skipif(NO_COMPILER, reason="no C compiler, or no headers of Python")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name in MODULES:
        module = tmp_path / "engine" / f"{name}.py"
        module.parent.mkdir(parents=True)
        module.write_text("def half(number: int) -> int:\n    return number // 2\n")
        (module.parent / "__init__.py").touch()
    (tmp_path / "engine" / "__init__.py").touch()
    shutil.copy(ROOT / "engine" / "app" / "rooms.py", tmp_path / "engine" / "rooms.py")
    return tmp_path


def compiling(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "scripts" / "compile_rooms.py"), str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def said(folder: Path, expression: str) -> str:
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {expression}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def rooms(folder: Path) -> str:
    return said(folder, "from engine.rooms import rooms; print(rooms())")


@needs_compiler
@pytest.mark.slow
def test_compiled_modules_are_taken_before_their_sources(package: Path) -> None:
    assert rooms(package) == "interpreted"
    done = compiling(package, "--all")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "compiled": sorted(f"engine/{name}.py" for name in MODULES),
        "interpreted": {},
    }
    assert rooms(package) == "compiled"
    halved = "from engine.sip import endpoint; print(endpoint.half(9), endpoint.__file__)"
    half, file = said(package, halved).split()
    assert half == "4"
    assert file.endswith(".so")
    for compiled in (package / "engine" / "calls").glob("*.so"):
        compiled.unlink()
    assert rooms(package) == "interpreted"


@needs_compiler
@pytest.mark.slow
def test_a_module_that_mypyc_refuses_stays_interpreted_or_fails_everything(package: Path) -> None:
    (package / "engine" / "calls" / "switchboard.py").write_text('def half() -> int:\n    return "1"\n')
    done = compiling(package, "--all")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "not compiled: mypyc refuses engine/calls/switchboard.py: Incompatible return"
    )
    made = json.loads(compiling(package).stdout)
    assert len(made["compiled"]) == 4
    assert list(made["interpreted"]) == ["engine/calls/switchboard.py"]


def test_a_source_tree_is_never_compiled_in_place() -> None:
    done = compiling(ROOT)
    assert done.returncode == 1
    assert "is a source tree, whose edits the compiled modules would hide" in done.stderr


def test_where_there_is_no_engine_nothing_is_compiled(tmp_path: Path) -> None:
    assert "there is no engine below" in compiling(tmp_path).stderr


def test_the_image_compiles_with_what_the_tests_run_with() -> None:
    """Every version and every hash of the compiler's lock stands in the developers'."""
    developers = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    blocks = developers.replace(" \\\n", "").split("\n")
    pins = (ROOT / "requirements-compile.lock").read_text(encoding="utf-8").replace(" \\\n", "").split("\n")
    locked = [pin for pin in pins if "==" in pin]
    assert any(pin.startswith("mypy==") for pin in locked)
    assert [pin for pin in locked if pin not in blocks] == []


@pytest.mark.parametrize(
    ("words", "rooms_wanted", "status", "complaint"),
    [
        (["tools", "/nowhere"], "interpreted", 0, ""),
        (["engine", "/nowhere", "/nowhere"], "interpreted", 0, ""),
        (
            ["tools", "/nowhere"],
            "both",
            2,
            "image-compile: ROOMS is compiled or interpreted, not both\n",
        ),
        (["tea", "/nowhere"], "compiled", 2, "image-compile: tools or engine\n"),
    ],
)
def test_what_the_image_is_built_with_can_be_chosen(
    words: list[str], rooms_wanted: str, status: int, complaint: str
) -> None:
    done = subprocess.run(
        [str(ROOT / "scripts" / "image-compile"), *words],
        env={"PATH": "/usr/bin:/bin", "ROOMS": rooms_wanted},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, complaint)
