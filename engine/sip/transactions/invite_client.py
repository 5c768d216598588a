"""The INVITE client transaction: RFC 3261 17.1.1 (figure 5) as corrected by RFC 6026 (figure 4)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from engine.sip.flow import Flow
from engine.sip.message import Response
from engine.sip.outgoing import OutgoingRequest
from engine.sip.timers import NEVER
from engine.sip.transactions.transaction import ClientTransaction, ClientUser, IllegalInput, Layer, Table


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
PASS, ACK, REPEAT, STOP, START_D, START_M, TIMEOUT, ERROR = Action
TERMINATED: Final = State.TERMINATED

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
        user: ClientUser,
        now: float,
    ) -> None:
        super().__init__(layer, key, flow, State.CALLING, user)
        self.request = request
        self.via = via
        self.accepted_tag = ""  # of the last 2xx
        self.transmit(request.render(via))
        self.start_repeating(now)  # timer A
        self.end_after(now, layer.timers.transaction)  # timer B
        self.rearm()

    def receive(self, response: Response, now: float) -> None:
        status = response.status
        if status < 200:
            self._step(Input.PROVISIONAL, response, now)
        elif status < 300:
            self.accepted_tag = response.to_tag
            self._step(Input.SUCCESS, response, now)
        else:
            self._step(Input.FAILURE, response, now)

    def repeats(self, response: Response) -> bool:
        """A 2xx with the tag of the one before; another tag is another branch of a fork (13.2.2.4)."""
        if response.status < 200:
            return False
        if self.state == State.ACCEPTED:
            return response.status < 300 and response.to_tag == self.accepted_tag
        return self.state == State.COMPLETED

    def transport_failed(self, now: float) -> None:
        self._step(Input.TRANSPORT_ERROR, None, now)

    def expect_end(self, now: float) -> None:
        """It has been cancelled: waits 64·T1 more for its final response (9.1), if that has not come yet."""
        if self.state == State.PROCEEDING:
            self.end_after(now, self.layer.timers.transaction)
            self.rearm()

    def wake(self, now: float) -> None:
        if now >= self.end_at:
            if self.state <= State.PROCEEDING:
                self._step(Input.TIMER_B, None, now)
            elif self.state == State.COMPLETED:
                self._step(Input.TIMER_D, None, now)
            else:
                self._step(Input.TIMER_M, None, now)
        elif now >= self.repeat_at:
            self._step(Input.TIMER_A, None, now)
        else:
            self.rearm()

    def _step(self, given: Input, response: Response | None, now: float) -> None:
        row = TABLE.get((self.state, given))
        if row is None:
            raise IllegalInput(f"INVITE client: {State(self.state).name}, {given.name}")
        self.state, actions = row
        user = self.user
        if self.state == TERMINATED:
            self.end_at = self.repeat_at = NEVER
            self.forget()
        try:
            for action in actions:
                if action == PASS:
                    assert response is not None
                    user.on_response(response, now)
                elif action == STOP:
                    self.stop_repeating()
                    self.end_at = NEVER
                    self.sent = b""
                elif action == START_M:
                    self._await_end(now)
                    # Neither CANCEL nor ACK will be built of these any more; thousands of calls wait for timer M.
                    self.via = self.request.headers = self.request.body = ""
                elif action == START_D:
                    # Over TCP nothing is repeated, so nothing has to be waited for (17.1.1.2: timer D is zero).
                    self._await_end(now)
                    if self.flow.reliable:
                        self.end_at = now
                elif action == ACK:
                    assert response is not None
                    self._acknowledge(response)
                elif action == REPEAT:
                    self.retransmit()
                    self.repeat_after(now, 2 * self.interval)
                elif action == TIMEOUT:
                    user.on_timeout(now)
                else:
                    user.on_transport_error(now)
        finally:
            self.rearm()  # also when the user has failed: the machine must still come to its end

    def _await_end(self, now: float) -> None:
        self.stop_repeating()
        self.sent = b""
        self.end_after(now, self.layer.timers.transaction)

    def _acknowledge(self, response: Response) -> None:
        if self.sent:
            self.retransmit()
        else:
            self.transmit(self.request.accompanying("ACK", response.value("to")).render(self.via))
