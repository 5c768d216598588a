"""The INVITE server transaction: RFC 3261 17.2.1 (figure 7) as corrected by RFC 6026 (figure 3)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from engine.sip.message import Request
from engine.sip.transactions.transaction import IllegalInput, ServerTransaction, Table


class State(IntEnum):
    PROCEEDING = 0
    COMPLETED = 1
    CONFIRMED = 2
    ACCEPTED = 3
    TERMINATED = 4


class Input(IntEnum):
    INVITE = 0  # the request again
    ACK = 1  # in the transaction, so for a non-2xx, or for a 2xx from an old peer that repeats the branch
    SEND_PROVISIONAL = 2
    SEND_SUCCESS = 3
    SEND_FAILURE = 4
    TIMER_G = 5
    TIMER_H = 6
    TIMER_I = 7
    TIMER_L = 8


class Action(IntEnum):
    SEND = 0  # the response given
    REPEAT = 1  # the last response, because the request came again
    REPEAT_SLOWER = 2  # the last response, because of timer G
    START_G_H = 3
    START_I = 4
    START_L = 5


S, I, A = State, Input, Action

# Members by name: an attribute of an Enum costs three times a global, and these stand in every message's way.
PROCEEDING, COMPLETED, CONFIRMED, ACCEPTED, TERMINATED = State
INVITE, ACK, SEND_PROVISIONAL, SEND_SUCCESS, SEND_FAILURE, TIMER_G, TIMER_H, TIMER_I, TIMER_L = Input
SEND, REPEAT, REPEAT_SLOWER, START_G_H, START_I, START_L = Action

TABLE: Final[Table] = {
    (S.PROCEEDING, I.INVITE): (S.PROCEEDING, (A.REPEAT,)),
    (S.PROCEEDING, I.ACK): (S.PROCEEDING, ()),
    (S.PROCEEDING, I.SEND_PROVISIONAL): (S.PROCEEDING, (A.SEND,)),
    (S.PROCEEDING, I.SEND_SUCCESS): (S.ACCEPTED, (A.SEND, A.START_L)),
    (S.PROCEEDING, I.SEND_FAILURE): (S.COMPLETED, (A.SEND, A.START_G_H)),
    (S.COMPLETED, I.INVITE): (S.COMPLETED, (A.REPEAT,)),
    (S.COMPLETED, I.ACK): (S.CONFIRMED, (A.START_I,)),
    (S.COMPLETED, I.TIMER_G): (S.COMPLETED, (A.REPEAT_SLOWER,)),
    (S.COMPLETED, I.TIMER_H): (S.TERMINATED, ()),
    (S.CONFIRMED, I.INVITE): (S.CONFIRMED, ()),
    (S.CONFIRMED, I.ACK): (S.CONFIRMED, ()),
    (S.CONFIRMED, I.TIMER_I): (S.TERMINATED, ()),
    # Its 2xx are repeated by who sent them, until their ACK comes (13.3.1.4); the INVITE again is absorbed.
    (S.ACCEPTED, I.INVITE): (S.ACCEPTED, ()),
    (S.ACCEPTED, I.ACK): (S.ACCEPTED, ()),
    (S.ACCEPTED, I.SEND_SUCCESS): (S.ACCEPTED, (A.SEND,)),
    (S.ACCEPTED, I.TIMER_L): (S.TERMINATED, ()),
}


class InviteServer(ServerTransaction):
    """An INVITE of theirs. A transport that fails does not end it: the answer may still be asked for again."""

    __slots__ = ()

    @property
    def answered(self) -> bool:
        """True once a final response has been sent."""
        return self.state != PROCEEDING

    @property
    def accepted(self) -> bool:
        return self.state == ACCEPTED

    @property
    def confirmed(self) -> bool:
        return self.state == CONFIRMED

    def receive(self, request: Request, now: float) -> None:
        self._step(ACK if request.method == "ACK" else INVITE, b"", now)

    def send(self, status: int, data: bytes, now: float) -> None:
        if status < 200:
            self._step(SEND_PROVISIONAL, data, now)
        elif status < 300:
            self._step(SEND_SUCCESS, data, now)
        else:
            self._step(SEND_FAILURE, data, now)

    def wake(self, now: float) -> None:
        if now >= self.end_at:
            if self.state == COMPLETED:
                self._step(TIMER_H, b"", now)
            elif self.state == CONFIRMED:
                self._step(TIMER_I, b"", now)
            else:
                self._step(TIMER_L, b"", now)
        elif now >= self.repeat_at:
            self._step(TIMER_G, b"", now)
        else:
            self.arm()

    def _step(self, given: Input, data: bytes, now: float) -> None:
        row = TABLE.get((self.state, given))
        if row is None:
            raise IllegalInput(f"INVITE server: {State(self.state).name}, {given.name}")
        self.state, actions = row
        if self.state == TERMINATED:
            self.forget()
        for action in actions:
            if action is SEND:
                self.sent = data
                self.layer.outbox.append((self.flow, data))
            elif action is START_L:
                self.lighten()
                self.sent = b""
                self.end_after(now, self.layer.timers.transaction)
            elif action is REPEAT:
                self.retransmit()
            elif action is REPEAT_SLOWER:
                self.retransmit()
                self.repeat_after(now, min(2 * self.interval, self.layer.timers.t2))
            elif action is START_G_H:
                self.lighten()
                self.end_after(now, self.layer.timers.transaction)
                if not self.flow.reliable:
                    self.repeat_after(now, self.layer.timers.t1)
            else:
                self.sent = b""
                self.end_after(now, 0.0 if self.flow.reliable else self.layer.timers.t4)
