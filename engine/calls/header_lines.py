"""Header lines that several builders of messages write, each with its CRLF."""

from __future__ import annotations

from typing import Final

from engine.calls.hiding import SESSION_TYPE

RETRY_SOON: Final = "Retry-After: 5\r\n"  # RFC 3261 14.2, RFC 3311 5.2: 0 to 10 s


def content_type(body: str) -> str:
    """The Content-Type line of a session description, none for an empty body."""
    return f"Content-Type: {SESSION_TYPE}\r\n" if body else ""


def reason_line(cause: int) -> str:
    """The Reason line of a Q.850 cause, without text (RFC 3326); none for 0."""
    return f"Reason: Q.850;cause={cause}\r\n" if cause else ""
