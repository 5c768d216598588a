"""Header lines that several builders of messages write, each with its CRLF."""

from __future__ import annotations

from typing import Final

from engine.calls.capabilities import PRECONDITION, REQUIRE_LINES
from engine.calls.hiding import SESSION_TYPE, Abilities

RETRY_SOON: Final = "Retry-After: 5\r\n"  # RFC 3261 14.2, RFC 3311 5.2: 0 to 10 s


def content_type(body: str) -> str:
    """The Content-Type line of a session description, none for an empty body."""
    return f"Content-Type: {SESSION_TYPE}\r\n" if body else ""


def early_media_line(abilities: Abilities) -> str:
    """The P-Early-Media line, none where nothing is said of it."""
    return f"P-Early-Media: {abilities.early_media}\r\n" if abilities.early_media else ""


def require_line(abilities: Abilities) -> str:
    """The Require line of a message with a session within a dialog: what the session itself needs (RFC 3312 11).
    100rel is for the first INVITE alone: provisional responses to a re-INVITE stay on their leg."""
    return REQUIRE_LINES[abilities.required & PRECONDITION]


def reason_line(cause: int) -> str:
    """The Reason line of a Q.850 cause, without text (RFC 3326); none for 0."""
    return f"Reason: Q.850;cause={cause}\r\n" if cause else ""
