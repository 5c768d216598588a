"""The non-INVITE client transaction: RFC 3261 17.1.2 (figure 6)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from engine.sip.message import Response
from engine.sip.transactions.transaction import UNHEARD, ClientTransaction, IllegalInput, Table


class State(IntEnum):
    TRYING = 0
    PROCEEDING = 1
    COMPLETED = 2
    TERMINATED = 3


class Input(IntEnum):
    PROVISIONAL = 0
    FINAL = 1
    TIMER_E = 2
    TIMER_F = 3
    TIMER_K = 4
    TRANSPORT_ERROR = 5


class Action(IntEnum):
    PASS = 0  # the response to the user
    REPEAT = 1  # the request, at twice the interval, T2 at most
    REPEAT_SLOWLY = 2  # the request, each T2
    START_K = 3
    TIMEOUT = 4
    ERROR = 5


S, I, A = State, Input, Action

# Members by name: an attribute of an Enum costs three times a global, and these stand in every message's way.
TRYING, PROCEEDING, COMPLETED, TERMINATED = State
PROVISIONAL, FINAL, TIMER_E, TIMER_F, TIMER_K, TRANSPORT_ERROR = Input
PASS, REPEAT, REPEAT_SLOWLY, START_K, TIMEOUT, ERROR = Action

TABLE: Final[Table] = {
    (S.TRYING, I.PROVISIONAL): (S.PROCEEDING, (A.PASS,)),
    (S.TRYING, I.FINAL): (S.COMPLETED, (A.START_K, A.PASS)),
    (S.TRYING, I.TIMER_E): (S.TRYING, (A.REPEAT,)),
    (S.TRYING, I.TIMER_F): (S.TERMINATED, (A.TIMEOUT,)),
    (S.TRYING, I.TRANSPORT_ERROR): (S.TERMINATED, (A.ERROR,)),
    (S.PROCEEDING, I.PROVISIONAL): (S.PROCEEDING, (A.PASS,)),
    (S.PROCEEDING, I.FINAL): (S.COMPLETED, (A.START_K, A.PASS)),
    (S.PROCEEDING, I.TIMER_E): (S.PROCEEDING, (A.REPEAT_SLOWLY,)),
    (S.PROCEEDING, I.TIMER_F): (S.TERMINATED, (A.TIMEOUT,)),
    (S.PROCEEDING, I.TRANSPORT_ERROR): (S.TERMINATED, (A.ERROR,)),
    (S.COMPLETED, I.PROVISIONAL): (S.COMPLETED, ()),
    (S.COMPLETED, I.FINAL): (S.COMPLETED, ()),
    (S.COMPLETED, I.TIMER_K): (S.TERMINATED, ()),
    (S.COMPLETED, I.TRANSPORT_ERROR): (S.COMPLETED, ()),
}


class NonInviteClient(ClientTransaction):
    """A request of ours other than INVITE and ACK."""

    __slots__ = ()

    def receive(self, response: Response, now: float) -> None:
        self._step(PROVISIONAL if response.status < 200 else FINAL, response, now)

    def repeats(self, response: Response) -> bool:
        return self.state == COMPLETED and response.status >= 200

    def transport_failed(self, now: float) -> None:
        self._step(TRANSPORT_ERROR, None, now)

    def wake(self, now: float) -> None:
        if now >= self.end_at:
            self._step(TIMER_K if self.state == COMPLETED else TIMER_F, None, now)
        elif now >= self.repeat_at:
            self._step(TIMER_E, None, now)
        else:
            self.arm()

    def _step(self, given: Input, response: Response | None, now: float) -> None:
        row = TABLE.get((self.state, given))
        if row is None:
            raise IllegalInput(f"non-INVITE client: {State(self.state).name}, {given.name}")
        self.state, actions = row
        user = self.user
        if self.state == TERMINATED:
            self.forget()
        for action in actions:
            if action is START_K:
                self.end_after(now, 0.0 if self.flow.reliable else self.layer.timers.t4)
                # Nobody hears of repeats: what the user holds, a whole call behind a BYE, goes at once.
                self.sent = b""
                self.user = UNHEARD
            elif action is PASS:
                assert response is not None
                user.on_response(response, now)
            elif action is REPEAT:
                self.retransmit()
                self.repeat_after(now, min(2 * self.interval, self.layer.timers.t2))
            elif action is REPEAT_SLOWLY:
                self.retransmit()
                self.repeat_after(now, self.layer.timers.t2)
            elif action is TIMEOUT:
                user.on_timeout(now)
            else:
                user.on_transport_error(now)
