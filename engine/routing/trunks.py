"""Trunks: which one a request came from, and which one a number is reached through."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from engine.numbering.numbers import MASKED_PREFIX, RealNumber
from engine.routing.next_hop import NextHop as NextHop
from engine.routing.settings import TrunkSettings as TrunkSettings
from engine.routing.settings import prefix_digits

_CACHED_SOURCES = 16384  # hosts remembered, of known and of unknown sources each


@dataclass(slots=True, eq=False)
class Trunk:
    """One trunk (see TrunkSettings). `prefixes` are digits. `enabled` may change while calls run."""

    name: str
    peers: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    next_hops: tuple[NextHop, ...]
    prefixes: tuple[str, ...]
    trust_identity: bool = False
    number_format: str = "national"
    enabled: bool = True
    symmetric: bool = False

    @staticmethod
    def of(settings: TrunkSettings) -> "Trunk":
        """Build it from checked settings. Raises ValueError where `TrunkSettings.check` would have told."""
        return Trunk(
            name=settings.name,
            peers=tuple(ipaddress.ip_network(peer) for peer in settings.peers),
            next_hops=tuple(NextHop.parse(hop) for hop in settings.next_hops),
            prefixes=tuple(prefix_digits(prefix) for prefix in settings.prefixes),
            trust_identity=settings.trust_identity,
            number_format=settings.number_format,
            enabled=settings.enabled,
            symmetric=settings.symmetric,
        )


class TrunkTable:
    """All trunks, made to be asked once or twice per call."""

    def __init__(self, trunks: Iterable[Trunk]) -> None:
        self.trunks: tuple[Trunk, ...] = tuple(trunks)
        self._networks = _Networks(self.trunks)
        self._real_prefixes = _RealPrefixes(self.trunks)
        self._masked_prefixes = _by_prefix(self.trunks, masked=True)

    def by_source(self, host: str) -> Trunk | None:
        """The trunk that `host` (an IP address) belongs to: the longest network wins, then the order of the
        trunks.

        A disabled trunk is answered too: its name goes into the record of the refusal.
        """
        return self._networks.trunk_of(host)

    def for_callee(self, number: RealNumber) -> Trunk | None:
        """The enabled trunk with the longest prefix of `number`, then the first in order. A disabled trunk
        leaves its numbers to shorter prefixes."""
        return self._real_prefixes.first_enabled(number.digits)

    def interconnect(self, prefix: str) -> Trunk | None:
        """The trunk of the carrier that has the 700 numbers below `prefix` (`NumberPlan.carrier_prefix`).

        Of several trunks with that prefix the first enabled one. When all are disabled the first is answered
        all the same: the number is still that carrier's, neither ours nor that of a carrier with a shorter
        prefix.
        """
        members = self._masked_prefixes.get(prefix)
        if members is None:
            return None
        for trunk in members:
            if trunk.enabled:
                return trunk
        return members[0]

    def named(self, name: str) -> Trunk | None:
        """The trunk of that name."""
        for trunk in self.trunks:
            if trunk.name == name:
                return trunk
        return None


class _RealPrefixes:
    """Prefixes by length: a look-up costs one dict access per length in use."""

    def __init__(self, trunks: Iterable[Trunk]) -> None:
        self._below = _by_prefix(trunks, masked=False)
        self._lengths = sorted({len(prefix) for prefix in self._below}, reverse=True)

    def first_enabled(self, digits: str) -> Trunk | None:
        """The first enabled trunk, longest prefix first."""
        for length in self._lengths:
            below = self._below.get(digits[:length])
            if below is not None:
                for trunk in below:
                    if trunk.enabled:
                        return trunk
        return None


def _by_prefix(trunks: Iterable[Trunk], masked: bool) -> dict[str, list[Trunk]]:
    """The trunks that name each prefix, in order."""
    below: dict[str, list[Trunk]] = {}
    for trunk in trunks:
        for prefix in trunk.prefixes:
            if prefix.startswith(MASKED_PREFIX) == masked:
                below.setdefault(prefix, []).append(trunk)
    return below


class _Networks:
    """Networks, longest first; the answer for a host is remembered.

    Known and unknown hosts are remembered apart, so that a flood of invented source addresses pushes out only
    its like.
    """

    def __init__(self, trunks: Iterable[Trunk]) -> None:
        self._networks = [
            (network.version, network.prefixlen, int(network.network_address), int(network.netmask), trunk)
            for trunk in trunks
            for network in trunk.peers
        ]
        self._networks.sort(key=lambda row: -row[1])
        self._known: dict[str, Trunk] = {}
        self._unknown: set[str] = set()

    def trunk_of(self, host: str) -> Trunk | None:
        trunk = self._known.get(host)
        if trunk is not None or host in self._unknown:
            return trunk
        trunk = self._search(host)
        if trunk is not None:
            if len(self._known) >= _CACHED_SOURCES:
                self._known.clear()
            self._known[host] = trunk
        else:
            if len(self._unknown) >= _CACHED_SOURCES:
                self._unknown.clear()
            self._unknown.add(host)
        return trunk

    def _search(self, host: str) -> Trunk | None:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # an IPv4 peer seen through a dual-stack socket
        version, number = address.version, int(address)
        for network_version, _, network, mask, trunk in self._networks:
            if network_version == version and number & mask == network:
                return trunk
        return None
