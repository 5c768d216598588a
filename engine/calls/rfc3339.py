"""Times as people write them (RFC 3339), between text and numbers since the epoch, UTC."""

import re
from datetime import UTC, datetime, timedelta

_DATE_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]"
    r"([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)([Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def parse_time(text: str) -> float | None:
    """Seconds since the epoch, or None when `text` is no RFC 3339 date-time with a zone.

    A leap second (`:60`) is none here: the clock that it would be compared with has none either.
    """
    match = _DATE_TIME.match(text)
    if match is None:
        return None
    zone = "+00:00" if match[3] in "Zz" else match[3]
    try:
        return (datetime.fromisoformat(f"{match[1]}T{match[2]}{zone}") - _EPOCH).total_seconds()
    except (ValueError, OverflowError):
        return None


def format_time(milliseconds: int) -> str:
    """`2026-01-31T08:00:00.250Z` for milliseconds since the epoch (years 1000 to 9999)."""
    moment = _EPOCH + milliseconds * _MILLISECOND
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"
