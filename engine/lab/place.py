"""Where everything of one engine's lab is, and more such places on this machine for engines side by side."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.lab.sockets import free_port
from engine.routing.next_hop import NextHop
from engine.settings import Settings

_SIDE_HOSTS = tuple(f"127.0.1.{number}" for number in range(1, 255))


class LabUnusable(RuntimeError):
    """The lab cannot run here: the text says what is in the way."""


@dataclass(slots=True, frozen=True)
class Place:
    """Where everything of one lab is: the engine's listening places by transport (host:port), its HTTP door, the
    callee. `overrides` are the `--set` values that put an engine there; none where the configuration does so."""

    engine: Mapping[str, str]
    control: tuple[str, int]
    callee: tuple[str, int]
    trunk: str
    overrides: tuple[str, ...] = ()

    @staticmethod
    def of(settings: Settings) -> Place:
        """Raises LabUnusable when the configuration has no trunk towards a callee."""
        engine: dict[str, str] = {}
        for listen in settings.sip.listen:
            hop = NextHop.parse(listen)
            engine.setdefault(hop.transport, f"{hop.host}:{hop.port}")
        for trunk in settings.trunks:
            if trunk.next_hops and "" in trunk.prefixes:
                hop = NextHop.parse(trunk.next_hops[0])
                return Place(engine, settings.control.address(), (hop.host, hop.port), trunk.name)
        raise LabUnusable(
            'the lab needs a trunk with prefixes = [""] and a next hop, where it puts the callee'
        )

    @property
    def on_this_machine(self) -> bool:
        """True when nothing of it can be seen from outside."""
        hosts = [host_and_port(at)[0] for at in self.engine.values()]
        return all(host.startswith("127.") for host in (*hosts, self.control[0], self.callee[0]))

    def moved_to(self, host: str) -> Place:
        """The same ports on another address of this machine."""
        engine = {transport: f"{host}:{host_and_port(at)[1]}" for transport, at in self.engine.items()}
        values = {
            "sip.listen": [f"{transport}://{at}" for transport, at in engine.items()],
            "sip.advertise": host,
            "control.listen": f"{host}:{self.control[1]}",
            f"trunks.{self.trunk}.next_hops": [f"udp://{host}:{self.callee[1]}"],
        }
        return replace(
            self,
            engine=engine,
            control=(host, self.control[1]),
            callee=(host, self.callee[1]),
            overrides=tuple(f"{key}={json.dumps(value)}" for key, value in values.items()),
        )

    def check_free(self) -> None:
        """Raises LabUnusable when somebody is there already."""
        for transport, host, port in self._wanted():
            if not free_port(transport, host, port):
                raise LabUnusable(f"{transport} {host}:{port} is in use: is another engine or lab running?")

    @property
    def free(self) -> bool:
        """True when nobody is there."""
        return all(free_port(*wanted) for wanted in self._wanted())

    def _wanted(self) -> list[tuple[str, str, int]]:
        wanted = [(transport, *host_and_port(at)) for transport, at in self.engine.items()]
        return [*wanted, ("tcp", *self.control), ("udp", *self.callee)]


@dataclass(slots=True)
class Places:
    """The configured place first, then 127.0.1.N: each taken by one engine at a time, whichever lab it is of."""

    main: Place
    _main_taken: bool = False
    _claims: dict[str, socket.socket] = field(default_factory=dict)

    @property
    def several(self) -> bool:
        """Whether engines can run side by side: only where all is on this machine's loopback addresses."""
        return self.main.on_this_machine

    def take(self) -> Place:
        """A place where nobody is; whether the configured one is free has been looked at. Raises LabUnusable."""
        if not self._main_taken:
            self._main_taken = True
            return self.main
        for host in _SIDE_HOSTS if self.several else ():
            claim = None if host in self._claims else _claim(host)
            if claim is None:
                continue
            place = self.main.moved_to(host)
            if place.free:
                self._claims[host] = claim
                return place
            claim.close()
        raise LabUnusable("there is no free address for one more engine")

    def give_back(self, place: Place) -> None:
        if place is self.main:
            self._main_taken = False
        else:
            self._claims.pop(place.callee[0]).close()


def host_and_port(place: str) -> tuple[str, int]:
    """Of `127.0.0.1:5060`."""
    host, _, port = place.rpartition(":")
    return host, int(port)


def _claim(host: str) -> socket.socket | None:
    """A mark that no other lab on this machine can set, gone with this process; None when another one has it."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0mask700-lab-{host}")
    except OSError:
        claim.close()
        return None
    return claim
