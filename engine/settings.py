"""The configuration: TOML and `--set` values become `Settings`, or every problem at once.

Each room declares its own part in `<room>/settings.py`: a dataclass whose fields are the keys, with types and
defaults, and a `check()` that tells what else must hold, as (key, what). This file assembles them.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from engine import toml_positions
from engine.app.settings import ControlSettings
from engine.authorization.settings import AuthorizationSettings
from engine.calls.settings import CallSettings
from engine.numbering.settings import NumberingSettings
from engine.observe.settings import CaptureSettings, LogSettings, TraceSettings
from engine.records.settings import OutletSettings, RecordSettings, check_outlets
from engine.routing.number_plan import NumberPlan
from engine.routing.settings import TrunkSettings, check_trunks
from engine.sealing.settings import SealingSettings
from engine.sip.settings import SipSettings
from engine.stores.settings import BindingSettings

FROM_OPTION = "--set"

_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_KEY_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


@dataclass(slots=True)
class Settings:
    node: str = "mask700-1"
    data_dir: Path = Path("var")
    sip: SipSettings = field(default_factory=SipSettings)
    calls: CallSettings = field(default_factory=CallSettings)
    control: ControlSettings = field(default_factory=ControlSettings)
    bindings: BindingSettings = field(default_factory=BindingSettings)
    authorization: AuthorizationSettings = field(default_factory=AuthorizationSettings)
    numbering: NumberingSettings = field(default_factory=NumberingSettings)
    records: RecordSettings = field(default_factory=RecordSettings)
    sealing: SealingSettings = field(default_factory=SealingSettings)
    log: LogSettings = field(default_factory=LogSettings)
    capture: CaptureSettings = field(default_factory=CaptureSettings)
    trace: TraceSettings = field(default_factory=TraceSettings)
    trunks: list[TrunkSettings] = field(default_factory=list)
    outlets: list[OutletSettings] = field(default_factory=list)

    @property
    def control_socket(self) -> Path:
        """Where the commands reach the running engine."""
        return self.data_dir / "control.sock"

    def number_plan(self) -> NumberPlan:
        """Whose each 700 number is."""
        return NumberPlan.of(self.numbering.own_prefixes, self.trunks)

    def check(self) -> list[tuple[str, str]]:
        """What is wrong beyond one room, as (dotted key, what)."""
        problems: list[tuple[str, str]] = []
        if not _NODE.fullmatch(self.node):
            problems.append(("node", f'"{self.node}" must be 1 to 64 of A-Z a-z 0-9 _ . -'))
        if f"tcp://{self.control.listen}" in self.sip.listen:
            problems.append(("control.listen", f'"{self.control.listen}" stands in sip.listen too'))
        for index, trunk in enumerate(self.trunks):
            for place, hop in enumerate(trunk.next_hops):
                if hop in self.sip.listen:
                    key = f"trunks[{index}].next_hops[{place}]"
                    problems.append((key, f'"{hop}" is the engine itself: its calls would come back'))
        return problems


@dataclass(slots=True, frozen=True)
class Problem:
    """`source`: the file, or `--set`. `line` and `column`: from 1, 0 where there is none. `key`: dotted."""

    source: str
    line: int
    column: int
    key: str
    what: str

    def __str__(self) -> str:
        place = ":".join([self.source, *(str(number) for number in (self.line, self.column) if number)])
        return f"{place}: {self.key}: {self.what}" if self.key else f"{place}: {self.what}"


class SettingsError(Exception):
    """The configuration is wrong; `problems` has everything that is."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def load_settings(path: Path, overrides: list[str]) -> Settings:
    """Read the file, then put each `dotted.key=TOML-value` over it. Raise SettingsError."""
    settings, problems = examine_settings(path, overrides)
    if problems:
        raise SettingsError(problems)
    return settings


def examine_settings(path: Path, overrides: list[str]) -> tuple[Settings, list[Problem]]:
    """The settings, with defaults where they are wrong, and everything that is."""
    reader = _Reader(str(path))
    reader.read_file(path)
    for override in overrides:
        reader.override(override)
    settings = reader.settings()
    return settings, sorted(reader.problems, key=lambda one: (one.source == FROM_OPTION, one.line))


