"""What all calls of one engine share: the endpoint, the tables of legs and calls, and the world's ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.calls.capabilities import unsupported
from engine.calls.ports import CallTally, Clock, Faults, LastCallers, Records, Watcher
from engine.calls.session import SessionOrigin
from engine.calls.settings import CallSettings

if TYPE_CHECKING:
    from engine.calls.call import Call
    from engine.calls.leg import Leg
    from engine.sip.endpoint import Endpoint, Identifiers
    from engine.sip.message import Request
    from engine.sip.transactions.transaction import ServerTransaction


class Board:
    """`legs` are found by the tag that the engine gave them, `calls` by their record id, in the order of their
    start. `calls_begun` counts all there have been."""

    def __init__(
        self,
        settings: CallSettings,
        node: str,
        advertise: str,
        sent_by: dict[str, str],
        identifiers: Identifiers,
        clock: Clock,
        records: Records,
        last_callers: LastCallers,
        tally: CallTally,
        faults: Faults,
    ) -> None:
        self.endpoint: Endpoint  # set by the switchboard, which it needs in turn
        self.settings = settings
        self.node = node
        self.advertise = advertise
        self.sent_by = sent_by
        self.identifiers = identifiers
        self.clock = clock
        self.records = records
        self.last_callers = last_callers
        self.tally = tally
        self.faults = faults
        self.legs: dict[str, Leg] = {}
        self.calls: dict[str, Call] = {}
        self.retry_after_s = 5  # of refusals that pass; the switchboard sets it
        self.calls_begun = 0
        self.watcher: Watcher | None = None

    def calls_after(self, number: int, most: int) -> list[Call]:
        """The next `most` calls that began after the one with this number (0: from the first), whether that one
        is still up or not."""
        found: list[Call] = []
        for call in self.calls.values():
            if call.number > number:
                if len(found) == most:
                    break
                found.append(call)
        return found

    def contact(self, user: str, transport: str) -> str:
        """The Contact line of a leg: an opaque user part at the socket that serves its transport."""
        parameter = "" if transport == "udp" else f";transport={transport}"
        return f"Contact: <sip:{user}@{self.sent_by[transport]}{parameter}>\r\n"

    def origin(self) -> SessionOrigin:
        """The session of a new dialog. The id is random and fits 63 bits (RFC 4566 5.2)."""
        return SessionOrigin(int(self.identifiers.token()[:12], 16), self.advertise)


def extensions_refused(board: Board, transaction: ServerTransaction, request: Request, now: float) -> bool:
    """True when it has answered 420, for a Require that nothing here can meet (RFC 3261 8.2.2.3); an empty one
    requires nothing."""
    if "require" not in request.fields:
        return False
    refused = unsupported(request)
    if not refused:
        return False
    board.endpoint.respond(transaction, 420, now, tag="" if request.to_tag else board.identifiers.token(),
                           headers=f"Unsupported: {refused}\r\n")  # fmt: skip
    return True
