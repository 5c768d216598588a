"""The octets of a message as unfolded lines and a body, where they are not as plain as usual (RFC 3261
section 7)."""

from __future__ import annotations

import re
from typing import Final

MAX_LINES: Final = 512
"""Header lines of a message, after unfolding."""


def unusual_lines(data: bytes) -> tuple[list[str], bytes, str, str]:
    """Lines, body, and the fault of the message as kind and detail ("" for none).

    Line ends in front are skipped (section 7.5), a lone LF ends a line, and one line that is empty ends the
    headers.
    """
    data = data.lstrip(b"\r\n")
    if not data:
        return [""], b"", "empty", "nothing but line ends"
    kind = detail = ""
    end = _HEAD_END.search(data)
    if end is None:
        kind, detail = "header", "the headers do not end"
        head, body = data, b""
    else:
        head, body = data[: end.start()], data[end.end() :]
    lines = unfold(_LINE_END.split(head.decode("utf-8", "surrogateescape").removesuffix("\r")))
    if len(lines) > 1 + MAX_LINES:
        kind, detail = "size", "too many headers"
        del lines[1 + MAX_LINES :]
    for index, line in enumerate(lines):
        if "\r" in line:
            # Written out again it could become a line end.
            lines[index] = line.replace("\r", " ")
            kind, detail = "header", "a carriage return that ends no line"
    return lines, body, kind, detail


def unfold(lines: list[str]) -> list[str]:
    """Section 7.3.1: a line that begins with white space continues the one before."""
    unfolded: list[str] = []
    pieces = [lines[0]]
    for line in lines[1:]:
        if line.startswith((" ", "\t")):
            pieces.append(line.strip(" \t"))
        else:
            unfolded.append(" ".join(pieces) if len(pieces) > 1 else pieces[0])
            pieces = [line]
    unfolded.append(" ".join(pieces) if len(pieces) > 1 else pieces[0])
    return unfolded


_HEAD_END: Final = re.compile(rb"\n\r?\n")
_LINE_END: Final = re.compile(r"\r?\n")
