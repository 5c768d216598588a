"""A Dockerfile, read: its stages and what each says."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field


class Unreadable(ValueError):
    """This Dockerfile says something that is not understood here."""


@dataclass(slots=True, frozen=True)
class Instruction:
    """`words`: of a JSON array as they stand, of a shell command one. `flags`: `--from=build` is {"from": "build"}."""

    name: str
    words: tuple[str, ...]
    flags: dict[str, str] = field(default_factory=dict)
    line: int = 0


@dataclass(slots=True)
class Stage:
    """`base`: an image, or the name of an earlier stage."""

    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, name: str) -> Instruction | None:
        """The one that counts of those that replace each other."""
        found = [one for one in self.instructions if one.name == name]
        return found[-1] if found else None


_SHELL = {"RUN"}  # one word, for sh
_JSON_ONLY = {"ENTRYPOINT", "CMD"}  # sh as process 1 would swallow SIGTERM
_PLAIN = {"ARG", "COPY", "ENV", "LABEL", "WORKDIR", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL"}


def read_stages(text: str) -> list[Stage]:
    """Raises Unreadable."""
    stages: list[Stage] = []
    for number, line in _lines(text):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            words = rest.split()
            if len(words) != 3 or words[1] != "AS":
                raise Unreadable(f"line {number}: a stage is FROM image AS name")
            stages.append(Stage(words[2], words[0]))
        elif not stages:
            raise Unreadable(f"line {number}: {name} before any FROM")
        else:
            stages[-1].instructions.append(_instruction(number, name, rest.strip()))
    return stages


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether .dockerignore keeps `path` (relative, of a file or folder) out of the build."""
    from fnmatch import fnmatchcase

    parts = path.split("/")
    for pattern in patterns:
        if pattern.startswith("**/"):
            if any(fnmatchcase(part, pattern[3:]) for part in parts):
                return True
        elif fnmatchcase(parts[0], pattern):
            return True
    return False


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Without comments, each joined with those that continue it; with the number of its first."""
    joined, first = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        first = first or number
        if line.endswith("\\"):
            joined += line[:-1].strip() + " "
            continue
        yield first, joined + line.strip()
        joined, first = "", 0
    if joined:
        raise Unreadable("the last line wants another")


def _instruction(number: int, name: str, rest: str) -> Instruction:
    flags: dict[str, str] = {}
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        key, _, value = flag[2:].partition("=")
        flags[key] = value
        rest = rest.strip()
    if name == "HEALTHCHECK":
        if not rest.startswith("CMD ["):
            raise Unreadable(
                f"line {number}: a health check is a JSON array, for an image without much of a shell"
            )
        return Instruction(name, tuple(json.loads(rest[4:])), flags, number)
    if name in _SHELL:
        return Instruction(name, (rest,), flags, number)
    if name in _JSON_ONLY:
        if not rest.startswith("["):
            raise Unreadable(
                f"line {number}: {name} is a JSON array, so that no shell stands before the program"
            )
        return Instruction(name, tuple(json.loads(rest)), flags, number)
    if name in _PLAIN:
        return Instruction(name, tuple(shlex.split(rest)), flags, number)
    raise Unreadable(f"line {number}: {name} is not known here")
