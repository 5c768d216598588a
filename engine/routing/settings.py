"""The `[[trunks]]` tables."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.numbering.numbers import COUNTRY_CODE, MASKED_PREFIX, NUMBER_FORMATS
from engine.numbering.settings import masked_prefix_fault
from engine.routing.health import DOWN_AFTER, UP_AFTER
from engine.routing.next_hop import NextHop

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_RESERVED_NAMES = ("unknown",)  # the metric label of what came from no trunk
_LONGEST_REAL = 13  # digits of an E.164 number that begins with 86


@dataclass(slots=True)
class TrunkSettings:
    """One trunk, as configured.

    `name` is a metric label and the word in records. `peers`: IP networks (or single addresses) that may
    originate on it. `next_hops`: tried in order. `prefixes`: which callees it takes, E.164 with or without
    `+`, or the 700 prefixes of another carrier; "" takes every real number. `trust_identity`:
    P-Asserted-Identity is believed. `assert_identity`: the shown 700 number goes to it as P-Asserted-Identity too, not
    as From alone (RFC 3325). `number_format`: "national" or "e164". `symmetric`: responses over UDP
    always go to the source port.

    `probe_interval_s`: a next hop that no call has heard of for so long is asked with OPTIONS, 0 never;
    `probe_down_after` failures on end take it down, `probe_up_after` answers bring it back. `large_requests`:
    "tcp" sends requests of more than 1,300 octets to a udp next hop over TCP, and over UDP all the same where
    that is refused (RFC 3261 18.1.1); "udp" never tries. `max_calls` at once and `max_calls_per_s` bound each
    direction by itself, 0: no limit.

    `username` answers the far end's challenges (RFC 8760); its password stands in `password_file` (of mode 0600), or in
    the environment as MASK700_TRUNK_PASSWORD_ with the trunk's name in capitals.
    """

    name: str = ""
    peers: list[str] = field(default_factory=list)
    next_hops: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    trust_identity: bool = False
    assert_identity: bool = False
    number_format: str = "national"
    enabled: bool = True
    symmetric: bool = False
    probe_interval_s: int = 30
    probe_down_after: int = DOWN_AFTER
    probe_up_after: int = UP_AFTER
    large_requests: Literal["tcp", "udp"] = "tcp"
    max_calls: int = 0
    max_calls_per_s: int = 0
    username: str = ""
    password_file: str = ""

    def check(self) -> list[tuple[str, str]]:
        """Every problem of this trunk, as (key below the trunk, what is wrong)."""
        problems: list[tuple[str, str]] = []
        if not _NAME.fullmatch(self.name):
            problems.append(
                ("name", f'"{self.name}" must be 1 to 64 of A-Z a-z 0-9 _ . - and begin with no sign')
            )
        elif self.name in _RESERVED_NAMES:
            problems.append(("name", f'"{self.name}" is reserved'))
        for index, peer in enumerate(self.peers):
            _note(problems, "peers", index, _peer_fault(peer))
        for index, hop in enumerate(self.next_hops):
            _note(problems, "next_hops", index, _next_hop_fault(hop))
        for index, prefix in enumerate(self.prefixes):
            _note(problems, "prefixes", index, _prefix_fault(prefix))
        if self.prefixes and not self.next_hops:
            problems.append(("next_hops", "a trunk with prefixes needs at least one next hop"))
        if self.password_file and not self.username:
            problems.append(("username", "is missing beside password_file"))
        if any(not 32 <= ord(sign) < 127 for sign in self.username):
            problems.append(("username", "must be of printable ASCII"))
        if self.number_format not in NUMBER_FORMATS:
            problems.append(("number_format", f'"{self.number_format}" must be "national" or "e164"'))
        for key, value, low, high in (
            ("probe_interval_s", self.probe_interval_s, 0, 3600),
            ("probe_down_after", self.probe_down_after, 1, 100),
            ("probe_up_after", self.probe_up_after, 1, 100),
            ("max_calls", self.max_calls, 0, 10_000_000),
            ("max_calls_per_s", self.max_calls_per_s, 0, 1_000_000),
        ):
            if not low <= value <= high:
                problems.append((key, f"must be {low} to {high}, not {value}"))
        return problems


def check_trunks(trunks: Sequence[TrunkSettings]) -> list[tuple[int, str, str]]:
    """Every problem of all trunks, as (index of the trunk, key below it, what is wrong); names must
    differ."""
    problems: list[tuple[int, str, str]] = []
    seen: set[str] = set()
    for index, trunk in enumerate(trunks):
        problems.extend((index, key, what) for key, what in trunk.check())
        if trunk.name in seen:
            problems.append((index, "name", f'"{trunk.name}" is the name of another trunk too'))
        seen.add(trunk.name)
    return problems


def prefix_digits(prefix: str) -> str:
    """A prefix as numbers are compared with it: without the `+`."""
    return prefix.removeprefix("+")


def _note(problems: list[tuple[str, str]], key: str, index: int, what: str) -> None:
    if what:
        problems.append((f"{key}[{index}]", what))


def _peer_fault(peer: str) -> str:
    try:
        ipaddress.ip_network(peer)
    except ValueError:
        try:
            meant = ipaddress.ip_network(peer, strict=False)
        except ValueError:
            return f'"{peer}" must be an IP address or network'
        return f'"{peer}" names an address inside its network: write {meant} or the address alone'
    return ""


def _next_hop_fault(hop: str) -> str:
    try:
        NextHop.parse(hop)
    except ValueError as error:
        return str(error)
    return ""


def _prefix_fault(prefix: str) -> str:
    """A prefix below which no number lies is a mistake that would only show when calls fail."""
    digits = prefix_digits(prefix)
    if digits.startswith(MASKED_PREFIX):
        return masked_prefix_fault(prefix)
    if prefix == "":
        return ""
    if not digits.isdigit() or not digits.isascii():
        return f'"{prefix}" must be digits'
    if not (digits.startswith(COUNTRY_CODE) or COUNTRY_CODE.startswith(digits)):
        return (
            f'"{prefix}" takes no number: write it with country code ({COUNTRY_CODE}138) or as a 700 prefix'
        )
    if len(digits) > _LONGEST_REAL:
        return f'"{prefix}" is longer than any number'
    return ""
