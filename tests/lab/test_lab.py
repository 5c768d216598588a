"""Which flows share an engine, and which come first."""

from dataclasses import replace

import msgspec

from engine.lab.flow import Flow, FlowFile, Network, load_flow
from engine.lab.lab import stints_of
from engine.lab.place import Place
from tests.flows.stage import SCENARIOS, Stage

PLACE = Place.of(Stage().settings())


def flow(name: str, **file: object) -> Flow:
    base = load_flow(SCENARIOS / "busy")
    return replace(base, name=name, file=msgspec.structs.replace(FlowFile(), **file))


def names(flows: list[Flow]) -> list[list[str]]:
    return [[one.name for one in stint.flows] for stint in stints_of(flows, PLACE)]


def test_flows_that_agree_on_the_settings_share_an_engine() -> None:
    t1 = {"sip.t1_ms": 50}
    flows = [flow("a"), flow("b", settings=t1), flow("c"), flow("d", settings=t1), flow("e", hold_ms=9000)]
    assert names(flows) == [["e", "a", "c"], ["b", "d"]]


def test_a_flow_may_have_an_engine_to_itself() -> None:
    assert sorted(names([flow("a"), flow("b", own_engine=True), flow("c", own_engine=True)])) == [
        ["a"],
        ["b"],
        ["c"],
    ]


def test_many_flows_are_shared_by_several_engines() -> None:
    stints = stints_of([flow(f"f{number}") for number in range(20)], PLACE)
    assert len(stints) == 3
    assert all(stint.flows is stints[0].flows for stint in stints)


def test_the_next_hop_is_where_the_callee_or_the_bad_network_is() -> None:
    flows = [flow("udp"), flow("tcp", callee_transport="tcp"), flow("lossy", network=Network(loss=0.1))]
    hops = {stint.flows[0].name: stint.overrides for stint in stints_of(flows, PLACE)}
    assert hops == {
        "udp": (),
        "tcp": ('trunks.pstn.next_hops=["tcp://{callee_host}:5090"]',),
        "lossy": ('trunks.pstn.next_hops=["udp://{callee_host}:5091"]',),
    }


def test_a_flow_may_say_itself_where_the_next_hop_is() -> None:
    own = {"trunks.pstn.next_hops": ["udp://{callee_host}:5090"]}
    (stint,) = stints_of([flow("own", callee_transport="tcp", settings=own)], PLACE)
    assert stint.overrides == ('trunks.pstn.next_hops=["udp://{callee_host}:5090"]',)
