"""How much a trunk carries in one direction, and whether it may carry more."""


class Load:
    """Calls that are up, and those admitted within the second. Two limits, 0 for none."""

    __slots__ = ("_admitted", "_second", "calls", "max_calls", "max_per_s")

    def __init__(self, max_calls: int = 0, max_per_s: int = 0) -> None:
        self.calls = 0
        self.max_calls = max_calls
        self.max_per_s = max_per_s
        self._second = 0
        self._admitted = 0

    def full(self, utc: float) -> bool:
        """Whether one call more, at `utc` in unix seconds, would be one too many."""
        if self.max_calls and self.calls >= self.max_calls:
            return True
        return self.max_per_s > 0 and self._second == int(utc) and self._admitted >= self.max_per_s

    def begin(self, utc: float) -> None:
        """A call is admitted."""
        self.calls += 1
        if self.max_per_s:
            second = int(utc)
            if second != self._second:
                self._second = second
                self._admitted = 0
            self._admitted += 1

    def end(self) -> None:
        """A call that was admitted has ended."""
        self.calls -= 1
