"""What the signalling process reads off its rooms when somebody asks for figures; nothing of it costs a call."""

from __future__ import annotations

from collections import Counter
from operator import attrgetter

from engine.calls.switchboard import Switchboard
from engine.observe.tally import Tally
from engine.records.journal import Journal
from engine.routing.trunks import Trunk
from engine.stores.table_lmdb import BindingTable
from engine.transport.driver import Driver

_TRUNKS_OF = attrgetter("record.in_trunk", "record.out_trunk")


class Figures:
    """Gauges and the counters that rooms keep themselves."""

    def __init__(
        self, tally: Tally, switchboard: Switchboard, journal: Journal, table: BindingTable, driver: Driver
    ) -> None:
        self._tally = tally
        self._switchboard = switchboard
        self._journal = journal
        self._table = table
        self._driver = driver

    def take(self) -> None:
        """Brings the tally up to this moment."""
        tally, switchboard, journal = self._tally, self._switchboard, self._journal
        board = switchboard.board
        trunks = switchboard.trunks.trunks
        tally.calls_active = len(board.calls)
        tally.calls_begun = board.calls_begun
        tally.transactions_active = board.endpoint.transactions_active
        tally.tcp_connections = 0 if self._driver.streams is None else self._driver.streams.connections
        tally.bindings = self._table.stats().rows
        tally.draining = switchboard.draining
        tally.records_unsynced = journal.unsynced
        tally.records_lost = journal.lost
        tally.record_write_failures = journal.write_failures
        tally.record_sync_failures = journal.sync_failures
        tally.journal_failed = bool(journal.failed)
        tally.trunk_up = {trunk.name: trunk.up for trunk in trunks}
        tally.trunk_calls = calls_by_trunk(trunks, Counter(map(_TRUNKS_OF, board.calls.values())))


def calls_by_trunk(
    trunks: tuple[Trunk, ...], ways: Counter[tuple[str | None, str | None]]
) -> dict[tuple[str, str], int]:
    """Calls that are up by (trunk, "in" or "out") out of those by (incoming, outgoing) trunk. A trunk without calls
    has its zero; 100,000 calls take some ten milliseconds to count."""
    calls = {(trunk.name, direction): 0 for trunk in trunks for direction in ("in", "out")}
    for (came_in, went_out), count in ways.items():
        for name, direction in ((came_in, "in"), (went_out, "out")):
            if name is not None and (name, direction) in calls:
                calls[name, direction] += count
    return calls
