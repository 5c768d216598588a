"""Multipart bodies, as far as one part of them is wanted (RFC 2046 5.1, RFC 5621)."""

from __future__ import annotations

import re
from typing import Final

_PARAMETER: Final = re.compile(
    r';[ \t]*+([^\s=;"]++)[ \t]*+=[ \t]*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*)"|([^\s;"]++))'
)
_FOLD: Final = re.compile(r"\r\n[ \t]++")
_MAX_BOUNDARY: Final = 70  # RFC 2046 5.1.1
_MAX_PARTS: Final = 16
_MAX_DEPTH: Final = 3


class MalformedMultipart(ValueError):
    """No boundary, no part, or nested without end."""


def only_part(content_type: str, body: bytes, wanted: str) -> bytes | None:
    """The first part of media type `wanted` (lower-case), also inside a nested multipart; None when there is none.

    All other parts are left behind, also those that ask for handling: what is not wanted does not cross.
    """
    return _find(content_type, body, wanted, 0)


def _find(content_type: str, body: bytes, wanted: str, depth: int) -> bytes | None:
    boundary = _boundary(content_type)
    if not boundary or depth >= _MAX_DEPTH:
        raise MalformedMultipart("no boundary, or too deep")
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    pieces = (b"\r\n" + body).split(delimiter, _MAX_PARTS + 1)
    if len(pieces) < 2 or len(pieces) > _MAX_PARTS + 1:
        raise MalformedMultipart("no part, or too many")
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            return None
        head, _, content = piece.partition(b"\r\n\r\n")
        kind = "text/plain"
        disposition = "session"
        for line in _FOLD.sub(" ", head.decode("utf-8", "surrogateescape")).split("\r\n")[1:]:
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-type":
                kind = value.strip()
            elif name.strip().lower() == "content-disposition":
                disposition = value.partition(";")[0].strip().lower()
        if disposition != "session":
            continue  # something about another session, or of no meaning for this one (RFC 3959)
        media = kind.partition(";")[0].strip().lower()
        if media == wanted:
            return content
        if media.startswith("multipart/"):
            found = _find(kind, content, wanted, depth + 1)
            if found is not None:
                return found
    return None


def _boundary(content_type: str) -> str:
    """The first boundary parameter, "" for none that is right; what a quoted value holds is no parameter."""
    for name, quoted, plain in _PARAMETER.findall(content_type):
        if name.lower() == "boundary":
            boundary: str = quoted or plain
            return boundary if len(boundary) <= _MAX_BOUNDARY and "\\" not in boundary else ""
    return ""