def changed_keys(old: Settings, new: Settings) -> list[str]:
    """The dotted keys whose values differ; a trunk that came or went is one key."""
    before, after = _flat("", old), _flat("", new)
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


class _Reader:
    """Collects the raw tree, where each part of it came from, and what is wrong with it."""

    def __init__(self, source: str) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._raw: dict[str, Any] = {}
        self._places: dict[toml_positions.Path, tuple[str, int]] = {}
        self._reported: set[toml_positions.Path] = set()

    def read_file(self, path: Path) -> None:
        try:
            text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
        except OSError as error:
            self._unreadable(error.strerror or str(error))
            return
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            self._unreadable("is not UTF-8", line)
            return
        try:
            self._raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            what, line, column = _toml_error(error, text)
            self._unreadable(what, line, column)
            return
        for place, line in toml_positions.key_lines(text).items():
            self._places[place] = (self._source, line)

    def override(self, text: str) -> None:
        key, equals, _ = text.partition("=")
        if not equals:
            self.problems.append(Problem(FROM_OPTION, 0, 0, "", f'"{text}" must be dotted.key=TOML-value'))
            return
        try:
            tree = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            what, _, _ = _toml_error(error, text)
            hint = "; text needs its quotes" if what == "Invalid value" else ""
            self.problems.append(Problem(FROM_OPTION, 0, 0, key.strip(), f"is no TOML value: {what}{hint}"))
            return
        self._merge((), self._raw, tree, Settings)

    def settings(self) -> Settings:
        settings: Settings = self._table(Settings, self._raw, ())
        for name in _hints(Settings):
            part = getattr(settings, name)
            if hasattr(part, "check"):
                for key, what in part.check():
                    self._report((name, *_path(key)), what)
        for index, key, what in check_trunks(settings.trunks):
            self._report(("trunks", index, *_path(key)), what)
        for index, key, what in check_outlets(settings.outlets):
            self._report(("outlets", index, *_path(key)), what)
        for key, what in settings.check():
            self._report(_path(key), what)
        return settings

    def _merge(
        self, path: toml_positions.Path, base: dict[str, Any], over: dict[str, Any], kind: Any
    ) -> None:
        """Put `over` into `base`; where an array of tables is meant, its tables are found by name."""
        hints = _hints(kind) if is_dataclass(kind) else {}
        for key, value in over.items():
            here = (*path, key)
            element = _element_table(hints.get(key))
            if element is not None and isinstance(value, dict):
                self._merge_by_name(here, base.setdefault(key, []), value, element)
            elif isinstance(value, dict) and isinstance(base.get(key, {}), dict):
                self._places.setdefault(here, (FROM_OPTION, 0))
                self._merge(here, base.setdefault(key, {}), value, hints.get(key))
            else:
                self._forget_below(here)
                base[key] = value
                self._places[here] = (FROM_OPTION, 0)

    def _merge_by_name(
        self, path: toml_positions.Path, tables: Any, over: dict[str, Any], kind: type[Any]
    ) -> None:
        if not isinstance(tables, list):  # reported when the tree is walked
            return
        for name, value in over.items():
            named = [
                i for i, table in enumerate(tables) if isinstance(table, dict) and table.get("name") == name
            ]
            index = named[0] if named else len(tables)
            here = (*path, index)
            if not named:
                tables.append({"name": name})
                self._places[here] = (FROM_OPTION, 0)
            if isinstance(value, dict):
                self._merge(here, tables[index], value, kind)
            else:
                tables[index] = value
                self._places[here] = (FROM_OPTION, 0)

    def _forget_below(self, path: toml_positions.Path) -> None:
        for place in [place for place in self._places if place[: len(path)] == path]:
            del self._places[place]

    def _table(self, kind: Any, raw: Any, path: toml_positions.Path) -> Any:
        """The dataclass `kind` from a raw table; what is wrong is reported and left at its default."""
        if not isinstance(raw, dict):
            self._report(path, f"must be a table, not {_word(raw)}")
            return kind()
        hints = _hints(kind)
        values = {}
        for key, value in raw.items():
            here = (*path, key)
            if key not in hints:
                self._report(here, f"unknown key{_suggestion(key, list(hints))}")
                continue
            hint = hints[key]
            element = _element_table(hint)
            if is_dataclass(hint):
                values[key] = self._table(hint, value, here)
            elif element is not None and isinstance(value, list):
                values[key] = [self._table(element, one, (*here, index)) for index, one in enumerate(value)]
            elif self._fits(hint, value, here):
                values[key] = Path(value) if hint is Path else value
        return kind(**values)

    def _fits(self, hint: Any, value: Any, path: toml_positions.Path) -> bool:
        """Whether the value has the type that the field wants; reports it when not."""
        if get_origin(hint) is list:
            if not isinstance(value, list):
                self._report(path, f"must be an array, not {_word(value)}")
                return False
            inner = get_args(hint)[0]
            fitting = [self._fits(inner, one, (*path, index)) for index, one in enumerate(value)]
            return all(fitting)  # every element has been looked at, so that each is reported
        if get_origin(hint) is Literal:
            choices = get_args(hint)
            if value not in choices:
                self._report(path, f"must be {_either(choices)}, not {_word(value)}")
                return False
            return True
        if hint is float and type(value) is int:
            return True
        wanted = str if hint is Path else hint
        if type(value) is not wanted:
            self._report(path, f"must be {_WANTED[wanted]}, not {_word(value)}")
            return False
        if hint is Path and (not value or "\0" in value):
            self._report(path, "must be a path")
            return False
        return True

    def _report(self, path: toml_positions.Path, what: str) -> None:
        """One problem per key: what fails its type is not examined further."""
        if any(path[:length] in self._reported for length in range(1, len(path) + 1)):
            return
        self._reported.add(path)
        source, line = self._source, 0
        for length in range(len(path), 0, -1):
            if path[:length] in self._places:
                source, line = self._places[path[:length]]
                break
        self.problems.append(Problem(source, line, 0, self._dotted(path), what))

    def _dotted(self, path: toml_positions.Path) -> str:
        """`trunks.pstn.peers[1]`: a table of an array goes by its name, as in `--set`."""
        text = ""
        node: Any = self._raw
        for part in path:
            try:
                node = node[part]
            except (LookupError, TypeError):
                node = None
            if isinstance(part, str):
                text += f".{part}" if text else part
            elif isinstance(node, dict) and isinstance(node.get("name"), str) and node["name"]:
                text += f".{node['name']}"
            else:
                text += f"[{part}]"
        return text

    def _unreadable(self, what: str, line: int = 0, column: int = 0) -> None:
        self.problems.append(Problem(self._source, line, column, "", what))


