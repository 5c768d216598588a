"""Whose is a 700 number? The one rule, for who decides calls and for who takes bindings in: a binding on a
number that calls never ask for would be accepted and could never be dialled."""

from collections.abc import Iterable

from engine.numbering.numbers import MASKED_PREFIX, MaskedNumber
from engine.routing.settings import TrunkSettings, prefix_digits

OURS = ""


class NumberPlan:
    """The longest prefix decides, of `own_prefixes` and of the trunks' 700 prefixes together.

    On a tie the number is ours, because sending our own numbers away would show callers to another carrier. A
    disabled trunk keeps its numbers, and of trunks with the same prefix the first one gives its name.
    """

    def __init__(self, own_prefixes: Iterable[str], carriers: Iterable[tuple[str, str]]) -> None:
        """`carriers`: (prefix in digits, trunk) of every trunk prefix; those of real numbers say nothing here."""
        self.own_prefixes: tuple[str, ...] = tuple(own_prefixes)
        self.carriers: tuple[tuple[str, str], ...] = tuple(
            (prefix, trunk) for prefix, trunk in carriers if prefix.startswith(MASKED_PREFIX)
        )
        self._answers = {prefix: prefix for prefix, _ in self.carriers}
        for prefix in self.own_prefixes:
            self._answers[prefix] = OURS
        self._lengths = sorted({len(prefix) for prefix in self._answers}, reverse=True)

    @staticmethod
    def of(own_prefixes: Iterable[str], trunks: Iterable[TrunkSettings]) -> "NumberPlan":
        """The plan of a configuration."""
        return NumberPlan(
            own_prefixes,
            [(prefix_digits(prefix), trunk.name) for trunk in trunks for prefix in trunk.prefixes],
        )

    def carrier_prefix(self, number: MaskedNumber) -> str | None:
        """The trunks' prefix that `number` falls below, OURS, or None when it is nobody's."""
        digits = number.digits
        for length in self._lengths:
            answer = self._answers.get(digits[:length])
            if answer is not None:
                return answer
        return None

    def fault(self, number: MaskedNumber) -> str:
        """What keeps `number` from being bound here, "" when nothing does."""
        below = self.carrier_prefix(number)
        if below is None:
            return "is outside numbering.own_prefixes"
        for prefix, trunk in self.carriers:
            if prefix == below:
                return f"belongs to trunk {trunk} (trunks.{trunk}.prefixes)"
        return ""
