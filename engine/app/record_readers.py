"""Who reads the records beside the engine that writes them, each in a process of its own: what seals and indexes closed
segments, and the outlets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from engine.app.outlets_child import OutletsChild
from engine.app.segment_keeper import SegmentKeeper
from engine.settings import Settings


class RecordReaders:
    """`outlets`: for who asks about them."""

    def __init__(self, settings: Settings, keys_dir: Path) -> None:
        self.outlets = OutletsChild(settings)
        self._keeper = SegmentKeeper(settings.records.directories(settings.data_dir), keys_dir)

    async def run(self, up: Callable[[], Awaitable[object]]) -> None:
        """Until cancelled, once the engine is `up`."""
        await up()
        await asyncio.gather(self._keeper.run(), self.outlets.run())

    async def last(self) -> None:
        """When nobody writes any more: what is left."""
        await asyncio.gather(self._keeper.last(), self.outlets.last())
