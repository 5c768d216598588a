from pathlib import Path

import pytest

from engine.records.settings import OutletSettings, RecordSettings, check_outlets


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


def test_outlets_mask_numbers_unless_told_otherwise() -> None:
    outlet = OutletSettings(name="billing")
    assert (outlet.kind, outlet.format, outlet.numbers) == ("files", "csv", "masked")
    assert outlet.drop(Path("var")) == Path("var/outlets/billing")
    assert outlet.check() == []


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("name", "a.b", '"a.b" must be 1 to 32 of A-Z a-z 0-9 _ - and begin with no sign'),
        ("name", "", '"" must be 1 to 32 of A-Z a-z 0-9 _ - and begin with no sign'),
        ("rotate_s", 0, "must be 1 to 86400, not 0"),
        ("rotate_mib", 4097, "must be 1 to 4096, not 4097"),
        ("directory", "a\0b", "is no path"),
    ],
)
def test_what_is_wrong_with_an_outlet_is_named(key: str, value: object, what: str) -> None:
    outlets = [OutletSettings(name="one"), OutletSettings(**{"name": "two", key: value})]  # type: ignore[arg-type]
    assert check_outlets(outlets) == [(1, key, what)]


def test_outlets_have_names_of_their_own() -> None:
    outlets = [OutletSettings(name="one"), OutletSettings(name="one")]
    assert check_outlets(outlets) == [(1, "name", '"one" is the name of another outlet too')]
