"""The caller's side of a call that is being set up: the engine is the UAS (RFC 3261 section 13.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.calls.board import Board
from engine.calls.events import CallEvent, Event
from engine.calls.leg import ALLOW, MOST_EARLY_DIALOGS, Leg, content_type, reason_line
from engine.calls.session import SessionOrigin
from engine.sip.dialog import answering_dialog
from engine.sip.message import Request
from engine.sip.transactions.transaction import ServerTransaction

if TYPE_CHECKING:
    from engine.calls.call import Call

RETRY_SOON = "Retry-After: 5\r\n"  # RFC 3261 14.2: 0 to 10 s


class CallerLeg(Leg):
    """Each early dialog of the callee's side has its own To tag here (RFC 3261 12.1.1), and its own o= line."""

    __slots__ = ("_early", "_last_progress", "_record_routes", "transaction")

    def __init__(self, board: Board, call: Call, transaction: ServerTransaction, request: Request) -> None:
        """Raises MalformedHeader where the INVITE has no Contact to talk to."""
        super().__init__(board, call, transaction.flow)
        dialog = answering_dialog(request, self.tag, transaction.flow)
        self.dialog = dialog
        self.transaction = transaction
        self._record_routes = "".join([f"Record-Route: {route}\r\n" for route in dialog.routes])
        self._early: dict[str, tuple[str, SessionOrigin]] = {}
        self._last_progress: tuple[int, str, str] = (0, "", "")
        transaction.user = self
        transaction.tag = self.tag
        board.legs[self.tag] = self

    @property
    def is_caller(self) -> bool:
        return True

    # --- in ---

    def on_cancel(self, request: Request, now: float) -> None:
        """The caller gave up before any final answer."""
        self.call.handle(CallEvent(Event.GIVEN_UP, by_caller=True), now)

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if self.transaction.answered:
            super().on_request(transaction, request, now)
            return
        dialog = self._confirmed()
        endpoint = self.board.endpoint
        if dialog.call_id != request.call_id or dialog.remote_tag != request.from_tag:
            endpoint.respond(transaction, 481, now)
        elif request.method == "BYE":
            # The caller may end an early dialog so (RFC 3261 15); it has no other wish than with a CANCEL.
            endpoint.respond(transaction, 200, now)
            self.call.handle(CallEvent(Event.GIVEN_UP, by_caller=True), now)
        elif request.method == "INVITE":
            endpoint.respond(transaction, 500, now, headers=RETRY_SOON)  # the first is still open (14.2)
        else:
            super().on_request(transaction, request, now)

    # --- out ---

    def trying(self, request: Request, now: float) -> None:
        """Sends 100, with the Timestamp of the request if it brought one (8.2.6.1)."""
        timestamp = request.value("timestamp")
        self.board.endpoint.respond(
            self.transaction, 100, now, headers=f"Timestamp: {timestamp}\r\n" if timestamp else ""
        )

    def progress(self, status: int, early: str, session: str, now: float) -> None:
        """Sends a provisional response in the early dialog that stands for the callee's `early`."""
        tag, origin = self._early_dialog(early)
        self._last_progress = (status, early, session)
        body = origin.write(session)
        self.board.endpoint.respond(
            self.transaction,
            status,
            now,
            tag=tag,
            headers=f"{self._record_routes}{self.contact}{ALLOW}{content_type(body)}",
            body=body,
        )

    def remind(self, now: float) -> None:
        """Repeats the last provisional response, so that no proxy on the way gives up (RFC 3261 13.3.1.1)."""
        status, early, session = self._last_progress
        if status:
            self.progress(status, early, session, now)

    def answer(self, early: str, session: str, now: float) -> None:
        """Sends the 2xx; the early dialog that stands for `early` becomes the dialog, all others end."""
        tag, origin = self._early_dialog(early)
        dialog = self._confirmed()
        legs = self.board.legs
        for other, _ in self._early.values():
            if other != tag:
                legs.pop(other, None)
        if tag != self.tag:
            dialog.local = f"{self.transaction.to};tag={tag}"
            dialog.local_tag = tag
            legs.pop(self.tag, None)
            self.tag = tag
        self.origin = origin
        self._early = {}
        self.transaction.user = None
        routes, self._record_routes = self._record_routes, ""
        body = origin.write(session)
        self.accept(self.transaction, tag, body, dialog.remote_cseq, self.call, now, routes)

    def fail(self, status: int, cause: int, retry_after: int, now: float) -> None:
        """Sends the final failure; the leg is over."""
        retry = f"Retry-After: {retry_after}\r\n" if retry_after else ""
        self.transaction.user = None
        self.board.endpoint.respond(
            self.transaction, status, now, tag=self.tag, headers=f"{retry}{reason_line(cause)}"
        )
        self.close()

    def break_off(self, status: int, cause: int, now: float) -> None:
        if self.transaction.answered:
            self.hang_up(cause, now)
        else:
            self.fail(status, cause, 0, now)

    def close(self) -> None:
        for other, _ in self._early.values():
            self.board.legs.pop(other, None)
        super().close()

    # --- within ---

    def _early_dialog(self, early: str) -> tuple[str, SessionOrigin]:
        known = self._early.get(early)
        if known is not None:
            return known
        if len(self._early) >= MOST_EARLY_DIALOGS:
            return next(reversed(self._early.values()))
        if not self._early:
            known = (self.tag, self.origin)
        else:
            known = (self.board.identifiers.token(), self.board.origin())
            self.board.legs[known[0]] = self
        self._early[early] = known
        return known
