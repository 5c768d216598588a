"""Whether a next hop can be used: what its probes and its calls said of it, with hysteresis.

A hop counts as up until probes say otherwise. `down_after` failed probes on end take it down, `up_after` answered
ones bring it back; in between nothing changes, so that one lost packet moves no traffic.

Calls say less. One that got through proves the hop alive, whatever probes say: some peers answer no OPTIONS. One
that failed proves nothing, since a gateway's 503 may be about that one number: it only makes the next probe come
at once.
"""

from collections.abc import Callable

DOWN_AFTER = 3
UP_AFTER = 2
ALIVE_UNLESS = (408, 503)
"""Answers to a probe that say the hop cannot be used; every other final answer comes from somebody who works."""


class HopHealth:
    """One next hop. Times are seconds of the core's clock; 0: never.

    up           False once probes have failed `down_after` times on end
    since        when `up` last changed
    heard_at     when it last did something for a call
    said         what the last probe got: a status, "timeout", "transport", "" before the first
    on_suspicion called when a call has failed there; set by who probes
    """

    __slots__ = (
        *("_answered", "_failed", "_failing_since", "down_after", "heard_at", "on_suspicion", "said"),
        *("since", "up", "up_after"),
    )

    def __init__(self, down_after: int = DOWN_AFTER, up_after: int = UP_AFTER) -> None:
        self.down_after = down_after
        self.up_after = up_after
        self.up = True
        self.since = 0.0
        self.heard_at = 0.0
        self.said = ""
        self.on_suspicion: Callable[[float], None] = unsuspected
        self._failed = 0
        self._answered = 0
        self._failing_since = 0.0

    @property
    def unsettled(self) -> bool:
        """True while the last probes speak against what it counts as: then they had better come quicker."""
        return self._failed > 0 if self.up else self._answered > 0

    def answered(self, status: int, now: float) -> bool:
        """A final answer to a probe; True when that changed whether it is up."""
        if status in ALIVE_UNLESS:
            return self.failed(str(status), now)
        self.said = str(status)
        self._failed = 0
        if self.up:
            return False
        self._answered += 1
        return self._answered >= self.up_after and self._turn(True, now)

    def failed(self, how: str, now: float) -> bool:
        """A probe in vain; True when that changed whether it is up."""
        self.said = how
        self._answered = 0
        if not self.up:
            return False
        if not self._failed or self.heard_at > self._failing_since:
            self._failed = 0
            self._failing_since = now
        self._failed += 1
        return self._failed >= self.down_after and self._turn(False, now)

    def trust(self, now: float) -> bool:
        """Nobody probes it any more: up, until something is known again. True when that changed it."""
        self.said = ""
        self.on_suspicion = unsuspected
        return not self.up and self._turn(True, now)

    def _turn(self, up: bool, now: float) -> bool:
        self.up = up
        self.since = now
        self._failed = self._answered = 0
        return True


def unsuspected(now: float) -> None:
    """Of a hop that nobody probes."""
