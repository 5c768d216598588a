"""The house rules of ARCHITECTURE.md, proved from the source of every file: who may import whom, and what keeps the
pure rooms pure and fit for mypyc."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "engine"

# Downwards only: each room and the rooms below it.
PURE = {
    "sip": {"sip"},
    "numbering": {"numbering"},
    "routing": {"routing", "numbering"},
    "authorization": {"authorization", "routing", "numbering"},
    "calls": {"calls", "authorization", "routing", "numbering", "sip"},
}
WORLD = ("observe", "sealing", "stores", "records", "transport", "platform")
ABOVE = {
    "app": {"app", "settings", *WORLD, *PURE},
    "lab": {"lab", "app", "settings", *WORLD, *PURE},
    "cli": {"cli", "lab", "app", "settings", *WORLD, *PURE},
}
# Settings are the rooms' own; this file assembles them.
ASSEMBLY = "settings"
OF_SETTINGS = {"engine.toml_positions", "engine.routing.number_plan"}

PURE_LIBRARIES = {
    "__future__", "bisect", "collections", "dataclasses", "datetime", "enum", "hashlib", "heapq", "ipaddress",
    "math", "re", "typing",
}  # fmt: skip
CLOCKS_AND_DOORS = re.compile(
    r"(?:datetime|date)\.(?:now|utcnow|today)|open|print|input|exec|eval|__import__"
)
COMPILABLE = {"dataclass", "property", "staticmethod", "classmethod"}

LONGEST = 400
# Files that are longer, and why.
LONGER: dict[str, str] = {}

FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "managers", "misc"}

FILES = sorted(path for path in ENGINE.rglob("*.py"))
PURE_FILES = [path for path in FILES if path.relative_to(ENGINE).parts[0] in PURE]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room_of(path: Path) -> str:
    """The folder below engine/, or the name of a file that stands beside the folders."""
    parts = path.relative_to(ENGINE).parts
    return parts[0] if len(parts) > 1 else path.stem


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported, wherever the import stands; `from a import b` as a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            yield module
            if module == "engine":
                yield from (f"engine.{alias.name}" for alias in node.names)


def may_import(room: str, module: str) -> bool:
    """Whether a file of `room` may import that module of ours."""
    parts = module.split(".")
    target = parts[1] if len(parts) > 1 else ""
    if not target:
        return True  # the package itself, which is empty
    if room in PURE:
        return target in PURE[room]
    if room in WORLD:
        return target in {room, "observe"} or (target in PURE and room != "observe")
    if room in ABOVE:
        return target in ABOVE[room]
    if room == ASSEMBLY:
        return module in OF_SETTINGS or parts[2:] == ["settings"]
    return False


# --- who may import whom ---


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_downwards(path: Path) -> None:
    room = room_of(path)
    ours = {
        module for module in imported(ast.parse(path.read_bytes())) if module.partition(".")[0] == "engine"
    }
    assert sorted(module for module in ours if not may_import(room, module)) == []


@pytest.mark.parametrize(
    ("room", "module", "allowed"),
    [
        ("sip", "engine.sip.uri", True),
        ("sip", "engine.calls.record", False),
        ("sip", "engine.numbering.numbers", False),
        ("routing", "engine.authorization.gate", False),
        ("authorization", "engine.sip.message", False),
        ("calls", "engine.sip.endpoint", True),
        ("calls", "engine.stores.callers", False),
        ("calls", "engine.observe.logs", False),
        ("numbering", "engine.settings", False),
        ("transport", "engine.sip.flow", True),
        ("transport", "engine.observe.logs", True),
        ("transport", "engine.records.journal", False),
        ("stores", "engine.sealing.cipher", False),
        ("stores", "engine.calls.ports", True),
        ("records", "engine.app.link", False),
        ("observe", "engine.calls.record", False),
        ("observe", "engine.stores.callers", False),
        ("app", "engine.cli.main", False),
        ("app", "engine.lab.lab", False),
        ("app", "engine.transport.driver", True),
        ("lab", "engine.cli.main", False),
        ("cli", "engine.lab.command", True),
        ("settings", "engine.sip.settings", True),
        ("settings", "engine.sip.endpoint", False),
        ("toml_positions", "engine.settings", False),
        ("a_room_without_rules", "engine.sip.uri", False),
    ],
)
def test_the_rules_tell_right_from_wrong(room: str, module: str, allowed: bool) -> None:
    assert may_import(room, module) == allowed


def test_every_room_has_rules() -> None:
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert rooms <= {*PURE, *WORLD, *ABOVE, ASSEMBLY, "toml_positions"}


# --- what keeps the pure rooms pure ---


@pytest.mark.parametrize("path", PURE_FILES, ids=name)
def test_pure_rooms_touch_nothing_of_the_world(path: Path) -> None:
    """No I/O, no clock, no task, no randomness, no log, nobody else's code."""
    tree = ast.parse(path.read_bytes())
    libraries = {module.partition(".")[0] for module in imported(tree)} - {"engine"}
    assert sorted(libraries - PURE_LIBRARIES) == []
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert sorted(one for one in called if CLOCKS_AND_DOORS.fullmatch(one)) == []
    assert not any(isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.Global) for node in ast.walk(tree))


@pytest.mark.parametrize("path", PURE_FILES, ids=name)
def test_pure_rooms_are_fit_for_mypyc(path: Path) -> None:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base) for base in node.bases]
            assert not {"str", "StrEnum", "int", "bytes", "dict", "list", "tuple"}.intersection(bases), (
                node.name
            )
            assert not any(isinstance(inner, ast.ClassDef) for inner in node.body), (
                f"a class inside {node.name}"
            )
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            decorators = {ast.unparse(one).partition("(")[0] for one in node.decorator_list}
            assert decorators <= COMPILABLE, node.name


# --- how files look ---


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST or name(path) in LONGER


def test_the_list_of_longer_files_names_files() -> None:
    assert set(LONGER) <= {name(path) for path in FILES}


def test_nothing_is_named_after_nothing() -> None:
    paths = [
        path.relative_to(ROOT) for top in ("engine", "tests", "bench") for path in (ROOT / top).rglob("*")
    ]
    words = {word for path in paths for part in path.parts for word in re.split(r"[_.]", part)}
    assert "timers" in words
    assert words & FORBIDDEN_NAMES == set()


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=name)
def test_packages_themselves_are_empty(path: Path) -> None:
    body = ast.parse(path.read_bytes()).body
    assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def test_every_package_is_shipped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = project["tool"]["setuptools"]["packages"]
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in FILES}
    assert listed == sorted(there)
    for package, patterns in project["tool"]["setuptools"].get("package-data", {}).items():
        for pattern in patterns:
            assert list((ROOT / package).glob(pattern)), f"{package} has no {pattern}"
