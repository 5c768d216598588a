"""The scanner follows whatever tomllib can read, and knows the line of each key."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.toml_positions import Path, key_lines

# values that try to lead the scanner astray: brackets, quotes, hashes and line ends inside of others
VALUES = [
    "1",
    "-1_000.5e3",
    "true",
    "1979-05-27 07:32:00Z",
    '"plain"',
    r'"a # no comment ] } \" = \\"',
    "'literal \\ \" # ]'",
    '"""\nlong\n[not.a.table]\n"quoted" ""\n"""',
    '"""ends with two""\\""""',
    '"""two before the end"""""',
    "'''\nlong ' '' literal\nkey = 1\n'''",
    "[]",
    "[1, 2, 3]",
    "[ # comment ]\n  1,\n\n  [2, '],'], # another\n  { a = 1, 'b.c' = [3] },\n]",
    "{}",
    "{ x = 1, y.z = { w = [1] } }",
]
GAPS = ["", "\n", "# comment [x] = {\n", "\n\n# a = 1\n", "   \t\n"]


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Path, int]]:
    """A TOML text and the lines of its keys, as they were written."""
    lines: dict[Path, int] = {}
    text = ""
    table: Path = ()
    elements: dict[str, int] = {}
    for number in range(draw(st.integers(0, 8))):
        text += draw(st.sampled_from(GAPS))
        line = text.count("\n") + 1
        kind = draw(st.sampled_from(["pair", "pair", "dotted", "quoted", "table", "array"]))
        name = f"k{number}"
        if kind == "table":
            parent = draw(st.sampled_from(["", *elements]))
            text += f"[{parent}.{name}]\n" if parent else f"[ {name} ] # header\n"
            table = (parent, elements[parent] - 1, name) if parent else (name,)
            lines[table] = line
            continue
        if kind == "array":
            array = draw(st.sampled_from(["rows", "other"]))
            table = (array, elements.get(array, 0))
            elements[array] = elements.get(array, 0) + 1
            text += f"[[{array}]]\n"
            lines[table] = line
            continue
        value = draw(st.sampled_from(VALUES))
        if kind == "dotted":
            text += f"  {name} . inner = {value}\n"
            lines[(*table, name, "inner")] = line
        elif kind == "quoted":
            text += f'"{name}.[x] = \\"" = {value} # after\n'
            lines[(*table, f'{name}.[x] = "')] = line
        else:
            text += f"{name}={value}\n"
            lines[(*table, name)] = line
    return text, lines


@given(documents())
def test_every_key_is_found_on_its_line(document: tuple[str, dict[Path, int]]) -> None:
    text, lines = document
    found = key_lines(text)
    assert {path: found.get(path) for path in lines} == lines


@given(documents())
def test_the_keys_are_those_that_tomllib_reads(document: tuple[str, dict[Path, int]]) -> None:
    text, _ = document
    assert set(key_lines(text)) == set(_paths(tomllib.loads(text)))


def test_elements_of_arrays_have_lines_of_their_own() -> None:
    found = key_lines('a = [\n  "x",\n  # nothing\n  "y", "z" ]\n[[t]]\nb = [[1],\n[2]]')
    assert [found["a", 0], found["a", 1], found["a", 2]] == [2, 4, 4]
    assert [found["t", 0, "b", 1], found["t", 0, "b", 1, 0]] == [7, 7]


def test_a_text_without_a_last_line_end() -> None:
    assert key_lines("a = 1 # end") == {("a",): 1}
    assert key_lines("") == {}


def _paths(node: Any, path: Path = ()) -> list[Path]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = [path] if path else []
    for key, child in children:
        found += _paths(child, (*path, key))
    return found
