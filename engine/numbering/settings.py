"""The `[numbering]` table."""

from dataclasses import dataclass, field

from engine.numbering.numbers import MASKED_LENGTH, MASKED_PREFIX


@dataclass(slots=True)
class NumberingSettings:
    """`own_prefixes`: the 700 prefixes whose numbers are looked up here. A 700 number below none of these and
    of no trunk is bound to nobody."""

    own_prefixes: list[str] = field(default_factory=lambda: [MASKED_PREFIX])

    def check(self) -> list[tuple[str, str]]:
        """Every problem, as (key below `numbering`, what is wrong)."""
        problems: list[tuple[str, str]] = []
        if not self.own_prefixes:
            problems.append(("own_prefixes", "must name at least one prefix"))
        for index, prefix in enumerate(self.own_prefixes):
            what = masked_prefix_fault(prefix)
            if what:
                problems.append((f"own_prefixes[{index}]", what))
        return problems


def masked_prefix_fault(prefix: str) -> str:
    """What keeps `prefix` from being the beginning of 700 numbers, "" when nothing does."""
    if not prefix.isdigit() or not prefix.isascii() or not prefix.startswith(MASKED_PREFIX):
        return f'"{prefix}" must be digits beginning with {MASKED_PREFIX}'
    if len(prefix) > MASKED_LENGTH:
        return f'"{prefix}" is longer than a 700 number ({MASKED_LENGTH} digits)'
    return ""
