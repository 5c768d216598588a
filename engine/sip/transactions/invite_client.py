"""The INVITE client transaction: RFC 3261 17.1.1 (figure 5) as corrected by RFC 6026 (figure 4)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from engine.sip.flow import Flow
from engine.sip.message import Response
from engine.sip.outgoing import OutgoingRequest
from engine.sip.transactions.transaction import (
    ClientTransaction,
    ClientUser,
    Fallback,
    IllegalInput,
    Layer,
    Table,
)


class State(IntEnum):
    CALLING = 0
    PROCEEDING = 1
    COMPLETED = 2
    ACCEPTED = 3
    TERMINATED = 4


class Input(IntEnum):
    PROVISIONAL = 0
    SUCCESS = 1
    FAILURE = 2
    TIMER_A = 3
    TIMER_B = 4
    TIMER_D = 5
    TIMER_M = 6
    TRANSPORT_ERROR = 7


class Action(IntEnum):
    PASS = 0  # the response to the user
    ACK = 1
    REPEAT = 2  # the request, at twice the interval
    STOP = 3  # timers A and B
    START_D = 4
    START_M = 5
    TIMEOUT = 6
    ERROR = 7


S, I, A = State, Input, Action

# Members by name: an attribute of an Enum costs three times a global, and these stand in every message's way.
CALLING, PROCEEDING, COMPLETED, ACCEPTED, TERMINATED = State
PROVISIONAL, SUCCESS, FAILURE, TIMER_A, TIMER_B, TIMER_D, TIMER_M, TRANSPORT_ERROR = Input
PASS, ACK, REPEAT, STOP, START_D, START_M, TIMEOUT, ERROR = Action

TABLE: Final[Table] = {
    (S.CALLING, I.PROVISIONAL): (S.PROCEEDING, (A.STOP, A.PASS)),
    (S.CALLING, I.SUCCESS): (S.ACCEPTED, (A.START_M, A.PASS)),
    (S.CALLING, I.FAILURE): (S.COMPLETED, (A.START_D, A.ACK, A.PASS)),
    (S.CALLING, I.TIMER_A): (S.CALLING, (A.REPEAT,)),
    (S.CALLING, I.TIMER_B): (S.TERMINATED, (A.TIMEOUT,)),
    (S.CALLING, I.TRANSPORT_ERROR): (S.TERMINATED, (A.ERROR,)),
    (S.PROCEEDING, I.PROVISIONAL): (S.PROCEEDING, (A.PASS,)),
    (S.PROCEEDING, I.SUCCESS): (S.ACCEPTED, (A.START_M, A.PASS)),
    (S.PROCEEDING, I.FAILURE): (S.COMPLETED, (A.START_D, A.ACK, A.PASS)),
    # Not in the figure: a cancelled INVITE whose final response never comes is given up after 64·T1 (9.1).
    (S.PROCEEDING, I.TIMER_B): (S.TERMINATED, (A.TIMEOUT,)),
    (S.PROCEEDING, I.TRANSPORT_ERROR): (S.PROCEEDING, ()),
    (S.COMPLETED, I.PROVISIONAL): (S.COMPLETED, ()),
    (S.COMPLETED, I.SUCCESS): (S.COMPLETED, ()),
    (S.COMPLETED, I.FAILURE): (S.COMPLETED, (A.ACK,)),
    (S.COMPLETED, I.TIMER_D): (S.TERMINATED, ()),
    # The figure tells the user of a failed ACK; the user has had its final answer and nothing to do about it.
    (S.COMPLETED, I.TRANSPORT_ERROR): (S.TERMINATED, ()),
    (S.ACCEPTED, I.PROVISIONAL): (S.ACCEPTED, ()),
    (S.ACCEPTED, I.SUCCESS): (S.ACCEPTED, (A.PASS,)),
    (S.ACCEPTED, I.FAILURE): (S.ACCEPTED, ()),
    (S.ACCEPTED, I.TIMER_M): (S.TERMINATED, ()),
    (S.ACCEPTED, I.TRANSPORT_ERROR): (S.ACCEPTED, ()),
}


class InviteClient(ClientTransaction):
    """An INVITE of ours. 2xx responses are the user's to acknowledge; all others are acknowledged here."""

    __slots__ = ("accepted_tag", "request", "via")

    def __init__(
        self,
        layer: Layer,
        key: str,
        flow: Flow,
        request: OutgoingRequest,
        via: str,
        data: bytes,
        user: ClientUser,
        now: float,
    ) -> None:
        """`data` is the request with that Via."""
        super().__init__(layer, key, flow, data, user, now)
        self.request = request
        self.via = via
        self.accepted_tag = ""  # of the last 2xx

    def receive(self, response: Response, now: float) -> None:
        status = response.status
        if status < 200:
            self._step(PROVISIONAL, response, now)
        elif status < 300:
            self.accepted_tag = response.to_tag
            self._step(SUCCESS, response, now)
        else:
            self._step(FAILURE, response, now)

    def repeats(self, response: Response) -> bool:
        """A 2xx with the tag of the one before; another tag is another branch of a fork (13.2.2.4)."""
        if response.status < 200:
            return False
        if self.state == ACCEPTED:
            return response.status < 300 and response.to_tag == self.accepted_tag
        return self.state == COMPLETED

    def transport_failed(self, now: float) -> None:
        self._step(TRANSPORT_ERROR, None, now)

    def fall_back(self, way: Fallback, now: float) -> None:
        self.via = way.via
        super().fall_back(way, now)

    def expect_end(self, now: float) -> None:
        """It has been cancelled: waits 64·T1 more for its final response (9.1), if that has not come yet."""
        if self.state == PROCEEDING:
            self.end_after(now, self.layer.timers.transaction)

    def wake(self, now: float) -> None:
        if now >= self.end_at:
            if self.state <= PROCEEDING:
                self._step(TIMER_B, None, now)
            elif self.state == COMPLETED:
                self._step(TIMER_D, None, now)
            else:
                self._step(TIMER_M, None, now)
        elif now >= self.repeat_at:
            self._step(TIMER_A, None, now)
        else:
            self.arm()

    def _step(self, given: Input, response: Response | None, now: float) -> None:
        row = TABLE.get((self.state, given))
        if row is None:
            raise IllegalInput(f"INVITE client: {State(self.state).name}, {given.name}")
        self.state, actions = row
        user = self.user
        if self.state == TERMINATED:
            self.forget()
        for action in actions:
            if action is PASS:
                assert response is not None
                user.on_response(response, now)
            elif action is STOP:
                self.disarm()
                self.sent = b""
            elif action is START_M:
                self.end_after(now, self.layer.timers.transaction)
                # Neither CANCEL nor ACK will be built of these any more; thousands of calls wait for timer M.
                self.sent = b""
                self.via = self.request.headers = self.request.body = ""
            elif action is START_D:
                # Over TCP nothing is repeated, so nothing has to be waited for (17.1.1.2: timer D is zero).
                self.end_after(now, 0.0 if self.flow.reliable else self.layer.timers.transaction)
                self.sent = b""
            elif action is ACK:
                assert response is not None
                self._acknowledge(response)
            elif action is REPEAT:
                self.retransmit()
                self.repeat_after(now, 2 * self.interval)
            elif action is TIMEOUT:
                user.on_timeout(now)
            else:
                user.on_transport_error(now)

    def _acknowledge(self, response: Response) -> None:
        if self.sent:
            self.retransmit()
        else:
            self.transmit(self.request.accompanying("ACK", response.value("to")).render(self.via))
