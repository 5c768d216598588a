"""Every flow of the lab passes against a real engine, and the lab leaves nothing behind."""

import re
from pathlib import Path

import pytest

from engine.lab.flow import flow_folders, load_flow
from engine.lab.place import Place
from engine.lab.sockets import free_port
from tests.flows.stage import SCENARIOS, Stage

pytestmark = [pytest.mark.sipp, pytest.mark.slow, pytest.mark.xdist_group("sipp")]

STAGE = Stage()


def with_real_numbers(folder: Path) -> list[str]:
    """What the engines wrote, logs included, in which a real number of the lab stands in clear."""
    written = [
        path for path in folder.glob("lab/engine*") for path in (path, *path.rglob("*")) if path.is_file()
    ]
    assert len(written) > 5
    return [str(path) for path in written if re.search(rb"1380000\d{4}", path.read_bytes())]


async def test_every_flow_passes(tmp_path: Path) -> None:
    flows = [load_flow(folder) for folder in flow_folders(SCENARIOS)]
    flows = [flow.scaled(50, 100, 0.2) if flow.file.load else flow for flow in flows]
    outcomes = await STAGE.lab(tmp_path).run(flows)
    assert [outcome.flow.name for outcome in outcomes] == [flow.name for flow in flows]
    assert {outcome.flow.name: outcome.verdict.problems for outcome in outcomes if not outcome.passed} == {}
    assert all(outcome.verdict.passed == outcome.flow.calls for outcome in outcomes)
    assert with_real_numbers(tmp_path) == []
    Place.of(STAGE.settings()).check_free()
    assert free_port("tcp", STAGE.host, 5090)
