"""The caller's side of a call that is being set up: the engine is the UAS (RFC 3261 section 13.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from engine.calls.board import Board
from engine.calls.capabilities import (
    ALLOW_LINES,
    CROSSING_OPTIONS,
    RELIABLE,
    REQUIRE_LINES,
    SUPPORTED_LINES,
    methods,
    required,
)
from engine.calls.events import CallEvent, Event
from engine.calls.header_lines import RETRY_SOON, content_type, early_media_line, reason_line
from engine.calls.hiding import Crossing
from engine.calls.leg import MOST_EARLY_DIALOGS, Leg
from engine.calls.reliable import EarlyDialog, Progress, Reliable
from engine.calls.session import SessionOrigin
from engine.calls.session_timer import terms_of
from engine.sip.dialog import Dialog, answering_dialog
from engine.sip.grammar import number_up_to
from engine.sip.message import Request
from engine.sip.transactions.transaction import ServerTransaction

if TYPE_CHECKING:
    from engine.calls.call import Call

_MOST_QUEUED: Final = 16  # provisional responses behind one that waits for its PRACK
_NO_PROGRESS: Final = Progress(0, "", Crossing(), 0)


class CallerLeg(Leg):
    """Each early dialog of the callee's side has its own To tag here (RFC 3261 12.1.1), and its own o= line."""

    __slots__ = (
        "_early",
        "_last_progress",
        "_late",
        "_record_routes",
        "_requires_reliable",
        "_terms",
        "invite_cseq",
        "transaction",
    )

    def __init__(self, board: Board, call: Call, transaction: ServerTransaction, request: Request) -> None:
        """Raises MalformedHeader where the INVITE has no Contact to talk to."""
        super().__init__(board, call, transaction.flow)
        dialog = answering_dialog(request, self.tag, transaction.flow)
        self.dialog = dialog
        self.transaction = transaction
        self.invite_cseq = request.cseq
        self.methods = methods(request)
        self._terms = terms_of(request, board.settings)
        self._requires_reliable = bool(required(request) & RELIABLE)
        self._record_routes = "".join([f"Record-Route: {route}\r\n" for route in dialog.routes])
        self._early: dict[str, EarlyDialog] = {}
        self._late: Reliable | None = None  # of the dialog that was answered, before its PRACK came
        self._last_progress = _NO_PROGRESS
        transaction.user = self
        transaction.tag = self.tag
        board.legs[self.tag] = self

    @property
    def is_caller(self) -> bool:
        return True

    def holds_answer(self, early: str) -> bool:
        """True while a reliable provisional response with a session waits for its PRACK in that early dialog, or for
        its turn: no 2xx before that (RFC 3262 section 3)."""
        known = self._early.get(early)
        if known is None or known.waiting is None:
            return False
        return known.waiting.with_session or any(
            later.rseq and later.crossing.session for later in known.queue
        )

    def settled(self, early: str) -> bool:
        """True when the first offer has been answered in this early dialog, or after the answer."""
        known = self._early.get(early)
        return not early or (known is not None and known.settled)

    def dialog_for(self, early: str) -> Dialog:
        """The dialog that an answer of the callee's `early` makes of its own."""
        return self._early_dialog(early).dialog

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
            for name, early in self._early.items():
                if early.dialog.local_tag == request.to_tag:
                    self.on_aside(transaction, request, early.dialog, name, now)
                    return
            if request.method == "OPTIONS":
                self.on_aside(transaction, request, dialog, "", now)
            else:
                endpoint.respond(transaction, 481, now)  # no answer has made a dialog yet (12.1)

    def on_prack(
        self, transaction: ServerTransaction, request: Request, crossing: Crossing, early: str, now: float
    ) -> None:
        """The caller has a reliable provisional response (RFC 3262 3); the callee's side hears of it, if it sent that
        one reliably itself."""
        known = self._early.get(early)
        waiting = self._late if known is None else known.waiting
        words = request.value("rack").split()
        if waiting is None or len(words) != 3 or words[2] != "INVITE" or (
            number_up_to(words[0], 2**32 - 1) != waiting.sequence
            or number_up_to(words[1], 2**31 - 1) != self.invite_cseq
        ):  # fmt: skip
            self.board.endpoint.respond(transaction, 481 if len(words) == 3 else 400, now)
            return
        waiting.stop()
        self._late = None
        if waiting.rseq:
            self.call.converse().acknowledged(self, transaction, crossing, early, waiting.rseq, now)
        else:
            self.board.endpoint.respond(transaction, 200, now)
        if known is not None:
            known.waiting = None
            if crossing.session:
                known.settled = True
            self._send_queued(known, now)
            self.call.release_answer(now)

    # --- out ---

    def trying(self, request: Request, now: float) -> None:
        """Sends 100, with the Timestamp of the request if it brought one (8.2.6.1)."""
        timestamp = request.value("timestamp")
        self.board.endpoint.respond(
            self.transaction, 100, now, headers=f"Timestamp: {timestamp}\r\n" if timestamp else ""
        )

    def progress(self, progress: Progress, now: float) -> None:
        """Sends a provisional response in the early dialog that stands for the callee's `early`; reliably, where the
        callee's side did so or the caller wants nothing else, and then not before the PRACK to the one before."""
        known = self._early_dialog(progress.early)
        self._last_progress = progress
        if not (progress.rseq or self._requires_reliable):
            self._send(progress, known, "", now)
        elif known.waiting is None:
            self._send_reliably(progress, known, now)
        elif len(known.queue) < _MOST_QUEUED:
            known.queue.append(progress)

    def remind(self, now: float) -> None:
        """Repeats the last provisional response, so that no proxy on the way gives up (RFC 3261 13.3.1.1). One that
        was acknowledged is not made twice: what is repeated then is the status alone."""
        last = self._last_progress
        if last.rseq:
            last = Progress(last.status, last.early, Crossing(abilities=last.crossing.abilities), 0)
        if last.status:
            self.progress(last, now)

    def answer(self, early: str, crossing: Crossing, now: float) -> None:
        """Sends the 2xx; the early dialog that stands for `early` becomes the dialog, all others end."""
        known = self._early_dialog(early)
        legs = self.board.legs
        for other in self._early.values():
            if other.waiting is not None:
                other.waiting.stop()  # repeated no more, but its PRACK may come (RFC 3262 3)
            if other is not known:
                legs.pop(other.dialog.local_tag, None)
        self._late = known.waiting
        if known.dialog is not self.dialog:
            legs.pop(self.tag, None)
            self.dialog = known.dialog
            self.tag = known.dialog.local_tag
        self.origin = known.origin
        self._early = {}
        self.transaction.user = None
        self.run_timer(self._terms.timer, now)
        routes, self._record_routes = self._record_routes, ""
        body = self.origin.write(crossing.session)
        self.accept(
            self.transaction, self.tag, body, self.invite_cseq, self.call, now, f"{routes}{self._terms.lines}",
            crossing.abilities,
        )  # fmt: skip

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
        for early in self._early.values():
            if early.waiting is not None:
                early.waiting.stop()
            self.board.legs.pop(early.dialog.local_tag, None)
        self._early = {}
        self._late = None  # it knows this leg
        super().close()

    # --- within ---

    def dialog_of(self, early: str) -> tuple[Dialog, SessionOrigin]:
        known = self._early.get(early)
        return super().dialog_of("") if known is None else (known.dialog, known.origin)

    def _send(self, progress: Progress, known: EarlyDialog, lines: str, now: float) -> bytes:
        crossing = progress.crossing
        abilities = crossing.abilities
        body = known.origin.write(crossing.session)
        return self.board.endpoint.respond(
            self.transaction,
            progress.status,
            now,
            tag=known.dialog.local_tag,
            headers=f"{self._record_routes}{self.contact}{ALLOW_LINES[abilities.methods]}"
            f"{SUPPORTED_LINES[abilities.supported]}{lines}{early_media_line(abilities)}{content_type(body)}",
            body=body,
        )

    def _send_reliably(self, progress: Progress, known: EarlyDialog, now: float) -> None:
        # The first is random (RFC 3262 3); 28 bits leave room to count.
        known.sequence += 1
        if known.sequence == 1:
            known.sequence += int(self.board.identifiers.token()[:7], 16)
        wanted = progress.crossing.abilities.required & CROSSING_OPTIONS | RELIABLE
        data = self._send(progress, known, f"{REQUIRE_LINES[wanted]}RSeq: {known.sequence}\r\n", now)
        with_session = bool(progress.crossing.session)
        if with_session and not self.call.offer_is_late:
            known.settled = True
        known.waiting = Reliable(
            self, data, self.transaction.flow, known.sequence, progress.rseq, with_session, now
        )

    def _send_queued(self, known: EarlyDialog, now: float) -> None:
        if known.queue and known.waiting is None:
            self._send_reliably(known.queue.pop(0), known, now)

    def _early_dialog(self, early: str) -> EarlyDialog:
        known = self._early.get(early)
        if known is not None:
            return known
        if len(self._early) >= MOST_EARLY_DIALOGS:
            return next(reversed(self._early.values()))
        dialog = self._confirmed()
        if not self._early:
            known = EarlyDialog(dialog, self.origin)
        else:
            tag = self.board.identifiers.token()
            dialog = replace(
                dialog, local=f"{self.transaction.to};tag={tag}", local_tag=tag, local_cseq=0,
                remote_cseq=self.invite_cseq,
            )  # fmt: skip
            known = EarlyDialog(dialog, self.board.origin())
            self.board.legs[tag] = self
        self._early[early] = known
        return known
