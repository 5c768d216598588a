"""Next hops that are asked whether they live: when, with what, and what follows for calls."""

from __future__ import annotations

from typing import Any

import pytest

from engine.calls.probes import Probes
from engine.routing.next_hop import NextHop
from engine.routing.trunks import Trunk
from engine.sip.message import Request
from engine.sip.transactions.transaction import ServerTransaction
from tests.simulation.scene import BOB, HOPS, Scene
from tests.simulation.world import ENGINE, Passed


class Probed(Scene):
    """A scene whose next hops are probed. `told` has what changed: (second, next hop, up)."""

    def __init__(self, hops: int = 1, transport: str = "udp", **settings: Any) -> None:
        super().__init__(hops=hops, transport=transport, trunk={"probe_interval_s": 10, **settings})
        self.trunk = self.engine.switchboard.trunks.trunks[0]
        self.told: list[tuple[int, int, bool]] = []
        self.probes = Probes(self.engine.board, self._told)
        self.probes.watch([self.trunk], self.world.now)
        self.status = 200
        for phone in self.callees:
            phone.on_request = self._answering(phone, phone.on_request)  # type: ignore[method-assign]

    def probes_to(self, place: int = 0) -> list[Passed]:
        """Those that were asked of a hop, without what was only repeated."""
        found: dict[str, Passed] = {}
        for passed in self.world.log:
            if (
                passed.source == ENGINE
                and passed.target == HOPS[place]
                and passed.start.startswith("OPTIONS")
            ):
                found.setdefault(passed.text, passed)
        return list(found.values())

    def silence(self, place: int = 0) -> None:
        self.world.drop = lambda passed: passed.target == HOPS[place]

    def _told(self, trunk: Trunk, hop: NextHop) -> None:
        place = [address[0] for address in HOPS].index(hop.host)
        self.told.append((int(self.world.now - 1000.0), place, hop.health.up))

    def _answering(self, phone: Any, otherwise: Any) -> Any:
        def on_request(transaction: ServerTransaction, request: Request, now: float) -> None:
            if request.method == "OPTIONS" and not request.to_tag:
                phone.endpoint.respond(transaction, self.status, now, tag=phone.token())
            else:
                otherwise(transaction, request, now)

        return on_request


def seconds(probes: list[Passed]) -> list[int]:
    """When they were asked; the wheel is late by a tick or two."""
    return [int(probe.time - 1000.0) for probe in probes]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_quiet_hop_is_asked_every_interval(transport: str) -> None:
    scene = Probed(transport=transport)
    scene.run(35.0)
    assert seconds(scene.probes_to()) == [10, 20, 30]
    text = scene.probes_to()[0].text
    suffix = "" if transport == "udp" else ";transport=tcp"
    assert text.startswith(f"OPTIONS sip:{BOB[0]}:{BOB[1]}{suffix} SIP/2.0\r\n")
    assert "\r\nMax-Forwards: 70\r\n" in text
    assert "\r\nFrom: <sip:127.0.0.9>;tag=" in text
    assert len({probe.text.partition("Call-ID: ")[2].partition("\r")[0] for probe in scene.probes_to()}) == 3
    assert (scene.told, scene.trunk.next_hops[0].health.said) == ([], "200")


def test_a_silent_hop_goes_down_quickly_and_comes_back() -> None:
    scene = Probed()
    scene.silence()
    scene.run(30.0)
    # asked at 10; each is given up after 4 s of silence, the next comes a second later
    assert seconds(scene.probes_to())[:3] == [10, 15, 20]
    assert scene.told == [(24, 0, False)]
    assert not scene.trunk.usable
    scene.world.drop = lambda passed: False
    scene.run(15.0)  # asked at 34 again; the second answer follows soon
    assert scene.told[1:] == [(35, 0, True)]
    assert scene.trunk.usable
    _, callee = scene.talk()
    callee.hang_up()
    scene.run(1.0)


