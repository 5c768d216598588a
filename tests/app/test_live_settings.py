"""What a reload takes over, and that it arrives at the other side of the link as it was."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from engine.app.live_settings import LiveSettings, is_live, taken_over
from engine.settings import Settings, changed_keys, load_settings
from tests.app.tables import ROOT, write_config

OTHER = [
    *('node="other"', "sip.t1_ms=400", "sip.max_calls=5", "sip.max_transactions=6", 'log.level="error"'),
    *('bindings.table="other.csv"', "bindings.callback_window_s=5", "calls.ring_timeout_s=5"),
    *("control.drain_timeout_s=5", "control.build_timeout_s=5", 'authorization.strangers="403"'),
    *("authorization.retry_after_s=9", 'numbering.own_prefixes=["7001"]', "trunks.pstn.max_calls=3"),
    *('trunks.new.peers=["192.0.2.1"]', "sip.tcp_ping_s=7"),
]
TAKEN = [
    *("authorization.retry_after_s", "authorization.strangers", "bindings.table", "calls.ring_timeout_s"),
    *("control.drain_timeout_s", "log.level", "sip.max_calls", "sip.max_transactions"),
    *("trunks.pstn.max_calls",),
]


@pytest.fixture
def configured(tmp_path: Path) -> tuple[Settings, Settings]:
    """What runs, and a configuration in which much is different."""
    config, _ = write_config(tmp_path, "")
    return load_settings(config, []), load_settings(config, OTHER)


def test_every_change_is_taken_over_or_named(configured: tuple[Settings, Settings]) -> None:
    running, fresh = configured
    changed = changed_keys(running, fresh)
    settings = taken_over(running, fresh)
    assert [key for key in changed_keys(running, settings) if not key.startswith("trunks.new.")] == TAKEN
    assert changed_keys(settings, fresh) == [key for key in changed if not is_live(key)]
    assert [trunk.name for trunk in settings.trunks] == ["pstn", "new"]


def test_what_runs_is_not_changed_by_looking(configured: tuple[Settings, Settings]) -> None:
    running, fresh = configured
    before = changed_keys(running, fresh)
    settings = taken_over(running, fresh)
    settings.trunks[0].peers.append("192.0.2.9")
    settings.sip.max_calls += 1
    assert changed_keys(running, fresh) == before


def test_it_crosses_the_link_as_it_is(configured: tuple[Settings, Settings]) -> None:
    for settings in configured:
        live = LiveSettings.of(settings)
        crossed = LiveSettings.from_link(json.loads(json.dumps(live.for_link())))
        assert crossed == live
        assert crossed.limits().max_calls == settings.sip.max_calls


def test_every_key_of_a_trunk_stands_in_the_lab_configuration() -> None:
    """Those that are not set there are shown as comments."""
    text = (ROOT / "config/lab.toml").read_text("utf-8")
    trunks = text.partition("[[trunks]]")[2]
    trunk = load_settings(ROOT / "config/lab.toml", []).trunks[0]
    assert [one.name for one in fields(trunk) if f"{one.name} = " not in trunks] == []
