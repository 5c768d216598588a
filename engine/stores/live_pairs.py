"""Who may dial what, over all live bindings: the rule that keeps strangers apart.

One (700 number, real number that may dial it) belongs to at most one live binding, and the X of an AX
belongs to nobody else at all.
"""

from __future__ import annotations

from engine.numbering.binding import Model, NumberBinding


class LivePairs:
    """Collects the pairs of live bindings, each under the line of the table that it stands on."""

    __slots__ = ("_alone", "_lines", "_numbers")

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}  # 700 number and real number, one after the other
        self._numbers: dict[str, int] = {}  # the first line with this 700 number as its x or y
        self._alone: dict[str, int] = {}  # the first AX on this 700 number

    def claim(self, binding: NumberBinding, line: int) -> list[tuple[str, str]]:
        """Enter a live binding; what it collides with, as (column, reason naming the earlier line).

        A binding that collides is entered too: of three that want one pair, the third collides as well.
        """
        x = binding.x.digits
        if binding.model == Model.AX:
            conflicts = self._claim_alone(x, line)
        else:
            y = x if binding.y is None else binding.y.digits
            conflicts = self._share("x", x, line)
            if y != x:
                conflicts += self._share("y", y, line)
            for place, member in enumerate(binding.a, 1):
                which = "" if len(binding.a) == 1 else f"number {place} of the group "
                conflicts += self._claim_pair("a", which, x, member.digits, line)
            if binding.b is not None:
                conflicts += self._claim_pair("b", "", y, binding.b.digits, line)
        return conflicts

    def _claim_alone(self, x: str, line: int) -> list[tuple[str, str]]:
        self._alone.setdefault(x, line)
        first = self._numbers.setdefault(x, line)
        if first == line:
            return []
        return [("x", f"AX takes {x} alone, but line {first} stands on it too")]

    def _share(self, column: str, number: str, line: int) -> list[tuple[str, str]]:
        self._numbers.setdefault(number, line)
        alone = self._alone.get(number)
        if alone is None:
            return []
        return [(column, f"the AX of line {alone} takes {number} alone")]

    def _claim_pair(
        self, column: str, which: str, number: str, real: str, line: int
    ) -> list[tuple[str, str]]:
        first = self._lines.setdefault(number + real, line)
        if first == line:
            return []
        return [(column, f"{which}may dial {number} already by line {first}: one number, one live binding")]
