"""A leg's session timer at work (RFC 4028): what it says of it in its messages, and what it does when it is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.calls.board import Board
from engine.calls.capabilities import methods
from engine.calls.refresh import News, Refresh
from engine.calls.session_timer import SessionTimer, agreed, terms_of, wish
from engine.sip.message import Request, Response
from engine.sip.timers import NEVER

if TYPE_CHECKING:
    from engine.calls.call import Call


class KeptAlive:
    """What a leg is built on. `methods` are those that the far end has said it allows; `timer` runs from the answer on;
    `refreshing` is a refresh of ours that is on its way, `news` what the next is to tell; `shortest` the Min-SE that
    the far end has asked for."""

    __slots__ = ("board", "call", "methods", "news", "refreshing", "shortest", "timer")

    def __init__(self, board: Board, call: Call) -> None:
        self.board = board
        self.call = call
        self.methods = 0
        self.timer: SessionTimer | None = None
        self.refreshing: Refresh | None = None
        self.news: News | None = None
        self.shortest = 0

    @property
    def due(self) -> float:
        """When something is to be done about the session."""
        due = NEVER if self.timer is None else self.timer.due
        return due if self.news is None else min(due, self.news.due)

    def negotiate(self, request: Request, now: float) -> str:
        """Takes up the timer that a re-INVITE or UPDATE of theirs asks for; the lines for its 2xx."""
        terms = terms_of(request, self.board.settings)
        self.run_timer(terms.timer, now)
        self.call.rearm()
        return terms.lines

    def wish(self) -> str:
        """The timer's lines in a request of ours."""
        timer = self.timer
        interval = self.board.settings.session_expires_s if timer is None else timer.interval
        return wish(timer, max(interval, self.shortest) if interval else 0, self.shortest)

    def settle(self, response: Response, now: float) -> None:
        """Takes up the timer that a 2xx to an INVITE or UPDATE of ours agrees to."""
        timer = self.timer
        interval = self.board.settings.session_expires_s if timer is None else timer.interval
        self.run_timer(agreed(response, interval), now)
        if "allow" in response.fields:
            self.methods = methods(response)

    def run_timer(self, timer: SessionTimer | None, now: float) -> None:
        self.timer = timer
        if timer is not None:
            timer.restart(now)

    def on_due(self, now: float) -> None:
        """The engine's turn to refresh, or to tell what is new; or nobody has refreshed, and the far end is gone."""
        news, timer = self.news, self.timer
        negotiating = self.call.negotiating  # perhaps their refresh, which the other side has to answer first
        if news is not None and now >= news.due:
            if self.refreshing is None and not negotiating and not self.call.refreshing and self.may_ask:
                self.news = None
                self.refreshing = self.begin_refresh(news, now)
            else:
                news.due = now + Refresh.PATIENCE_S
        if timer is None or now < timer.due:
            return
        if now >= timer.over_at or not (timer.ours or negotiating):
            self.call.expired(now)
        elif timer.ours and self.refreshing is None and not negotiating and self.may_ask:
            self.refreshing = self.begin_refresh(None, now)
        else:
            timer.postpone(now + Refresh.PATIENCE_S)

    @property
    def may_ask(self) -> bool:
        """False while the far end still owes something to an INVITE of its own."""
        raise AssertionError("the leg knows")

    def begin_refresh(self, news: News | None, now: float) -> Refresh:
        raise AssertionError("the leg sends it")

    @property
    def refreshes_session(self) -> bool:
        """True while a re-INVITE of the engine's own is open here."""
        return self.refreshing is not None and self.refreshing.with_session

    def stop_refreshing(self, now: float) -> None:
        """The call ends."""
        if self.refreshing is not None:
            self.refreshing.abandon(now)
            self.refreshing = None
        self.timer = self.news = None
