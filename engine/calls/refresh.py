"""A session refresh that the engine makes on one leg: UPDATE, or re-INVITE with the session as it stands (RFC 4028)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from engine.calls.capabilities import UPDATE
from engine.calls.hiding import Crossing, Unacceptable, crossing_of
from engine.calls.session_timer import shortest_of
from engine.sip.flow import Flow
from engine.sip.message import Response

if TYPE_CHECKING:
    from engine.calls.leg import Leg

_LONGEST_S: Final = 7 * 86_400


@dataclass(slots=True)
class News:
    """What the other side has made of its session when the engine refreshed it, for this side to hear of at `due`.
    `turn` counts such news, which each side may answer with a new session in turn."""

    session: str
    turn: int
    due: float


class Refresh:
    """One request. What becomes of it: a new timer, another try, or, with 408, 481 and silence, the call's end.

    A far end that answers with another session than it had has changed what the other side knows of it. That side is
    told, by a refresh with this session instead of the last one.
    """

    PATIENCE_S: Final = 2.0  # until the next try, where something else is going on

    __slots__ = ("_acknowledgement", "_challenged", "_invite", "_leg", "_news")

    def __init__(self, leg: Leg, news: News | None, now: float) -> None:
        self._leg = leg
        self._news = news
        self._challenged = False
        self._acknowledgement: tuple[bytes, Flow] | None = None
        with_update = news is None and bool(leg.methods & UPDATE)
        self._invite = leg.refresh(with_update, "" if news is None else news.session, self, now)

    @property
    def with_session(self) -> bool:
        """True for a re-INVITE, which brings the session once more."""
        return self._invite is not None

    def abandon(self, now: float) -> None:
        """The call ends; the far end may have forgotten that it was asked."""
        if self._invite is not None:
            self._invite.expect_end(now)

    def on_response(self, response: Response, now: float) -> None:
        status = response.status
        leg = self._leg
        if status < 200:
            if leg.refreshing is not self:
                self.abandon(now)  # the call has ended before it: no other timer runs for it
            return
        if status < 300:
            self._on_success(response, now)
            return
        if leg.refreshing is not self:
            return
        if self._invite is not None and not self._challenged:
            self._challenged = True
            again = leg.invite_anew(self._invite, response, self, now)
            if again is not None:
                self._invite = again
                return
        leg.refreshing = None
        news, timer = self._news, leg.timer
        if news is not None:
            leg.origin.take_back()
        if status in (408, 481):
            leg.call.expired(now)
        elif status == 491:
            until = now + self._back_off()
            if news is not None:
                news.due = until
                leg.news = news
            elif timer is not None:
                timer.postpone(until)
        elif timer is None:
            return
        elif status == 422 and timer.interval < (shortest := shortest_of(response)) <= _LONGEST_S:
            timer.interval = leg.shortest = shortest
            timer.postpone(now)
        else:
            if self._invite is None:
                leg.methods &= (
                    ~UPDATE
                )  # it said that it allows UPDATE, and does not: the next one is a re-INVITE
            timer.postpone(now + max(self.PATIENCE_S, (timer.over_at - now) / 4))
        leg.call.rearm()

    def on_timeout(self, now: float) -> None:
        self._leg.refreshing = None
        self._leg.call.expired(now)

    def on_transport_error(self, now: float) -> None:
        leg = self._leg
        leg.refreshing = None
        if self._news is not None:
            leg.origin.take_back()
        if leg.timer is not None:
            leg.timer.postpone(now + self.PATIENCE_S)
            leg.call.rearm()

    def _on_success(self, response: Response, now: float) -> None:
        leg = self._leg
        if self._invite is not None:
            if self._acknowledgement is not None:
                leg.board.endpoint.send_again(*self._acknowledgement)
                return
            self._acknowledgement = leg.acknowledge(self._invite.request.cseq, Crossing())
        if leg.refreshing is not self:
            return  # the call has ended meanwhile
        leg.refreshing = None
        if leg.dialog is not None:
            leg.dialog.refresh_target(response.contact, leg.dialog.flow)
        leg.settle(response, now)
        if self._invite is not None and response.body:
            try:
                session = crossing_of(response).session
            except Unacceptable:
                session = ""  # nothing of it could be told
            turn = 0 if self._news is None else self._news.turn
            leg.call.told(leg, session, turn, now)
        leg.call.rearm()

    def _back_off(self) -> float:
        """RFC 3261 14.1: 2.1 to 4 s for who made the Call-ID, up to 2 s for the other, so that they do not meet
        again."""
        chance = int(self._leg.board.identifiers.token()[:4], 16) / 0xFFFF
        return chance * 2.0 if self._leg.is_caller else 2.1 + chance * 1.9