_WANTED: dict[Any, str] = {
    str: "text in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


_HINTS: dict[Any, dict[str, Any]] = {}


def _hints(kind: Any) -> dict[str, Any]:
    if kind not in _HINTS:
        _HINTS[kind] = get_type_hints(kind)
    return _HINTS[kind]


def _element_table(hint: Any) -> type[Any] | None:
    """The dataclass of an array of tables."""
    if get_origin(hint) is list:
        inner = get_args(hint)[0]
        if isinstance(inner, type) and is_dataclass(inner):
            return inner
    return None


def _path(key: str) -> toml_positions.Path:
    """`next_hops[1]` → ("next_hops", 1)."""
    return tuple(name or int(index) for name, index in _KEY_PART.findall(key))


def _toml_error(error: tomllib.TOMLDecodeError, text: str) -> tuple[str, int, int]:
    what = str(error)
    place = _TOML_PLACE.search(what)
    if place is None:
        return what, 0, 0
    line = int(place[1]) if place[1] else text.count("\n") + 1
    return what[: place.start()], line, int(place[2] or 0)


def _word(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    return str(value)


def _either(choices: tuple[Any, ...]) -> str:
    words = [_word(choice) for choice in choices]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _suggestion(key: str, known: list[str]) -> str:
    from difflib import get_close_matches  # only a mistake pays for it

    near = get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _flat(prefix: str, part: Any) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for one in fields(part):
        value = getattr(part, one.name)
        key = f"{prefix}{one.name}"
        if is_dataclass(value):
            flat |= _flat(f"{key}.", value)
        elif _element_table(_hints(type(part))[one.name]) is not None:
            for element in value:
                flat |= _flat(f"{key}.{element.name}.", element)
        else:
            flat[key] = value
    return flat
