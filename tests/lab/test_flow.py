"""A flow is read from its folder, or refused with file and reason."""

from pathlib import Path

import pytest

from engine.lab.flow import BadFlow, flow_folders, load_flow
from engine.lab.relay import Conditions
from tests.flows.stage import SCENARIOS


def folder_with(folder: Path, **files: str) -> Path:
    """Files by name with _ for the dot of the ending; uac.xml is always there."""
    for name, text in {"uac_xml": "<scenario/>", **files}.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
    return folder


def test_every_flow_of_the_lab_is_good_and_says_what_it_proves() -> None:
    flows = [load_flow(folder) for folder in flow_folders(SCENARIOS)]
    assert len(flows) >= 20
    for flow in flows:
        assert flow.file.proves.endswith(".")
        said = set(flow.file.record) | set(flow.table.columns)
        assert "reason" in said if flow.file.recorded else flow.file.record == {}
        assert flow.table.columns[:2] == ("caller", "dialled")
    assert len({flow.file.order for flow in flows}) == len(flows)


def test_a_caller_alone_is_a_flow(tmp_path: Path) -> None:
    flow = load_flow(folder_with(tmp_path))
    assert (flow.calls, flow.has_callee, flow.table.row_of(1)) == (1, False, {})


def test_calls_are_as_many_as_lines_and_begin_again(tmp_path: Path) -> None:
    table = "SEQUENTIAL\n# caller;dialled\n13800000001;7001\n13800000002;7002\n"
    flow = load_flow(folder_with(tmp_path, calls_csv=table))
    assert flow.calls == 2
    assert flow.table.row_of(3) == {"caller": "13800000001", "dialled": "7001"}


def test_settings_become_overrides(tmp_path: Path) -> None:
    toml = '[settings]\n"sip.t1_ms" = 100\n"trunks.pstn.next_hops" = ["udp://{callee_host}:1"]\n'
    flow = load_flow(folder_with(tmp_path, flow_toml=toml))
    assert flow.overrides() == ("sip.t1_ms=100", 'trunks.pstn.next_hops=["udp://{callee_host}:1"]')


def test_a_call_that_reaches_nobody_has_no_callee_in_its_line(tmp_path: Path) -> None:
    table = "SEQUENTIAL\n# caller;dialled;callee\n1;7001;2\n1;7001;\n"
    flow = load_flow(folder_with(tmp_path, calls_csv=table)).scaled(None, 5, None)
    assert (flow.calls, flow.ringing) == (5, 3)


def test_there_may_be_more_on_the_callees_side(tmp_path: Path) -> None:
    flow = load_flow(folder_with(tmp_path, uas_5092_xml="<scenario/>", uas_xml="<scenario/>"))
    assert flow.other_callees == [("uas_5092", 5092)]


def test_a_bad_network_is_described(tmp_path: Path) -> None:
    network = load_flow(
        folder_with(tmp_path, flow_toml="[network]\nloss = 0.1\ndelay_ms = 20\n")
    ).file.network
    assert network is not None
    assert network.conditions() == Conditions(loss=0.1, delay_s=0.02)


def test_a_scaled_flow_gets_the_time_that_it_needs(tmp_path: Path) -> None:
    flow = load_flow(folder_with(tmp_path, flow_toml="timeout_s = 20\nrate = 10\n")).scaled(100, 10_000, 2.5)
    assert (flow.calls, flow.file.rate, flow.file.hold_ms) == (10_000, 100, 2500)
    assert flow.file.timeout_s > 102


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"flow_toml": "callz = 1"}, "callz"),
        ({"flow_toml": 'calls = "many"'}, "calls"),
        ({"flow_toml": "rate = 0"}, "positive"),
        ({"flow_toml": '[record]\nreasons = "x"'}, "record.reasons is no field"),
        ({"flow_toml": "[network]\nloss = 1.5"}, "probabilities"),
        ({"flow_toml": 'transport = "tcp"\n[network]\nloss = 0.5'}, "UDP only"),
        ({"flow_toml": "= 1"}, "flow.toml"),
        ({"calls_csv": "caller;dialled\n"}, "SEQUENTIAL"),
        ({"calls_csv": "SEQUENTIAL\n# caller;dialled\n1;2;3\n"}, "call 1 has 3 fields"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    with pytest.raises(BadFlow, match=reason):
        load_flow(folder_with(tmp_path, **files))


def test_a_folder_without_a_caller_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadFlow, match="no flow"):
        load_flow(tmp_path)
