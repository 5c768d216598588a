"""A PRACK, UPDATE or INFO crossing from the side that asks to the side that is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engine.authorization.reason import Reason
from engine.calls.hiding import Crossing, Unacceptable, crossing_of
from engine.calls.refresh import News
from engine.calls.session_timer import Terms
from engine.sip.message import Response
from engine.sip.timers import Timed
from engine.sip.transactions.transaction import ServerTransaction

if TYPE_CHECKING:
    from engine.calls.call import Call
    from engine.calls.conversation import Conversation
    from engine.calls.leg import Leg

# Settled on their own leg (hiding.md): what the asker could do about them is nothing.
OWN_LEG: Final = frozenset((401, 407, 420, 421, 422, 482, 483, 503))
_PATIENCE: Final = (
    50  # times T1, then the asker is answered, before its own transaction gives up (RFC 4320 4.1)
)


class Passage(Timed):
    """The answer is the asked side's, rebuilt; 504 where there is none in time. 408 and 481 say that the asked side is
    gone: after the answer they end the call (RFC 3261 12.2.1.2)."""

    __slots__ = (
        "_asked",
        "_call",
        "_conversation",
        "_crossing",
        "_early",
        "_open",
        "_terms",
        "_transaction",
        "asker",
    )

    def __init__(
        self,
        conversation: Conversation,
        call: Call,
        asker: Leg,
        asked: Leg,
        transaction: ServerTransaction,
        crossing: Crossing,
        early: str,
        terms: Terms,
        now: float,
    ) -> None:
        super().__init__()
        self._conversation = conversation
        self._call = call
        self.asker = asker
        self._asked = asked
        self._transaction = transaction
        self._crossing = crossing
        self._early = early
        self._terms = terms  # of the asker's session timer
        self._open = True
        endpoint = call.board.endpoint
        endpoint.wheel.schedule(self, now + _PATIENCE * endpoint.timers.t1)

    def ask(self, method: str, headers: str, body: str, now: float) -> None:
        """Sends the request on the asked side."""
        self._asked.pass_on(method, self._crossing, self._early, headers, body, self, now)

    def on_response(self, response: Response, now: float) -> None:
        status = response.status
        if not self._open:
            if 200 <= status < 300:
                self._undo(now)
            return
        if status < 200 or self.drop_if_lost(now):
            return
        if status >= 300:
            if self._crossing.session:
                self._asked.dialog_of(self._early)[1].take_back()
            self._fail(500 if status in OWN_LEG or status < 400 else status, status in (408, 481), now)
            return
        method = self._transaction.method
        if method == "UPDATE":
            dialog, _ = self._asked.dialog_of(self._early)
            dialog.refresh_target(response.contact, dialog.flow)
            if not self._early:
                self._asked.news = self.asker.news = None
                self._asked.settle(response, now)
                self.asker.run_timer(self._terms.timer, now)
                self._call.rearm()
        try:
            crossing = self._call.within_trust(crossing_of(response)) if method != "INFO" else Crossing()
        except Unacceptable:
            # The asked side has changed its session to one that cannot be masked: neither side can go on.
            self._fail(500, False, now)
            self._call.end(Reason.INTERNAL_ERROR, now)
            return
        if self._close():
            self.asker.grant(self._transaction, crossing, self._early, self._terms.lines, now)

    def on_timeout(self, now: float) -> None:
        self._fail(504, True, now)
        if not self._early and self._transaction.method != "PRACK":
            self._call.expired(now)

    def on_transport_error(self, now: float) -> None:
        self._fail(500, False, now)

    def wake(self, now: float) -> None:
        self._fail(504, False, now)

    def drop_if_lost(self, now: float) -> bool:
        """True when the early dialog that it belongs to is none any more."""
        lost = self._call.lost(self._early)
        if lost:
            self._fail(481, False, now)
        return lost

    def abort(self, now: float) -> None:
        """The call has ended before it was answered (RFC 3261 15.1.2)."""
        self._fail(487, False, now)

    def _undo(self, now: float) -> None:
        """The asker has been told 504 and keeps its session; the asked side has taken up the new one after all, so it
        hears of the old one again."""
        asked = self._asked
        if self._crossing.session and not self._early and self._call.talking:
            asked.origin.take_back()
            asked.news = News(asked.origin.standing, 1, now)
            self._call.rearm()

    def _fail(self, status: int, gone: bool, now: float) -> None:
        if not self._close():
            return
        shown = 504 if status == 408 else status  # no 408 to what is no INVITE (RFC 4320 4.2)
        self._call.board.endpoint.respond(self._transaction, shown, now)
        if gone and not self._early and self._transaction.method != "PRACK":
            self._call.expired(now)

    def _close(self) -> bool:
        """False when it was over already."""
        if not self._open:
            return False
        self._open = False
        self._call.board.endpoint.wheel.drop(self)
        self._conversation.over(self)
        return True
