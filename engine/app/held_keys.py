"""The keys that the signalling process holds, and how it takes new ones over while calls run."""

from __future__ import annotations

import os

from engine.app.link import Refused
from engine.observe.logs import get_logger
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing, KeysUnusable
from engine.sealing.tokens import LookupTokens
from engine.settings import Settings

_log = get_logger("signalling")


class HeldKeys:
    """One sealer for everything in the process."""

    def __init__(self, settings: Settings) -> None:
        """Makes what nobody configured. Raises KeysUnusable."""
        self._directory = settings.sealing.directory(settings.data_dir)
        self.ring = KeyRing.open(self._directory, os.environ)
        self.sealer = Sealer(self.ring)
        self.tokens = LookupTokens(self.ring.lookup)

    def take(self) -> int:
        """Reads the keys again, seals with the newest and opens with all of them; its id. Raises Refused, and nothing
        has changed then."""
        try:
            ring = KeyRing.open(self._directory, os.environ, create=False)
        except KeysUnusable as error:
            raise Refused(str(error)) from None
        if ring.lookup != self.ring.lookup:
            raise Refused(
                "the look-up key was changed: records and bindings are found by the one before only"
            )
        if ring != self.ring:
            self.ring = ring
            self.sealer.take(ring)
            _log.info("keys taken over", sealing_key=ring.current, keys=sorted(ring.sealing))
        return ring.current
