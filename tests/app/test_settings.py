"""`[control]`."""

import pytest

from engine.app.settings import ControlSettings


@pytest.mark.parametrize(
    ("listen", "address"), [("127.0.0.1:8700", ("127.0.0.1", 8700)), ("[::1]:80", ("::1", 80))]
)
def test_addresses(listen: str, address: tuple[str, int]) -> None:
    settings = ControlSettings(listen)
    assert settings.check() == []
    assert settings.address() == address


@pytest.mark.parametrize(
    "listen", ["", "8700", "localhost:80", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536"]
)
def test_what_is_no_address(listen: str) -> None:
    assert [key for key, _ in ControlSettings(listen).check()] == ["listen"]


def test_times_are_bounded() -> None:
    assert ControlSettings(build_timeout_s=0, drain_timeout_s=10**7).check() == [
        ("build_timeout_s", "must be 1 to 86400, not 0"),
        ("drain_timeout_s", "must be 1 to 604800, not 10000000"),
    ]
