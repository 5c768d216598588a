"""What the signalling process reads off its rooms when somebody asks for figures; nothing of it costs a call."""

from __future__ import annotations

from engine.calls.switchboard import Switchboard
from engine.observe.tally import Tally
from engine.records.journal import Journal
from engine.stores.table_lmdb import BindingTable
from engine.transport.driver import Driver


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
        tally.records_elsewhere = journal.elsewhere
        trunks = switchboard.trunks.trunks
        tally.trunk_up = {trunk.name: trunk.up for trunk in trunks}
        tally.trunk_calls = {
            (trunk.name, direction): load.calls
            for trunk in trunks
            for direction, load in (("in", trunk.incoming), ("out", trunk.outgoing))
        }
        tally.next_hop_up = {
            (trunk.name, str(hop)): hop.health.up for trunk in trunks for hop in trunk.next_hops
        }
