"""Any sequence of what may be asked within a call, early and answered, lost and repeated, by ends that keep to no
rule: reliable responses and PRACK, UPDATE, INFO, re-INVITE, the engine's own refreshes, and BYE at any time."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulation.ends import ABLE, BODY, Ends

Action = Callable[[Ends], None]


def within(method: str, *lines: str, offer: bool = False, early: bool = False) -> Action:
    return lambda ends: ends.within(method, *lines, offer=offer, early=early)


def from_callee(method: str, fork: str, *lines: str, offer: bool = False) -> Action:
    return lambda ends: ends.from_callee(0, method, fork, *lines, offer=offer)


def by_callee(method: str, status: int, fork: str = "a", body: str = "", *lines: str) -> Action:
    return lambda ends: ends.respond(0, method, status, fork, body, *lines)


def by_caller(method: str, status: int, body: str = "", *lines: str) -> Action:
    return lambda ends: ends.respond_as_caller(method, status, body, *lines)


def reliable(status: int, fork: str, body: str = "", step: int = 1) -> Action:
    return lambda ends: ends.respond_reliably(0, status, fork, body, step)


def lapse(seconds: float) -> Action:
    return lambda ends: ends.world.run(seconds)


REFRESHED = "Session-Expires: 90;refresher=uac"
BEGIN: dict[str, Action] = {
    "INVITE": lambda ends: ends.invite(*ABLE),
    "INVITE without offer": lambda ends: ends.invite(*ABLE, offer=False),
    "INVITE that requires 100rel": lambda ends: ends.invite("Require: 100rel"),
    "found": lambda ends: ends.look_up(True),
}
ACTIONS: dict[str, Action] = {
    **{
        f"{status} {fork} reliably{' with a session' if body else ''}": reliable(status, fork, body)
        for status in (180, 183)
        for fork in ("a", "b")
        for body in ("", BODY)
    },
    "183 out of order": reliable(183, "a", BODY, 2),
    "180 a": by_callee("INVITE", 180),
    "PRACK": lambda ends: ends.prack(),
    "PRACK with a session": lambda ends: ends.prack(offer=True),
    "PRACK of nothing": lambda ends: ends.prack(wrong=True),
    "CANCEL": lambda ends: ends.cancel(),
    **{
        f"early {method} of A": within(method, offer=method == "UPDATE", early=True)
        for method in ("UPDATE", "INFO", "BYE")
    },
    **{
        f"{method} of A{' with a session' if offer else ''}": within(method, offer=offer)
        for method in ("UPDATE", "INVITE")
        for offer in (False, True)
    },
    **{
        f"{method} of B, {fork}{' with a session' if offer else ''}": from_callee(method, fork, offer=offer)
        for method in ("UPDATE", "INVITE")
        for fork in ("a", "b")
        for offer in (False, True)
    },
    "INFO of A": within("INFO"),
    "INFO of B": from_callee("INFO", "a"),
    "BYE of A": within("BYE"),
    "BYE of B": from_callee("BYE", "a"),
    "ACK of A": within("ACK"),
    "ACK of A with a session": within("ACK", offer=True),
    "ACK of B": from_callee("ACK", "a"),
    "A wants to be refreshed": within("UPDATE", "Supported: timer", "Session-Expires: 90;refresher=uas"),
    "A wants to refresh": within(
        "INVITE", "Supported: timer", "Session-Expires: 90;refresher=uac", offer=True
    ),
    **{
        f"B {status} to INVITE, {fork}": by_callee("INVITE", status, fork, BODY, REFRESHED)
        for status in (200, 491)
        for fork in ("a", "b")
    },
    "B 486 to INVITE": by_callee("INVITE", 486),
    "B 422 to INVITE": by_callee("INVITE", 422, "a", "", "Min-SE: 120"),
    **{
        f"A {status} to {method}": by_caller(method, status, BODY if status == 200 else "", REFRESHED)
        for method in ("INVITE", "UPDATE", "INFO", "BYE")
        for status in (200, 481, 491)
    },
    **{
        f"B {status} to {method}": by_callee(method, status, "a", BODY if status == 200 else "", REFRESHED)
        for method in ("UPDATE", "PRACK", "INFO", "BYE")
        for status in (200, 481, 491)
    },
    "A again": lambda ends: ends.say_again(ends.caller),
    "B again": lambda ends: ends.say_again(ends.hops[0]),
    "lost to A": lambda ends: ends.lose(ends.caller),
    "lost to B": lambda ends: ends.lose(ends.hops[0]),
    "operator": Ends.end,
    **{f"{seconds} s": lapse(seconds) for seconds in (0.6, 3, 26, 46)},
}

EARLY = ["INVITE", "found", "183 a reliably with a session"]
ANSWERED = ["INVITE", "found", "B 200 to INVITE, a"]
TALKING = [*ANSWERED, "ACK of A"]
BEGINNINGS: list[list[str]] = [
    EARLY,
    [*EARLY, "PRACK"],
    [*EARLY, "PRACK", "B 200 to PRACK"],
    [*EARLY, "PRACK", "B 200 to PRACK", "early UPDATE of A"],
    [*EARLY, "PRACK", "B 200 to PRACK", "183 b reliably with a session", "UPDATE of B, a with a session"],
    [*EARLY, "B 200 to INVITE, a"],
    [*EARLY, "183 b reliably with a session", "B 200 to INVITE, b"],
    ["INVITE", "found", "180 a reliably", "183 a reliably with a session", "B 200 to INVITE, a"],
    ["INVITE without offer", "found", "183 a reliably with a session", "PRACK with a session"],
    ["INVITE that requires 100rel", "found", "180 a", "PRACK"],
    ANSWERED,
    TALKING,
    [*TALKING, "UPDATE of A with a session"],
    [*TALKING, "UPDATE of B, a with a session"],
    [*TALKING, "INFO of A", "INFO of B"],
    [*TALKING, "46 s"],
    [*TALKING, "46 s", "A 200 to INVITE"],
    [*TALKING, "A wants to be refreshed", "46 s"],
    [*TALKING, "INVITE of A", "B 200 to INVITE, a"],
]


@settings(
    max_examples=1000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
@given(st.sampled_from(BEGINNINGS), st.lists(st.sampled_from(sorted(ACTIONS)), max_size=14))
def test_any_conversation_keeps_the_invariants(beginning: list[str], rest: list[str]) -> None:
    ends = Ends()
    for name in beginning + rest:
        (BEGIN.get(name) or ACTIONS[name])(ends)
        ends.world.run(0.02)
    ends.check()
