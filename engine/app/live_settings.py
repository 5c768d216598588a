"""What of a configuration is taken over while calls run, and how it reaches the signalling process.

Everything else needs a restart. The values themselves cross the link, not the file's name: what was checked is what
is applied, whatever happens to the file meanwhile.
"""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from engine.calls.settings import CallSettings
from engine.calls.switchboard import Limits
from engine.routing.settings import TrunkSettings
from engine.settings import Settings

# Dotted keys; one that ends in a dot stands for all below it.
_LIVE = (
    *("trunks.", "calls.", "sip.max_calls", "sip.max_transactions"),
    *("authorization.strangers", "authorization.retry_after_s", "bindings.table", "log.level"),
    "control.drain_timeout_s",
)


def is_live(key: str) -> bool:
    """Whether a change of this key (`engine.settings.changed_keys`) is taken over without a restart."""
    return any(key.startswith(live) if live.endswith(".") else key == live for live in _LIVE)


def taken_over(running: Settings, fresh: Settings) -> Settings:
    """What runs after a reload: the fresh configuration where that needs no restart, else what runs now. The two
    together may not fit (`Settings.check`)."""
    settings = copy.deepcopy(running)
    fresh = copy.deepcopy(fresh)
    settings.trunks, settings.calls = fresh.trunks, fresh.calls
    for key in _LIVE:
        room, _, name = key.partition(".")
        if name:
            setattr(getattr(settings, room), name, getattr(getattr(fresh, room), name))
    return settings


class LiveSettings(msgspec.Struct):
    """The part that the signalling process takes over."""

    trunks: list[TrunkSettings]
    calls: CallSettings
    strangers: str
    own_prefixes: list[str]
    max_calls: int
    max_transactions: int
    retry_after_s: int

    @staticmethod
    def of(settings: Settings) -> LiveSettings:
        return LiveSettings(
            trunks=settings.trunks,
            calls=settings.calls,
            strangers=settings.authorization.strangers,
            own_prefixes=settings.numbering.own_prefixes,
            max_calls=settings.sip.max_calls,
            max_transactions=settings.sip.max_transactions,
            retry_after_s=settings.authorization.retry_after_s,
        )

    @staticmethod
    def from_link(values: Any) -> LiveSettings:
        """What `for_link` made."""
        return msgspec.convert(values, LiveSettings)

    def for_link(self) -> Any:
        """As plain data."""
        return msgspec.to_builtins(self)

    def limits(self) -> Limits:
        return Limits(self.max_calls, self.max_transactions, self.retry_after_s)
