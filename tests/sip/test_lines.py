"""Octets into unfolded lines: RFC 3261 sections 7, 7.3.1 and 7.5."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.lines import MAX_LINES, unfold, unusual_lines


@pytest.mark.parametrize(
    ("data", "lines", "body"),
    [
        (b"A\nb: c\n\nbody", ["A", "b: c"], b"body"),
        (b"A\r\nb: c\r\n\nbody", ["A", "b: c"], b"body"),
        (b"A\nb: c\n\r\nbody", ["A", "b: c"], b"body"),
        (b"\n\r\n\r\nA\r\n\r\n\r\n", ["A"], b"\r\n"),
        (b"A\nb:\n c\n\td\n\n", ["A", "b: c d"], b""),
        (b"A\nb: \xff\xe5\x8c\x97\n\n", ["A", "b: \udcff北"], b""),
        (b"A\n \n\nx", ["A "], b"x"),
    ],
)
def test_lines_and_body(data: bytes, lines: list[str], body: bytes) -> None:
    assert unusual_lines(data) == (lines, body, "", "")


@pytest.mark.parametrize(
    ("data", "kind", "lines"),
    [
        (b"\r\n", "empty", [""]),
        (b"A\nb: c\r", "header", ["A", "b: c"]),
        (b"A\rb\nc\n\n", "header", ["A b", "c"]),
        (b"A\n" + b"b\n" * MAX_LINES + b"\n", "", ["A"] + ["b"] * MAX_LINES),
        (b"A\n" + b"b\n" * MAX_LINES + b"c\n\n", "size", ["A"] + ["b"] * MAX_LINES),
    ],
)
def test_faults(data: bytes, kind: str, lines: list[str]) -> None:
    found, _, its_kind, detail = unusual_lines(data)
    assert (found, its_kind, bool(detail)) == (lines, kind, bool(kind))


@given(
    st.lists(st.lists(st.text("ab:", min_size=1, max_size=3), min_size=1, max_size=4), min_size=1, max_size=5)
)
def test_unfolding_undoes_folding(words: list[list[str]]) -> None:
    folded = [line for one in words for line in (one[0], *(f"\t {word} " for word in one[1:]))]
    assert unfold(folded) == [" ".join(one) for one in words]


@given(st.binary(max_size=40))
def test_no_line_end_is_left_in_a_line(data: bytes) -> None:
    lines, body, _, _ = unusual_lines(data)
    assert not any("\r" in line or "\n" in line for line in lines)
    assert data.endswith(body)
