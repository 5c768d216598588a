"""A flow is read from its folder, or refused with file and reason."""

from pathlib import Path

import pytest

from engine.lab.flow import BadFlow, flow_folders, load_flow
from tests.flows.stage import SCENARIOS


def folder_with(folder: Path, **files: str) -> Path:
    """Files by name with _ for the dot; uac.xml is always there."""
    for name, text in {"uac_xml": "<scenario/>", **files}.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return folder


def test_every_flow_of_the_lab_is_good_and_says_what_it_proves() -> None:
    flows = [load_flow(folder) for folder in flow_folders(SCENARIOS)]
    assert len(flows) >= 20
    for flow in flows:
        assert flow.file.proves.endswith(".")
        assert flow.file.record["reason"]
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
    assert flow.overrides("127.0.0.9") == ("sip.t1_ms=100", 'trunks.pstn.next_hops=["udp://127.0.0.9:1"]')


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
