"""A session refresh that the engine makes on one leg: UPDATE, or re-INVITE with the session as it stands (RFC 4028)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engine.calls.capabilities import UPDATE
from engine.calls.hiding import Crossing
from engine.calls.session_timer import shortest_of
from engine.sip.flow import Flow
from engine.sip.message import Response

if TYPE_CHECKING:
    from engine.calls.leg import Leg

_LONGEST_S: Final = 7 * 86_400


class Refresh:
    """One request. What becomes of it: a new timer, another try, or, with 408, 481 and silence, the call's end."""

    PATIENCE_S: Final = 2.0  # until the next try, where something else is going on

    __slots__ = ("_acknowledgement", "_invite", "_leg")

    def __init__(self, leg: Leg, now: float) -> None:
        self._leg = leg
        self._acknowledgement: tuple[bytes, Flow] | None = None
        self._invite = leg.refresh(bool(leg.methods & UPDATE), self, now)

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
            return
        if status < 300:
            self._on_success(response, now)
            return
        timer = leg.timer
        if leg.refreshing is not self or timer is None:
            return
        leg.refreshing = None
        if status in (408, 481):
            leg.call.expired(now)
        elif status == 491:
            timer.postpone(now + self._back_off())
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
        leg.call.rearm()

    def _back_off(self) -> float:
        """RFC 3261 14.1: 2.1 to 4 s for who made the Call-ID, up to 2 s for the other, so that they do not meet
        again."""
        chance = int(self._leg.board.identifiers.token()[:4], 16) / 0xFFFF
        return chance * 2.0 if self._leg.is_caller else 2.1 + chance * 1.9
