"""What the two sides of a call ask of each other within it: re-INVITE, PRACK, UPDATE, INFO.

One offer at a time: whoever offers while the other's offer is open gets 491, who offers twice gets 500 and shall
wait (RFC 3261 14.2, RFC 3311 5.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.calls.header_lines import RETRY_SOON
from engine.calls.hiding import Crossing
from engine.calls.passage import Passage
from engine.calls.reinvite import Reinvite
from engine.calls.session_timer import NO_TERMS, Terms, terms_of
from engine.sip.message import Request
from engine.sip.transactions.transaction import ServerTransaction

if TYPE_CHECKING:
    from engine.calls.call import Call
    from engine.calls.leg import Leg

_MOST_PASSAGES = 16  # at once; a side that asks faster than the other answers has to wait


class Conversation:
    """`reinvite` is the re-INVITE that is on its way, `offer` the UPDATE or PRACK with an offer."""

    __slots__ = ("_call", "_passages", "offer", "reinvite")

    def __init__(self, call: Call) -> None:
        self._call = call
        self.reinvite: Reinvite | None = None
        self.offer: Passage | None = None
        self._passages: list[Passage] = []

    def reinvited(
        self, leg: Leg, transaction: ServerTransaction, request: Request, crossing: Crossing, now: float
    ) -> None:
        """A re-INVITE came in on `leg`."""
        call = self._call
        endpoint = call.board.endpoint
        reinvite = self.reinvite
        if not call.talking:
            # Also while the callee's answer waits for the caller's PRACK.
            endpoint.respond(transaction, 481 if call.over else 491, now)
        elif reinvite is not None:
            # The same side again before its first is through: 500; the other side at the same time: 491.
            self._turn_down(transaction, reinvite.asker is leg and not reinvite.answered, now)
        elif self.offer is not None:
            self._turn_down(transaction, self.offer.asker is leg, now)
        elif call.refreshing:
            endpoint.respond(transaction, 491, now)
        else:
            other = call.other(leg)
            self.reinvite = Reinvite(self, call, leg, other, transaction, request, crossing, now)

    def updated(
        self,
        leg: Leg,
        transaction: ServerTransaction,
        request: Request,
        crossing: Crossing,
        early: str,
        now: float,
    ) -> None:
        """An UPDATE with an offer came in on `leg`; `early` names its early dialog, "" after the answer."""
        call = self._call
        if call.over or call.lost(early):
            call.board.endpoint.respond(transaction, 481, now)
            return
        if early:
            if not call.settled(early):
                # The first offer is still open: the caller's, or with a late offer the callee's (RFC 3311 5.2).
                self._turn_down(transaction, leg.is_caller != call.offer_is_late, now)
                return
        elif not call.talking:
            self._turn_down(transaction, False, now)
            return
        if self.offer is not None:
            self._turn_down(transaction, self.offer.asker is leg, now)
        elif self.reinvite is not None:
            self._turn_down(transaction, self.reinvite.asker is leg, now)
        elif call.refreshing:
            self._turn_down(transaction, False, now)
        else:
            terms = NO_TERMS if early else terms_of(request, call.board.settings)
            self.offer = self._begin(leg, transaction, crossing, early, terms, now)
            self.offer.ask("UPDATE", "", "", now)

    def acknowledged(
        self,
        leg: Leg,
        transaction: ServerTransaction,
        crossing: Crossing,
        early: str,
        rseq: int,
        now: float,
    ) -> None:
        """The caller's PRACK to a response that the callee's side wants to have acknowledged. Its session answers
        an offer, or is one (RFC 3262 5)."""
        if self._call.over or self._call.lost(early):
            self._call.board.endpoint.respond(transaction, 481, now)
            return
        headers = f"RAck: {rseq} {self._call.invite_cseq} INVITE\r\n"
        passage = self._begin(leg, transaction, crossing, early, NO_TERMS, now)
        # With a late offer, the first one answers the callee's.
        offers = not self._call.offer_is_late or self._call.settled(early)
        if crossing.session and offers and self.offer is None:
            self.offer = passage
        passage.ask("PRACK", headers, "", now)

    def pass_on(
        self,
        leg: Leg,
        transaction: ServerTransaction,
        crossing: Crossing,
        early: str,
        headers: str,
        body: str,
        now: float,
    ) -> None:
        """An INFO."""
        if self._call.over or self._call.lost(early):
            self._call.board.endpoint.respond(transaction, 481, now)
        elif len(self._passages) >= _MOST_PASSAGES or not (early or self._call.answered):
            # The callee's answer may be waiting for the caller's PRACK.
            self._call.board.endpoint.respond(transaction, 500, now, headers=RETRY_SOON)
        else:
            self._begin(leg, transaction, crossing, early, NO_TERMS, now).ask("INFO", headers, body, now)

    def over(self, passage: Passage) -> None:
        """A passage has its answer."""
        if passage in self._passages:
            self._passages.remove(passage)
        if self.offer is passage:
            self.offer = None

    def settle(self, now: float) -> None:
        """The call is answered: what was on its way in other early dialogs has come too late."""
        for passage in self._passages[:]:
            passage.drop_if_lost(now)

    def abort(self, now: float) -> None:
        """The call ends: whatever is open is answered, so that nobody waits for it."""
        if self.reinvite is not None:
            self.reinvite.abort(now)
            self.reinvite = None
        for passage in self._passages[:]:
            passage.abort(now)

    def _begin(
        self,
        leg: Leg,
        transaction: ServerTransaction,
        crossing: Crossing,
        early: str,
        terms: Terms,
        now: float,
    ) -> Passage:
        passage = Passage(
            self, self._call, leg, self._call.other(leg), transaction, crossing, early, terms, now
        )
        self._passages.append(passage)
        return passage

    def _turn_down(self, transaction: ServerTransaction, twice: bool, now: float) -> None:
        self._call.board.endpoint.respond(
            transaction, 500 if twice else 491, now, headers=RETRY_SOON if twice else ""
        )
