"""The steps of authorization, each alone, then in their order."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.authorization.gate import Admitted, Ask, Attempt, Gate, Interconnected, Policy, Refused
from engine.authorization.reason import Reason
from engine.numbering.binding import Direction, Found, Model, NumberBinding
from engine.numbering.numbers import MaskedNumber, RealNumber, parse_dialled
from engine.numbering.translation import Translation
from engine.routing.number_plan import NumberPlan
from engine.routing.trunks import Trunk, TrunkSettings, TrunkTable
from tests.numbering.numbers_of_china import bindings

NOW = 1000.0
X, Y = MaskedNumber("700100000000001"), MaskedNumber("700100000000002")
A, B, C, D, E = (RealNumber(f"861380000000{serial}") for serial in range(1, 6))
FIXED = RealNumber("861012345678")
AXB = NumberBinding("0" * 24, "default", "", Model.AXB, X, None, (A,), B, expires_at=NOW + 1)


def trunk(name: str, *prefixes: str, enabled: bool = True) -> Trunk:
    return Trunk.of(
        TrunkSettings(name=name, next_hops=["udp://127.0.0.1:5090"], prefixes=list(prefixes), enabled=enabled)
    )


PSTN = trunk("pstn", "")
CARRIER = trunk("carrier", "7009")
CARRIER_OFF = trunk("carrier_off", "7008", enabled=False)
OFF = trunk("off", enabled=False)
GATE = Gate(Policy(), TrunkTable([PSTN, CARRIER, CARRIER_OFF, OFF]))


def attempt(dialled: str = X.digits, caller: RealNumber | None = A, source: Trunk | None = PSTN) -> Attempt:
    return Attempt(source, caller, parse_dialled(dialled))


def reason_of(answer: object) -> Reason | None:
    return answer.reason if isinstance(answer, Refused) else None


@pytest.mark.parametrize(
    ("tried", "reason"),
    [
        (attempt(source=None), Reason.UNKNOWN_SOURCE),
        (attempt(source=OFF), Reason.UNKNOWN_SOURCE),
        (attempt(caller=None), Reason.UNVERIFIED),
        (attempt(caller=FIXED), Reason.UNVERIFIED),
        (attempt("7001"), Reason.INCOMPLETE_NUMBER),
        (attempt("13800000001"), Reason.NOT_BOUND),
        (attempt("7001000000000012"), Reason.NOT_BOUND),
        (attempt("alice"), Reason.NOT_BOUND),
        (attempt("700800000000000"), Reason.TRUNK_DOWN),
        # the first failure decides
        (attempt("7001", None, None), Reason.UNKNOWN_SOURCE),
        (attempt("7001", None), Reason.UNVERIFIED),
        (attempt("alice", FIXED), Reason.UNVERIFIED),
    ],
)
def test_screening_refuses(tried: Attempt, reason: Reason) -> None:
    assert GATE.screen(tried) == GATE.refusal(reason)


def test_screening_asks_for_our_numbers() -> None:
    assert GATE.screen(attempt("+86" + X.digits, B)) == Ask(X, B)


OWN_AND_CARRIERS = [
    # own prefixes, the carrier's prefixes, dialled, outcome
    (("700",), ("7009",), "700900000000000", "carrier"),
    (("700",), ("7009",), "700100000000000", "ours"),
    (("7001", "700"), ("7009",), "700100000000000", "ours"),
    (("70091",), ("7009",), "700910000000000", "ours"),
    (("70091",), ("7009",), "700920000000000", "carrier"),
    (("700", "70091"), ("7009",), "700910000000000", "ours"),
    (("7009",), ("7009",), "700900000000000", "ours"),  # a tie is ours
    (("700",), ("700",), "700900000000000", "ours"),
    (("700", "7009"), ("70091", "700912"), "700912000000000", "carrier"),
    (("7001",), ("7009",), "700200000000000", "nobody's"),
    (("7001",), ("",), "700200000000000", "nobody's"),
    (("7001",), ("700",), "700200000000000", "carrier"),
]


@pytest.mark.parametrize(("own", "carriers", "dialled", "outcome"), OWN_AND_CARRIERS)
def test_whose_number_it_is(
    own: tuple[str, ...], carriers: tuple[str, ...], dialled: str, outcome: str
) -> None:
    carrier = trunk("carrier", *carriers)
    gate = Gate(Policy(own_prefixes=own), TrunkTable([PSTN, carrier]))
    answer = gate.screen(attempt(dialled))
    if outcome == "carrier":
        assert answer == Interconnected(carrier, MaskedNumber(dialled))
    elif outcome == "ours":
        assert answer == Ask(MaskedNumber(dialled), A)
    else:
        assert answer == gate.refusal(Reason.NOT_BOUND)


@given(
    st.lists(st.sampled_from(["700", "7001", "70011", "7002"]), max_size=3),
    st.lists(st.sampled_from(["", "86", "700", "7001", "70011", "700111"]), max_size=3),
    st.sampled_from(
        ["700111000000000", "700110000000000", "700100000000000", "700200000000000", "700300000000000"]
    ),
)
def test_what_may_be_bound_is_what_is_asked_for(own: list[str], carriers: list[str], dialled: str) -> None:
    """Else a binding would be accepted and could never be called."""
    carrier = TrunkSettings(name="carrier", next_hops=["udp://127.0.0.1:5090"], prefixes=carriers)
    gate = Gate(Policy(own_prefixes=tuple(own)), TrunkTable([PSTN, Trunk.of(carrier)]))
    fault = NumberPlan.of(own, [carrier]).fault(MaskedNumber(dialled))
    assert isinstance(gate.screen(attempt(dialled)), Ask) == (fault == "")


def test_a_disabled_carrier_gets_no_calls_and_gives_none_of_its_numbers_away() -> None:
    carrier = trunk("carrier", "7009", enabled=False)
    transit = trunk("transit", "70")
    gate = Gate(Policy(), TrunkTable([carrier, transit]))
    assert reason_of(gate.screen(attempt("700900000000000"))) is Reason.TRUNK_DOWN
    carrier.order(True)
    assert gate.screen(attempt("700900000000000")) == Interconnected(carrier, MaskedNumber("700900000000000"))


def test_admitted() -> None:
    assert GATE.decide(attempt(), Found(AXB), NOW) == Admitted(
        AXB, Translation(B, X, Direction.A_TO_B, False), PSTN
    )


@pytest.mark.parametrize(
    ("found", "tried", "reason"),
    [
        (Found(None), attempt(), Reason.NOT_BOUND),
        (Found(None, number_bound=True), attempt(), Reason.NOT_A_PARTY),
        (Found(AXB), attempt(caller=C), Reason.NOT_A_PARTY),
        (Found(AXB), attempt(Y.digits), Reason.NOT_A_PARTY),
        (Found(replace(AXB, expires_at=NOW)), attempt(), Reason.EXPIRED),
        (Found(replace(AXB, direction=Direction.B_TO_A)), attempt(), Reason.DIRECTION),
        (Found(replace(AXB, direction=Direction.A_TO_B)), attempt(caller=B), Reason.DIRECTION),
        (Found(replace(AXB, model=Model.AX, b=None)), attempt(), Reason.NO_CALLBACK),
        # the first failure decides: party, expiry, direction, call-back
        (Found(replace(AXB, expires_at=NOW)), attempt(caller=C), Reason.NOT_A_PARTY),
        (Found(replace(AXB, expires_at=NOW, direction=Direction.B_TO_A)), attempt(), Reason.EXPIRED),
        (Found(replace(AXB, expires_at=NOW, model=Model.AX, b=None)), attempt(), Reason.EXPIRED),
        (
            Found(replace(AXB, direction=Direction.B_TO_A, model=Model.AX, b=None)),
            attempt(),
            Reason.DIRECTION,
        ),
        (Found(AXB), attempt(caller=None), Reason.UNVERIFIED),
        (Found(AXB), attempt("7001"), Reason.UNVERIFIED),
    ],
)
def test_deciding_refuses(found: Found, tried: Attempt, reason: Reason) -> None:
    assert GATE.decide(tried, found, NOW) == GATE.refusal(reason)


def test_the_last_caller_is_called_back() -> None:
    binding = replace(AXB, model=Model.AX, b=None)
    answer = GATE.decide(attempt(), Found(binding, last_caller=E), NOW)
    assert answer == Admitted(binding, Translation(E, X, Direction.A_TO_B, False), PSTN)


def test_a_fixed_line_may_be_called() -> None:
    answer = GATE.decide(attempt(), Found(replace(AXB, b=FIXED)), NOW)
    assert isinstance(answer, Admitted)
    assert answer.translation.callee == FIXED


def test_no_way_out() -> None:
    gate = Gate(Policy(), TrunkTable([trunk("139", "86139"), trunk("all", "", enabled=False)]))
    assert gate.decide(attempt(), Found(AXB), NOW) == Refused(Reason.TRUNK_DOWN, 500, 38)


def test_a_stranger_is_answered_as_if_nobody_were_bound() -> None:
    stranger, nobody = GATE.refusal(Reason.NOT_A_PARTY), GATE.refusal(Reason.NOT_BOUND)
    assert (stranger.status, stranger.cause) == (nobody.status, nobody.cause) == (404, 1)
    assert stranger.reason is not nobody.reason  # in the record only


def test_strangers_may_be_told() -> None:
    gate = Gate(Policy(strangers="403"), TrunkTable([PSTN]))
    assert gate.decide(attempt(), Found(None, number_bound=True), NOW) == Refused(Reason.NOT_A_PARTY, 403, 21)
    assert gate.decide(attempt(caller=C), Found(AXB), NOW) == Refused(Reason.NOT_A_PARTY, 403, 21)
    assert gate.decide(attempt(), Found(None), NOW) == Refused(Reason.NOT_BOUND, 404, 1)


@given(
    st.data(), st.sampled_from([X, Y]), st.sampled_from([A, B, C, D, E]), st.sampled_from([0.0, 999.9, NOW])
)
def test_only_parties_of_a_live_binding_are_admitted(
    data: st.DataObject, dialled: MaskedNumber, caller: RealNumber, utc: float
) -> None:
    binding = data.draw(bindings([A, B, C, D], X, Y))
    found = Found(binding, last_caller=data.draw(st.sampled_from([None, A, C, E])))
    tried = attempt(dialled.digits, caller)
    assert GATE.screen(tried) == Ask(dialled, caller)
    answer = GATE.decide(tried, found, utc)
    pairs = binding.dialling_pairs()
    if (dialled, caller) not in pairs and (dialled, None) not in pairs:
        assert reason_of(answer) is Reason.NOT_A_PARTY
    elif binding.expires_at is not None and utc >= binding.expires_at:
        assert reason_of(answer) is Reason.EXPIRED
    elif isinstance(answer, Admitted):
        assert answer.binding is binding
        assert answer.trunk is PSTN
        assert answer.translation.callee != caller
        assert answer.translation.shown in (X, Y)
    else:
        assert reason_of(answer) in (Reason.DIRECTION, Reason.NO_CALLBACK)


def test_what_a_trunk_may_carry_comes_last() -> None:
    """A full way in is the asking switch's to go around, a full way out is not."""
    ways = [TrunkSettings(name=name, max_calls=1) for name in ("in", "out")]
    ways[1].next_hops, ways[1].prefixes = ["udp://127.0.0.1:5090"], [""]
    incoming, outgoing = (Trunk.of(way) for way in ways)
    gate = Gate(Policy(), TrunkTable([incoming, outgoing]))
    tried = attempt(source=incoming)
    assert isinstance(gate.decide(tried, Found(AXB), NOW), Admitted)
    outgoing.outgoing.begin(NOW)
    assert gate.decide(tried, Found(AXB), NOW) == Refused(Reason.LIMIT, 480, 42)
    incoming.incoming.begin(NOW)
    assert gate.decide(tried, Found(AXB), NOW) == Refused(Reason.LIMIT, 503, 42)
    assert gate.limited(incoming, outgoing, NOW) == Refused(Reason.LIMIT, 503, 42)
    assert reason_of(gate.decide(attempt(caller=C, source=incoming), Found(AXB), NOW)) is Reason.NOT_A_PARTY
    outgoing.outgoing.end()
    incoming.incoming.end()
    assert gate.limited(None, outgoing, NOW) is None
