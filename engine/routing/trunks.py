"""Trunks: which one a request came from, and which one a number is reached through."""

import ipaddress
from collections.abc import Iterable

from engine.numbering.numbers import MASKED_PREFIX, RealNumber
from engine.routing.load import Load
from engine.routing.next_hop import NextHop as NextHop
from engine.routing.settings import TrunkSettings as TrunkSettings
from engine.routing.settings import prefix_digits

_CACHED_SOURCES = 16384  # hosts remembered, of known and of unknown sources each


class Trunk:
    """One trunk (see TrunkSettings), for as long as there is one of that name: a new configuration is taken over
    by `configure` while calls run. `prefixes` are digits.

    enabled    takes calls, in and out: the operator's word, else the configuration's
    usable     may be chosen as a way out: enabled, and some next hop is up
    reachable  the next hops that are up, in order
    incoming, outgoing
               what it carries each way
    """

    def __init__(self, settings: TrunkSettings) -> None:
        self.name = settings.name
        self.incoming = Load()
        self.outgoing = Load()
        self.next_hops: tuple[NextHop, ...] = ()
        self.password = ""  # of `username`; set by who can read it
        self.ordered: bool | None = None  # what an operator said: enabled or disabled; None: nothing
        self.configure(settings)

    @staticmethod
    def of(settings: TrunkSettings) -> "Trunk":
        """A new trunk. Raises ValueError where `TrunkSettings.check` would have told."""
        return Trunk(settings)

    def configure(self, settings: TrunkSettings) -> None:
        """Becomes what `settings` say. A next hop that was there before keeps what is known of it."""
        known = {str(hop): hop for hop in self.next_hops}
        hops = [NextHop.parse(text) for text in settings.next_hops]
        self.settings = settings
        self.peers = tuple(ipaddress.ip_network(peer) for peer in settings.peers)
        self.next_hops = tuple([known.get(str(hop), hop) for hop in hops])
        self.prefixes = tuple([prefix_digits(prefix) for prefix in settings.prefixes])
        self.trust_identity = settings.trust_identity
        self.assert_identity = settings.assert_identity
        self.number_format = settings.number_format
        self.symmetric = settings.symmetric
        self.username = settings.username
        for load in (self.incoming, self.outgoing):
            load.max_calls = settings.max_calls
            load.max_per_s = settings.max_calls_per_s
        for hop in self.next_hops:
            hop.health.down_after = settings.probe_down_after
            hop.health.up_after = settings.probe_up_after
        self.refresh()

    def order(self, enabled: bool) -> None:
        """An operator enables or disables it; his word stands until his next, whatever configurations come."""
        self.ordered = enabled
        self.refresh()

    def refresh(self) -> None:
        """To be called when the health of a next hop has changed."""
        self.enabled = self.settings.enabled if self.ordered is None else self.ordered
        self.reachable = tuple([hop for hop in self.next_hops if hop.health.up])
        self.usable = self.enabled and bool(self.reachable)

    @property
    def up(self) -> bool:
        """Whether it works: enabled, and not all next hops down."""
        return self.enabled and (bool(self.reachable) or not self.next_hops)

    @property
    def draining(self) -> bool:
        """Disabled, and carrying calls still."""
        return not self.enabled and self.incoming.calls + self.outgoing.calls > 0


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
        """The usable trunk with the longest prefix of `number`, then the first in order.

        A trunk that is disabled, or all of whose next hops are down, leaves its numbers to those behind it. None
        when there is no other: to try a dead trunk all the same would keep callers waiting for what the switch
        before us could route another way at once.
        """
        return self._real_prefixes.first_usable(number.digits)

    def interconnect(self, prefix: str) -> Trunk | None:
        """The trunk of the carrier that has the 700 numbers below `prefix` (`NumberPlan.carrier_prefix`).

        Of several trunks with that prefix the first usable one. When none is, the first is answered all the
        same: the number is still that carrier's, neither ours nor that of a carrier with a shorter prefix.
        """
        members = self._masked_prefixes.get(prefix)
        if members is None:
            return None
        for trunk in members:
            if trunk.usable:
                return trunk
        return members[0]

    def configured(self, settings: Iterable[TrunkSettings]) -> "TrunkTable":
        """The table of a new configuration. A trunk that is here already goes on as the same one, with its calls
        and what is known of its next hops, and is changed at once."""
        trunks: list[Trunk] = []
        for one in settings:
            trunk = self.named(one.name)
            if trunk is None:
                trunk = Trunk(one)
            else:
                trunk.configure(one)
            trunks.append(trunk)
        return TrunkTable(trunks)

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

    def first_usable(self, digits: str) -> Trunk | None:
        """The first usable trunk, longest prefix first."""
        for length in self._lengths:
            below = self._below.get(digits[:length])
            if below is not None:
                for trunk in below:
                    if trunk.usable:
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
