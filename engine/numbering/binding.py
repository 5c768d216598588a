"""A number binding: which real numbers stand behind which 700 numbers, for how long and which way."""

from dataclasses import dataclass
from enum import IntEnum

from engine.numbering.numbers import MaskedNumber, RealNumber


class Model(IntEnum):
    """The shapes of a binding. The values are written to stores: never renumber."""

    AXB = 1
    AXYB = 2
    AX = 3
    GXB = 4
    GXYB = 5

    @property
    def has_y(self) -> bool:
        """Whether a second 700 number belongs to it."""
        return self == Model.AXYB or self == Model.GXYB

    @property
    def has_group(self) -> bool:
        """Whether the A side may be several numbers."""
        return self == Model.GXB or self == Model.GXYB


class Direction(IntEnum):
    """Who may call whom on a binding (also: who called whom in a call, then never BOTH). Written to
    stores."""

    BOTH = 1
    A_TO_B = 2
    B_TO_A = 3


@dataclass(slots=True)
class NumberBinding:
    """One binding, complete and checked.

    `a`: the A side; one number, of GXB and GXYB the group, whose first is the default. `b`: the B side; of AX
    whom A reaches before anybody has called, may be None. `y`: of AXYB and GXYB only. `expires_at`: unix
    seconds, None for never. `max_duration_s`: longest talk time, 0 for the engine's own limit.
    """

    id: str
    tenant: str
    order_id: str
    model: Model
    x: MaskedNumber
    y: MaskedNumber | None
    a: tuple[RealNumber, ...]
    b: RealNumber | None
    expires_at: float | None = None
    direction: Direction = Direction.BOTH
    max_duration_s: int = 0

    def dialling_pairs(self) -> list[tuple[MaskedNumber, RealNumber | None]]:
        """Who may dial what: the keys of the binding, each of which belongs to at most one live binding.

        AX has its X alone: (X, None) means that nobody else may stand on X.
        """
        if self.model == Model.AX:
            return [(self.x, None)]
        pairs: list[tuple[MaskedNumber, RealNumber | None]] = [(self.x, member) for member in self.a]
        pairs.append((self.y if self.y is not None else self.x, self.b))
        return pairs

    def expired(self, utc: float) -> bool:
        """Whether it is over at `utc` (unix seconds). The second that it names is no longer part of it."""
        return self.expires_at is not None and utc >= self.expires_at

    def faults(self) -> list[tuple[str, str]]:
        """What makes it no possible binding, as (column of the table, reason); [] when it is sound."""
        faults: list[tuple[str, str]] = []
        name = self.model.name
        if self.model.has_y:
            if self.y is None:
                faults.append(("y", f"{name} needs a second 700 number"))
            elif self.y == self.x:
                faults.append(("y", "is the same 700 number as x"))
        elif self.y is not None:
            faults.append(("y", f"{name} has no y"))
        if not self.a:
            faults.append(("a", f"{name} needs a real number"))
        elif len(self.a) > 1 and not self.model.has_group:
            faults.append(("a", f"{name} takes one real number, not a group"))
        elif len(set(self.a)) < len(self.a):
            faults.append(("a", "a number stands twice in the group"))
        if self.b is None:
            if self.model != Model.AX:
                faults.append(("b", f"{name} needs a real number"))
        elif self.b in self.a:
            faults.append(("b", "is on the a side too: nobody is connected to himself"))
        return faults


@dataclass(slots=True)
class Found:
    """What a store answers to (700 number, caller).

    `binding`: the one on which this caller may dial this number (for AX whoever calls), live or expired.
    `number_bound`: no binding for this caller, but somebody is or was bound on the number. `last_caller`:
    whom the binding remembered within the call-back window.
    """

    binding: NumberBinding | None
    number_bound: bool = False
    last_caller: RealNumber | None = None
