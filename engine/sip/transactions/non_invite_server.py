"""The non-INVITE server transaction: RFC 3261 17.2.2 (figure 8), without provisional responses before
T2 and without 408 (RFC 4320)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from engine.sip.message import Request
from engine.sip.transactions.transaction import IllegalInput, ServerTransaction, Table


class State(IntEnum):
    TRYING = 0
    PROCEEDING = 1
    COMPLETED = 2
    TERMINATED = 3


class Input(IntEnum):
    REQUEST = 0  # again
    SEND_PROVISIONAL = 1
    SEND_FINAL = 2
    TIMER_J = 3


class Action(IntEnum):
    SEND = 0
    REPEAT = 1
    START_J = 2


S, I, A = State, Input, Action

# Members by name: an attribute of an Enum costs three times a global, and these stand in every message's way.
TRYING, PROCEEDING, COMPLETED, TERMINATED = State
REQUEST, SEND_PROVISIONAL, SEND_FINAL, TIMER_J = Input
SEND, REPEAT, START_J = Action

TABLE: Final[Table] = {
    (S.TRYING, I.REQUEST): (S.TRYING, ()),
    (S.TRYING, I.SEND_PROVISIONAL): (S.PROCEEDING, (A.SEND,)),
    (S.TRYING, I.SEND_FINAL): (S.COMPLETED, (A.SEND, A.START_J)),
    (S.PROCEEDING, I.REQUEST): (S.PROCEEDING, (A.REPEAT,)),
    (S.PROCEEDING, I.SEND_PROVISIONAL): (S.PROCEEDING, (A.SEND,)),
    (S.PROCEEDING, I.SEND_FINAL): (S.COMPLETED, (A.SEND, A.START_J)),
    (S.COMPLETED, I.REQUEST): (S.COMPLETED, (A.REPEAT,)),
    (S.COMPLETED, I.TIMER_J): (S.TERMINATED, ()),
}


class NonInviteServer(ServerTransaction):
    """A request of theirs other than INVITE and ACK."""

    __slots__ = ()

    @property
    def answered(self) -> bool:
        """True once a final response has been sent."""
        return self.state >= COMPLETED

    def receive(self, request: Request, now: float) -> None:
        self._step(REQUEST, b"", now)

    def send(self, status: int, data: bytes, now: float) -> None:
        self._step(SEND_PROVISIONAL if status < 200 else SEND_FINAL, data, now)

    def wake(self, now: float) -> None:
        if now >= self.end_at:
            self._step(TIMER_J, b"", now)
        else:
            self.arm()

    def _step(self, given: Input, data: bytes, now: float) -> None:
        row = TABLE.get((self.state, given))
        if row is None:
            raise IllegalInput(f"non-INVITE server: {State(self.state).name}, {given.name}")
        self.state, actions = row
        if self.state == TERMINATED:
            self.forget()
        for action in actions:
            if action is SEND:
                self.sent = data
                self.layer.outbox.append((self.flow, data))
            elif action is START_J:
                self.lighten()
                self.end_after(now, 0.0 if self.flow.reliable else self.layer.timers.transaction)
            else:
                self.retransmit()
