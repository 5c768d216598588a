"""Session timers (RFC 4028), each leg's own: who refreshes, how often, and when the silence has been too long."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from engine.calls.capabilities import TIMER, supported
from engine.calls.settings import CallSettings
from engine.sip.message import Message, Request
from engine.sip.timers import NEVER

_EXPIRES: Final = re.compile(r"([0-9]{1,9})[ \t]*+((?:;.*)?)", re.DOTALL)
_REFRESHER: Final = re.compile(r";[ \t]*+refresher[ \t]*+=[ \t]*+(uac|uas)[ \t]*+(?:;|\Z)", re.IGNORECASE)
_LONGEST_S: Final = 7 * 86_400
_SAFETY_S: Final = (
    32.0  # section 10: how long before the end who waits for a refresh hangs up, a third at most
)


@dataclass(slots=True)
class SessionTimer:
    """`interval` s; `ours` where the engine refreshes; `due`: when that, or a hang-up, is due; `over_at`: when the
    session is over without a refresh (both monotonic seconds)."""

    interval: int
    ours: bool
    due: float = NEVER
    over_at: float = NEVER

    def restart(self, now: float) -> None:
        """The session has been set up or refreshed."""
        interval = self.interval
        self.over_at = now + interval
        if self.ours:
            self.due = now + interval / 2
        else:
            self.due = self.over_at - min(_SAFETY_S, interval / 3)

    def postpone(self, until: float) -> None:
        """A refresh of ours has to be tried again at `until`, while there is time."""
        self.due = until if until < self.over_at else self.over_at


@dataclass(slots=True)
class Terms:
    """What a request of theirs was told: `lines` for its 2xx, and the timer that runs from then on, None for
    none."""

    lines: str
    timer: SessionTimer | None


NO_TERMS: Final = Terms("", None)


def expires_of(message: Message) -> tuple[int, str]:
    """Seconds and refresher ("uac", "uas", "" when unsaid) of Session-Expires; (0, "") where it is absent or
    odd."""
    if "session-expires" not in message.fields:
        return 0, ""
    match = _EXPIRES.fullmatch(message.value("session-expires"))
    if match is None:
        return 0, ""
    refresher = _REFRESHER.search(match[2])
    return min(int(match[1]), _LONGEST_S), "" if refresher is None else refresher[1].lower()


def shortest_of(message: Message) -> int:
    """Seconds of Min-SE; 0 where it is absent or odd."""
    match = _EXPIRES.fullmatch(message.value("min-se"))
    return 0 if match is None else min(int(match[1]), _LONGEST_S)


def too_short(request: Request, settings: CallSettings) -> bool:
    """True for an interval that is to be refused with 422 (section 9): only who knows timers can do better."""
    seconds, _ = expires_of(request)
    return 0 < seconds < settings.min_session_expires_s and bool(supported(request) & TIMER)


def terms_of(request: Request, settings: CallSettings) -> Terms:
    """How an INVITE or UPDATE of theirs is answered (section 9): their interval, shortened to ours where they let
    us; they refresh if they can and said nothing else."""
    seconds, refresher = expires_of(request)
    ours = settings.session_expires_s
    if seconds == 0:
        seconds = max(ours, shortest_of(request)) if ours else 0
        if seconds == 0:
            return NO_TERMS
    elif 0 < ours < seconds:
        seconds = max(ours, shortest_of(request))
    if not supported(request) & TIMER:
        refresher = "uas"
    elif not refresher:
        refresher = "uac"
    require = "Require: timer\r\n" if refresher == "uac" else ""
    return Terms(
        f"Session-Expires: {seconds};refresher={refresher}\r\n{require}",
        SessionTimer(seconds, refresher == "uas"),
    )


def wish(timer: SessionTimer | None, interval: int, shortest: int) -> str:
    """The lines of an INVITE or UPDATE of ours: who refreshes stays as it is, and is left to the far end at first.
    `shortest` is what a 422 has taught (section 7.4), 0 for none. "" for an interval of 0."""
    if interval == 0:
        return ""
    refresher = "" if timer is None else ";refresher=uac" if timer.ours else ";refresher=uas"
    minimum = f"Min-SE: {shortest}\r\n" if shortest else ""
    return f"Session-Expires: {interval}{refresher}\r\n{minimum}"


def agreed(response: Message, interval: int) -> SessionTimer | None:
    """The timer after a 2xx to an INVITE or UPDATE of ours that wished for `interval`. A far end without timers is
    refreshed by the engine, which so learns when it is gone (section 7.2)."""
    seconds, refresher = expires_of(response)
    if seconds:
        return SessionTimer(seconds, refresher != "uas")
    return SessionTimer(interval, True) if interval else None
