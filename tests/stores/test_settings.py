import pytest

from engine.stores.settings import BindingSettings


def test_the_defaults_are_sound() -> None:
    settings = BindingSettings()
    assert settings.check() == []
    assert (settings.store, settings.callback_window_s) == ("lmdb", 86_400)


@pytest.mark.parametrize(
    ("settings", "key", "what"),
    [
        (BindingSettings(store="redis"), "store", "redis is not built yet; use lmdb"),
        (BindingSettings(store="sql"), "store", "must be lmdb, not 'sql'"),
        (BindingSettings(table="a\0b"), "table", "is no path"),
        (BindingSettings(callback_window_s=0), "callback_window_s", "must be 1 to 2678400, not 0"),
        (
            BindingSettings(callback_window_s=10**9),
            "callback_window_s",
            "must be 1 to 2678400, not 1000000000",
        ),
    ],
)
def test_what_is_wrong_is_named(settings: BindingSettings, key: str, what: str) -> None:
    assert settings.check() == [(key, what)]
