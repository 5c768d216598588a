"""Probing: next hops that no call has heard of for a while are asked with OPTIONS (RFC 3261 section 11).

`routing/health` decides what the answers mean; here they are got. A busy hop is never asked: its calls say enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.calls.board import Board
from engine.calls.hiding import SESSION_TYPE
from engine.routing.next_hop import NextHop
from engine.routing.trunks import Trunk
from engine.sip.flow import Flow
from engine.sip.message import Response
from engine.sip.outgoing import OutgoingRequest
from engine.sip.timers import Timed

Changed = Callable[[Trunk, NextHop], None]  # a next hop went down or came up; the trunk knows already

_HURRY = 10  # while probes speak against what a hop counts as, they come so many times quicker,
_SOONEST_S = 1.0  # but never sooner than this
_STAGGER_S = 0.05  # between first probes, so that many hops are not asked at once


class Probes:
    """The probes of all trunks. A probe is in vain after `calls.first_response_s` of silence, as an INVITE is."""

    def __init__(self, board: Board, changed: Changed) -> None:
        self._board = board
        self._changed = changed
        self._probes: dict[tuple[str, str], HopProbe] = {}

    def watch(self, trunks: Iterable[Trunk], now: float) -> None:
        """Probes the next hops of these trunks from now on, and no others. One that is new is first asked after
        a whole interval without calls: it counts as up until then."""
        before, self._probes = self._probes, {}
        for trunk in trunks:
            interval = float(trunk.settings.probe_interval_s)
            for hop in trunk.next_hops if interval else ():
                key = (trunk.name, str(hop))
                probe = before.pop(key, None)
                if probe is None or probe.hop is not hop:
                    first = now + interval + len(self._probes) * _STAGGER_S
                    probe = HopProbe(self._board, trunk, hop, self._changed, interval, first)
                else:
                    probe.ask_every(interval, now)
                self._probes[key] = probe
        for probe in before.values():
            probe.stop(now)


class HopProbe(Timed):
    """The probes of one next hop: at most one is out at a time."""

    __slots__ = ("_asked", "_board", "_changed", "_interval", "_wanted", "hop", "trunk")

    def __init__(
        self, board: Board, trunk: Trunk, hop: NextHop, changed: Changed, interval: float, first: float
    ) -> None:
        super().__init__()
        self.hop = hop
        self.trunk = trunk
        self._board = board
        self._changed = changed
        self._interval = interval
        self._asked: _Asked | None = None
        self._wanted = False  # asked at once, however short a time ago a call was heard
        hop.health.on_suspicion = self.suspect
        board.endpoint.wheel.schedule(self, first)

    def ask_every(self, interval: float, now: float) -> None:
        """Another interval from now on."""
        if interval != self._interval:
            self._interval = interval
            if self._asked is None:
                self._board.endpoint.wheel.schedule(self, now + interval)

    def suspect(self, now: float) -> None:
        """A call has failed there: is it the hop? Asked soon, if it has not been a moment ago."""
        if self._asked is None and not self._wanted and self.hop.health.up:
            self._wanted = True
            self._board.endpoint.wheel.schedule(self, min(self.deadline, now + _SOONEST_S))

    def stop(self, now: float) -> None:
        """Nothing is asked any more, and nothing held against the hop."""
        self._board.endpoint.wheel.drop(self)
        if self._asked is not None:
            self._asked.probe = None
            self._asked = None
        self._note(self.hop.health.trust(now))

    def wake(self, now: float) -> None:
        if self._asked is not None:
            self._asked.probe = None  # a later answer comes too late: a call would have gone elsewhere
            self.heard(0, "timeout", now)
            return
        quiet_until = self.hop.health.heard_at + self._interval
        if now < quiet_until and self.hop.health.up and not self._wanted:
            self._board.endpoint.wheel.schedule(self, quiet_until)
        else:
            self._ask(now)

    def heard(self, status: int, how: str, now: float) -> None:
        """The end of a probe: a final answer, or 0 and why there is none."""
        health = self.hop.health
        self._asked = None
        self._wanted = False
        changed = health.answered(status, now) if status else health.failed(how, now)
        delay = max(_SOONEST_S, self._interval / _HURRY) if health.unsettled else self._interval
        self._board.endpoint.wheel.schedule(self, now + delay)
        self._note(changed)

    def _note(self, changed: bool) -> None:
        if changed:
            self.trunk.refresh()
            self._changed(self.trunk, self.hop)

    def _ask(self, now: float) -> None:
        """Says nothing but who asks: no number, no call."""
        board, hop = self._board, self.hop
        host = f"[{hop.host}]" if ":" in hop.host else hop.host
        transport = "" if hop.transport == "udp" else f";transport={hop.transport}"
        tag, token = board.identifiers.token(), board.identifiers.token()
        request = OutgoingRequest(
            "OPTIONS",
            f"sip:{host}:{hop.port}{transport}",
            f"<sip:{board.advertise}>;tag={tag}",
            f"<sip:{host}:{hop.port}>",
            f"{tag}-{token}",
            1,
            headers=f"{board.contact(token, hop.transport)}Accept: {SESSION_TYPE}\r\n",
        )
        self._asked = asked = _Asked(self)
        board.endpoint.wheel.schedule(self, now + board.settings.first_response_s)
        flow = Flow(hop.transport, hop.host, hop.port, 0, self.trunk.name)
        board.endpoint.send_request(request, flow, asked, now)


class _Asked:
    """One OPTIONS that is out; `probe` is None once nobody waits for it."""

    __slots__ = ("probe",)

    def __init__(self, probe: HopProbe) -> None:
        self.probe: HopProbe | None = probe

    def on_response(self, response: Response, now: float) -> None:
        if response.status >= 200:
            self._tell(response.status, "", now)

    def on_timeout(self, now: float) -> None:
        self._tell(0, "timeout", now)

    def on_transport_error(self, now: float) -> None:
        self._tell(0, "transport", now)

    def _tell(self, status: int, how: str, now: float) -> None:
        probe, self.probe = self.probe, None
        if probe is not None:
            probe.heard(status, how, now)
