import pytest

from engine.records.settings import RecordSettings


def test_a_power_cut_takes_twenty_milliseconds_at_most() -> None:
    assert RecordSettings().fsync_ms == 20
    assert RecordSettings().check() == []


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("fsync_ms", 0, "must be 1 to 10000, not 0"),
        ("fsync_ms", 10_001, "must be 1 to 10000, not 10001"),
        ("segment_mib", 0, "must be 1 to 1024, not 0"),
        ("segment_s", 86_401, "must be 1 to 86400, not 86401"),
        ("buffer_mib", 0, "must be 1 to 1024, not 0"),
        ("patience_ms", -1, "must be 0 to 60000, not -1"),
        ("spare_dir", "a\0b", "is no path"),
    ],
)
def test_what_is_out_of_bounds_is_named(key: str, value: object, what: str) -> None:
    assert RecordSettings(**{key: value}).check() == [(key, what)]  # type: ignore[arg-type]
