"""Requests within a dialog that the far end challenges: sent once more with credentials (RFC 3261 22.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from engine.sip.dialog import Dialog
from engine.sip.message import Response
from engine.sip.outgoing import OutgoingRequest
from engine.sip.transactions.transaction import ClientUser

if TYPE_CHECKING:
    from engine.calls.leg import Leg

CHALLENGES: Final = frozenset((401, 407))
_NAMES: Final = ("Authorization:", "Proxy-Authorization:")


class Challenged:
    """Hears the answer to a request other than INVITE first. The second answer is the asker's in any case."""

    __slots__ = ("_dialog", "_leg", "_sent", "_user")

    def __init__(self, leg: Leg, dialog: Dialog, sent: OutgoingRequest, user: ClientUser) -> None:
        self._leg = leg
        self._dialog = dialog
        self._sent = sent
        self._user = user

    def on_response(self, response: Response, now: float) -> None:
        leg = self._leg
        if response.status not in CHALLENGES or not leg.takes_up(response):
            self._user.on_response(response, now)
            return
        request = anew(self._sent, self._dialog)
        leg.authorize(request)
        leg.board.endpoint.send_request(request, self._dialog.target_flow, self._user, now)

    def on_timeout(self, now: float) -> None:
        self._user.on_timeout(now)

    def on_transport_error(self, now: float) -> None:
        self._user.on_transport_error(now)


def anew(sent: OutgoingRequest, dialog: Dialog) -> OutgoingRequest:
    """The same request as the next one of its dialog, without credentials."""
    dialog.local_cseq += 1
    return replace(sent, cseq=dialog.local_cseq, headers=without_credentials(sent.headers))


def without_credentials(headers: str) -> str:
    return "".join([line for line in headers.splitlines(keepends=True) if not line.startswith(_NAMES)])
