"""Timer values of RFC 3261 (table 4) and the one wheel that all timers of the core turn on."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

NEVER: Final = 1e18  # seconds; later than any clock gets
_HORIZON: Final = (
    4096  # slots; with a tick of 10 ms more than 64·T1, so that only calls are looked at between
)
_ROUNDING: Final = 1e-6  # seconds; a slot's own time must count as reached although 57 / 100 * 100 < 57


class TimerValues:
    """Durations in seconds, named as in RFC 3261 appendix A and RFC 6026; all follow from T1, T2 and T4.

    transaction  64·T1: timers B, D, F, H, J, L and M, and how long a 2xx waits for its ACK. D is at least 32 s by
                 17.1.1.2, which 64·T1 is at the default T1; a lab's shorter T1 shortens it too.
    give_up      50·T1: when a relayed non-INVITE request is given up, so that its own answer still arrives before
                 the asker's timer F (RFC 4320)
    """

    __slots__ = ("give_up", "t1", "t2", "t4", "transaction")

    def __init__(self, t1: float = 0.5, t2: float = 4.0, t4: float = 5.0) -> None:
        self.t1 = t1
        self.t2 = t2
        self.t4 = t4
        self.transaction = 64 * t1
        self.give_up = 50 * t1


class Timed:
    """Something with at most one place on the wheel: it stands at its earliest deadline.

    `deadline` is in seconds of the core's clock, NEVER for none; `wake` is called once it has passed.
    """

    __slots__ = ("deadline", "slot")

    def __init__(self) -> None:
        self.deadline: float = NEVER
        self.slot: int = 0

    def wake(self, now: float) -> None:
        raise AssertionError("a Timed says what it does when it wakes")


class TimerWheel:
    """Deadlines in slots of one tick. Moving a deadline later or setting it to NEVER costs nothing: the entry is
    looked at again when its old slot comes round. Until then the wheel holds on to it; `drop` lets go at once.

    Deadlines beyond the horizon stand at it until it comes round, so that there are never more slots than it has.
    Those of the past stand in the next slot, so that nothing which goes on scheduling itself keeps others out.
    """

    __slots__ = ("_farthest", "_heap", "_nearest", "_per_second", "_slots")

    def __init__(self, tick: float = 0.01) -> None:
        self._per_second: float = 1.0 / tick
        self._slots: dict[int, list[Timed]] = {}
        self._heap: list[int] = []  # the keys of _slots
        self._nearest = 1  # the next slot and the horizon's, once the time is known
        self._farthest = 1 << 62

    def schedule(self, timed: Timed, deadline: float) -> None:
        """Sets the deadline of `timed`; it wakes at most one tick after it."""
        timed.deadline = deadline
        if deadline >= NEVER:
            return
        slot = int(deadline * self._per_second) + 1
        standing = timed.slot
        if 0 < standing <= slot:
            return
        if slot < self._nearest:
            slot = self._nearest
        elif slot > self._farthest:
            slot = self._farthest
        if standing > 0:
            if standing <= slot:
                return
            self._take_out(timed)
        timed.slot = slot
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = [timed]
            heappush(self._heap, slot)
        else:
            waiting.append(timed)

    def drop(self, timed: Timed) -> None:
        """Forgets it: for what is big, or far from its deadline."""
        timed.deadline = NEVER
        if timed.slot > 0:
            self._take_out(timed)
            timed.slot = 0

    def expire(self, now: float) -> None:
        """Wakes everything whose deadline is not after `now`, in order of slots (first come, first served in one).

        What `wake` raises is passed on; what stood behind it wakes with the next call.
        """
        now += _ROUNDING
        current = int(now * self._per_second)
        self._nearest = current + 1
        self._farthest = current + _HORIZON
        heap = self._heap
        while heap and heap[0] <= current:
            slot = heappop(heap)
            waiting = self._slots.pop(slot)
            seen = 0
            try:
                for timed in waiting:
                    seen += 1
                    if timed.slot != slot:
                        continue  # taken out by one that woke before it
                    timed.slot = 0
                    if timed.deadline <= now:
                        timed.deadline = NEVER
                        timed.wake(now)
                    elif timed.deadline < NEVER:
                        self.schedule(timed, timed.deadline)
            finally:
                if seen < len(waiting):
                    self._put_back(slot, waiting[seen:])

    @property
    def next_deadline(self) -> float:
        """When `expire` next has something to look at; NEVER when nothing waits."""
        heap = self._heap
        while heap and not self._slots[heap[0]]:
            del self._slots[heappop(heap)]
        return heap[0] / self._per_second if heap else NEVER

    def _take_out(self, timed: Timed) -> None:
        waiting = self._slots.get(timed.slot)
        if waiting is not None and timed in waiting:
            waiting.remove(timed)  # else its slot is being worked off, and passes it over

    def _put_back(self, slot: int, rest: list[Timed]) -> None:
        waiting = self._slots.get(slot)
        if waiting is None:
            self._slots[slot] = rest
            heappush(self._heap, slot)
        else:
            waiting += rest
