"""SIPp scenarios put together from parts.

A scenario may say `<?include parts/NAME?>` on a line of its own; the part's text takes its place, indented as
the line was, and may include others. The result is a plain SIPp scenario.
"""

import re
from collections.abc import Sequence
from pathlib import Path

_INCLUDE = re.compile(r"^([ \t]*)<\?include\s+(\S+)\s*\?>[ \t]*\n", re.MULTILINE)
_DEEPEST = 8


class BadScenario(ValueError):
    """A scenario that cannot be put together; the text says which file and why."""


def expanded(scenario: Path, roots: Sequence[Path]) -> str:
    """The scenario with every include replaced; a part is looked for below each of `roots` in turn.

    Raises BadScenario when a part is missing or includes go round in a circle.
    """
    return _expand(scenario.read_text(encoding="utf-8"), scenario, roots, 0)


def _expand(text: str, source: Path, roots: Sequence[Path], depth: int) -> str:
    if depth > _DEEPEST:
        raise BadScenario(f"{source}: parts include one another more than {_DEEPEST} deep")

    def replacement(match: re.Match[str]) -> str:
        indent, name = match.groups()
        part = _find(name, source, roots)
        lines = _expand(part.read_text(encoding="utf-8"), part, roots, depth + 1).splitlines()
        return "".join(f"{indent}{line}\n" if line else "\n" for line in lines)

    return _INCLUDE.sub(replacement, text)


def _find(name: str, source: Path, roots: Sequence[Path]) -> Path:
    for root in roots:
        if (root / name).is_file():
            return root / name
    raise BadScenario(f"{source}: there is no part {name}")
