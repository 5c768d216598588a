"""Cutting messages out of a byte stream by Content-Length (RFC 3261 sections 7.5 and 18.3)."""

from __future__ import annotations

import re
from typing import Final

MAX_HEAD: Final = 65_536
"""Octets of start line and headers, with the empty line."""
MAX_BODY: Final = 65_536
"""Octets that a Content-Length may announce."""


class StreamError(Exception):
    """The stream cannot be cut any further and is to be closed.

    `kind` is "size" or "length". `messages` are the complete messages in front of the fault; when the headers
    of the faulty one could be told apart, they are the last of them: `parse_message` raises there, and what
    it says can be answered before the close.
    """

    def __init__(self, kind: str, messages: list[bytes]) -> None:
        super().__init__(kind)
        self.kind = kind
        self.messages = messages


class StreamFramer:
    """One direction of one connection.

    A message without Content-Length has no body. `pings` counts the double CRLFs between messages that have
    not been answered yet (RFC 5626 section 3.5.1); whoever sends the pongs counts it down. `pongs_due` counts the
    pings of ours: a single CRLF that comes while there are any is a pong and counts it down. `pending` tells how
    many octets of an unfinished message wait here.
    """

    __slots__ = ("_buffer", "_failed", "_line_ends", "_searched", "_wanted", "pings", "pongs_due")

    def __init__(self) -> None:
        self.pings = 0
        self.pongs_due = 0
        self._buffer = bytearray()
        self._searched = 0
        self._wanted = 0
        self._line_ends = 0
        self._failed = ""

    @property
    def pending(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete with these octets, in order. Raises StreamError, from then on every
        time."""
        messages: list[bytes] = []
        if self._failed:
            raise StreamError(self._failed, messages)
        buffer = self._buffer
        buffer += data
        start = 0
        while True:
            if not self._wanted:
                start = self._skip_line_ends(start)
                end = self._head_end(start)
                if end < 0:
                    if len(buffer) - start > MAX_HEAD:
                        self._fail("size", messages)
                    break
                head = bytes(buffer[start:end])
                if end - start > MAX_HEAD:
                    self._fail("size", messages)
                length = _content_length(head)
                if length < 0 or length > MAX_BODY:
                    messages.append(head)
                    self._fail("length" if length < 0 else "size", messages)
                self._wanted = end - start + length
            if len(buffer) - start < self._wanted:
                break
            messages.append(bytes(buffer[start : start + self._wanted]))
            start += self._wanted
            self._wanted = 0
            self._searched = start
        if start:
            del buffer[:start]
            self._searched = max(self._searched - start, 0)
        return messages

    def _skip_line_ends(self, start: int) -> int:
        """Past the CRLFs between messages; every two of them on end are a ping."""
        found = _LINE_ENDS.match(self._buffer, start)
        if found is not None:
            line_ends = found[0].count(b"\r\n")
            pongs = min(self.pongs_due, line_ends)
            self.pongs_due -= pongs
            pairs = self._line_ends + line_ends - pongs
            self.pings += pairs // 2
            self._line_ends = pairs % 2
            start = found.end()
        if start < len(self._buffer) and self._buffer[start] != 13:
            self._line_ends = 0
        return start

    def _head_end(self, start: int) -> int:
        """Where the headers that begin at `start` end, behind their empty line; -1 when they have not all
        come."""
        found = _HEAD_END.search(self._buffer, max(start, self._searched))
        if found is not None:
            return found.end()
        # The last three octets may be the beginning of an empty line.
        self._searched = max(start, len(self._buffer) - 2)
        return -1

    def _fail(self, kind: str, messages: list[bytes]) -> None:
        self._failed = kind
        self._buffer = bytearray()
        raise StreamError(kind, messages)


_LINE_ENDS: Final = re.compile(rb"(?:\r?\n)+")
# The same end of headers that parse_message sees: lone LF counts as a line end.
_HEAD_END: Final = re.compile(rb"\n\r?\n")
# The value may be folded behind the colon, but may not go on in another line.
_CONTENT_LENGTH: Final = re.compile(
    rb"\n(?:content-length|l)[ \t]*+:[ \t]*+(?:\r?\n[ \t]++)*([^\r\n]*+)(\r?\n[ \t])?", re.IGNORECASE
)


def _content_length(head: bytes) -> int:
    """What the head announces, 0 without a word, -1 for nonsense and for contradictions."""
    values = _CONTENT_LENGTH.findall(head)
    if not values:
        return 0
    value = values[0][0].rstrip(b" \t")
    if len(values) > 1 or values[0][1] or not value.isdigit() or len(value) > 20:
        return -1
    return int(value)
