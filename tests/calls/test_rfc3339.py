"""Times as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calls.rfc3339 import format_time, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2026-01-31T08:00:00.25+08:00", 1_769_817_600.25),
        ("2026-01-31t08:00:00z", 1_769_846_400.0),
        ("2026-01-31 08:00:00-00:30", 1_769_848_200.0),
        ("2026-01-31T08:00:00.123456789Z", 1_769_846_400.123456),
        ("2024-02-29T23:59:59-00:00", 1_709_251_199.0),
    ],
)
def test_what_rfc_3339_allows_is_read(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T08:00:00",
        "2026-01-31T08:00Z",
        "20260131T080000Z",
        "2026-W05-6T08:00:00Z",
        "2026-02-30T08:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T23:59:60Z",
        "2026-01-31T08:00:00+0800",
        "2026-01-31T08:00:00+24:00",
        "2026-01-31T08:00:00,5Z",
        " 2026-01-31T08:00:00Z",
        "2026-01-31T08:00:00Z\n",
        "２026-01-31T08:00:00Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_what_it_does_not_allow_is_no_time(text: str) -> None:
    assert parse_time(text) is None


@given(st.integers(-30_000_000_000_000, 250_000_000_000_000))
def test_what_is_written_is_read_back(milliseconds: int) -> None:
    text = format_time(milliseconds)
    assert len(text) == 24
    seconds = parse_time(text)
    assert seconds is not None
    assert round(seconds * 1000) == milliseconds
