import pytest

from engine.records.settings import RecordSettings


def test_a_power_cut_takes_twenty_milliseconds_at_most() -> None:
    assert RecordSettings().fsync_ms == 20
    assert RecordSettings().check() == []


@pytest.mark.parametrize("value", [0, -1, 10_001])
def test_what_is_out_of_bounds_is_named(value: int) -> None:
    assert RecordSettings(value).check() == [("fsync_ms", f"must be 1 to 10000, not {value}")]
