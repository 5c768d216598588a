"""May this call be? The steps of authorization, in their order; the first failure decides.

`screen` takes the steps that need no store; it says which look-up is needed. `decide` goes on with what was
found. Neither waits, keeps state or knows the time of day: the caller brings all of it.

A stranger is refused as if nobody were bound on the number: same status, cause and phrase, after the same
look-up. Only the record tells them apart (unless the policy says that strangers get 403).
"""

from dataclasses import dataclass

from engine.authorization.reason import ANSWER, INCOMING_LIMIT, Answer, Reason
from engine.numbering.binding import Found, NumberBinding
from engine.numbering.numbers import Dialled, DialledKind, MaskedNumber, RealNumber
from engine.numbering.translation import Translation, Untranslatable, translate
from engine.routing.number_plan import OURS, NumberPlan
from engine.routing.trunks import Trunk, TrunkTable


@dataclass(slots=True)
class Policy:
    """What operators may choose. `strangers`: "404" or "403". `own_prefixes`: 700 prefixes looked up here."""

    strangers: str = "404"
    own_prefixes: tuple[str, ...] = ("700",)


@dataclass(slots=True)
class Attempt:
    """`trunk`: where it came from, None for an unknown source. `caller`: as far as the trunk's identity is
    believed, None when nobody vouches for him or it is no real number. `dialled`: of the Request-URI."""

    trunk: Trunk | None
    caller: RealNumber | None
    dialled: Dialled


@dataclass(slots=True, frozen=True)
class Refused:
    """`status` and Q.850 `cause` go to the caller, `reason` goes into the record."""

    reason: Reason
    status: int
    cause: int


@dataclass(slots=True)
class Ask:
    """Nothing against it so far: look up who stands behind `number` for `caller`, then `decide`."""

    number: MaskedNumber
    caller: RealNumber


@dataclass(slots=True)
class Interconnected:
    """The number belongs to another carrier's platform: send it there untranslated, the caller in trusted
    form."""

    trunk: Trunk
    number: MaskedNumber


@dataclass(slots=True)
class Admitted:
    """Ring `translation.callee` through `trunk`."""

    binding: NumberBinding
    translation: Translation
    trunk: Trunk


class Gate:
    """Authorization under one policy and one table of trunks. A reload makes a new one."""

    def __init__(self, policy: Policy, trunks: TrunkTable) -> None:
        self._trunks = trunks
        self._plan = NumberPlan(
            policy.own_prefixes,
            [(prefix, trunk.name) for trunk in trunks.trunks for prefix in trunk.prefixes],
        )
        self._refusals = {reason: _refused(reason, answer) for reason, answer in ANSWER.items()}
        if policy.strangers == "403":
            self._refusals[Reason.NOT_A_PARTY] = Refused(Reason.NOT_A_PARTY, 403, 21)

    def refusal(self, reason: Reason) -> Refused:
        """What a refusal for `reason` answers under this policy."""
        return self._refusals[reason]

    def screen(self, attempt: Attempt) -> Refused | Ask | Interconnected:
        """Steps 1 to 3: the source, the caller, the dialled number.

        The caller must be a mobile number: fixed lines may be called, not call, and are `unverified`.
        """
        trunk = attempt.trunk
        if trunk is None or not trunk.enabled:
            return self._refusals[Reason.UNKNOWN_SOURCE]
        caller = attempt.caller
        if caller is None or not caller.is_mobile:
            return self._refusals[Reason.UNVERIFIED]
        number = attempt.dialled.number
        if number is None:
            incomplete = attempt.dialled.kind == DialledKind.INCOMPLETE
            return self._refusals[Reason.INCOMPLETE_NUMBER if incomplete else Reason.NOT_BOUND]
        below = self._plan.carrier_prefix(number)
        if below == OURS:
            return Ask(number, caller)
        if below is None:
            return self._refusals[Reason.NOT_BOUND]
        carrier = self._trunks.interconnect(below)
        if carrier is None or not carrier.usable:
            return self._refusals[Reason.TRUNK_DOWN]
        return Interconnected(carrier, number)

    def decide(self, attempt: Attempt, found: Found, utc: float) -> Admitted | Refused:
        """Step 4 for an attempt that was screened to `Ask`: party, expiry, direction, call-back, then the way
        out.

        `found` is what the store answered to it, `utc` the time of the attempt in unix seconds. A callee whom
        no usable trunk takes is `trunk_down`.
        """
        binding = found.binding
        if binding is None:
            return self._refusals[Reason.NOT_A_PARTY if found.number_bound else Reason.NOT_BOUND]
        number, caller = attempt.dialled.number, attempt.caller
        if number is None or caller is None:
            return self._refusals[Reason.UNVERIFIED]
        translation = translate(binding, number, caller, found.last_caller)
        if translation is Untranslatable.NOT_A_PARTY:
            return self._refusals[Reason.NOT_A_PARTY]
        if binding.expired(utc):
            return self._refusals[Reason.EXPIRED]
        if not isinstance(translation, Translation):
            direction = translation is Untranslatable.DIRECTION
            return self._refusals[Reason.DIRECTION if direction else Reason.NO_CALLBACK]
        trunk = self._trunks.for_callee(translation.callee)
        if trunk is None:
            return self._refusals[Reason.TRUNK_DOWN]
        return self.limited(attempt.trunk, trunk, utc) or Admitted(binding, translation, trunk)

    def limited(self, incoming: Trunk | None, outgoing: Trunk, utc: float) -> Refused | None:
        """Step 8 for a call between these trunks, None when it may be: `decide` takes it itself, `Interconnected`
        leaves it. A full way in is the asking switch's to go around (503), a full way out is not (480)."""
        if incoming is not None and incoming.incoming.full(utc):
            return _INCOMING_FULL
        return self._refusals[Reason.LIMIT] if outgoing.outgoing.full(utc) else None


def _refused(reason: Reason, answer: Answer) -> Refused:
    return Refused(reason, answer.status, answer.cause)


_INCOMING_FULL = _refused(Reason.LIMIT, INCOMING_LIMIT)