@pytest.mark.parametrize(
    ("status", "up"), [(404, True), (405, True), (481, True), (503, False), (408, False)]
)
def test_what_answers_say(status: int, up: bool) -> None:
    scene = Probed(probe_down_after=2)
    scene.status = status
    scene.run(15.0)
    assert scene.trunk.usable == up


def test_a_refused_connection_says_so_at_once() -> None:
    scene = Probed(transport="tcp", probe_down_after=1)
    scene.world.unreachable = {BOB}
    scene.run(10.5)
    assert scene.told == [(10, 0, False)]
    assert scene.trunk.next_hops[0].health.said == "transport"


def test_a_busy_hop_is_not_asked() -> None:
    scene = Probed()
    for _ in range(6):
        _, callee = scene.talk()
        callee.hang_up()
        scene.run(4.8)
    assert scene.probes_to() == []
    scene.run(6.0)
    assert len(scene.probes_to()) == 1


def test_calls_that_get_through_outweigh_probes_that_do_not() -> None:
    scene = Probed(probe_down_after=2)
    scene.world.drop = lambda passed: passed.start.startswith("OPTIONS")
    for _ in range(12):
        scene.run(4.0)
        _, callee = scene.talk()
        callee.hang_up()
    assert scene.trunk.usable


def test_a_call_that_fails_has_its_hop_asked_soon() -> None:
    scene = Probed(hops=2, probe_down_after=2)
    scene.run(2.0)
    scene.silence(0)
    call = scene.dial(seconds=5.0)
    scene.callees[1].calls[-1].ring(180)  # after 4 s of silence at the first
    scene.run(12.0)
    assert call.heard.responses[-1].status == 180
    assert seconds(scene.probes_to(0))[:2] == [7, 12]
    assert scene.told == [(16, 0, False)]
    call.cancel()
    scene.run(1.0)
    another = scene.dial()
    assert [len(phone.calls) for phone in scene.callees] == [0, 2]  # at once, without those 4 s
    another.cancel()
    scene.run(70.0)
    assert scene.engine.faults == []


def test_one_503_moves_no_traffic() -> None:
    scene = Probed(hops=2)
    scene.dial()
    scene.callees[0].calls[-1].reject(503)
    scene.run(3.0)
    assert len(scene.probes_to(0)) == 1
    assert scene.trunk.reachable == scene.trunk.next_hops
    assert len(scene.callees[1].calls) == 1


def test_a_new_configuration_changes_whom_it_asks() -> None:
    scene = Probed(hops=2, probe_down_after=1)
    settings = scene.trunk.settings
    scene.silence(0)
    scene.run(20.5)
    assert scene.told == [(14, 0, False)]
    settings.probe_interval_s = 5
    scene.trunk.configure(settings)
    scene.probes.watch([scene.trunk], scene.world.now)
    scene.world.drop = lambda passed: False
    scene.run(4.9)
    assert len(scene.probes_to(1)) == 2  # at 10 and 20
    scene.run(0.2)
    assert len(scene.probes_to(1)) == 3
    scene.silence(0)
    settings.next_hops = settings.next_hops[1:]
    scene.trunk.configure(settings)
    scene.probes.watch([scene.trunk], scene.world.now)
    asked = len(scene.probes_to(0))
    scene.run(40.0)
    assert len(scene.probes_to(0)) == asked
    settings.probe_interval_s = 0
    scene.trunk.configure(settings)
    scene.probes.watch([scene.trunk], scene.world.now)
    asked = len(scene.probes_to(1))
    scene.run(40.0)
    assert len(scene.probes_to(1)) == asked
    assert scene.world.quiet()


def test_a_hop_that_is_not_probed_any_more_counts_as_up() -> None:
    scene = Probed(probe_down_after=1)
    scene.silence()
    scene.run(15.0)
    assert not scene.trunk.usable
    scene.trunk.settings.probe_interval_s = 0
    scene.probes.watch([scene.trunk], scene.world.now)
    assert scene.trunk.usable
    assert scene.told == [(14, 0, False), (15, 0, True)]
