"""Scenarios are put together from parts."""

from pathlib import Path

import pytest

from engine.lab.flow import flow_folders
from engine.lab.scenario import BadScenario, expanded
from tests.flows.stage import SCENARIOS


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_part_takes_the_place_of_its_line_with_its_indentation(tmp_path: Path) -> None:
    written(tmp_path, "parts/b.xml", "one\n\n  two\n")
    scenario = written(tmp_path, "s.xml", "<a>\n  <?include parts/b.xml?>\n</a>\n")
    assert expanded(scenario, [tmp_path]) == "<a>\n  one\n\n    two\n</a>\n"


def test_parts_include_parts_and_the_nearest_root_wins(tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    written(far, "parts/outer.xml", "<?include parts/inner.xml?>\n")
    written(far, "parts/inner.xml", "far\n")
    written(near, "parts/inner.xml", "near\n")
    scenario = written(near, "s.xml", "<?include parts/outer.xml?>\n")
    assert expanded(scenario, [near, far]) == "near\n"


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    scenario = written(tmp_path, "s.xml", "<?include parts/none.xml?>\n")
    with pytest.raises(BadScenario, match=r"s\.xml: there is no part parts/none\.xml"):
        expanded(scenario, [tmp_path])


def test_a_circle_is_refused(tmp_path: Path) -> None:
    scenario = written(tmp_path, "s.xml", "<?include s.xml?>\n")
    with pytest.raises(BadScenario, match="include one another"):
        expanded(scenario, [tmp_path])


def test_a_plain_scenario_stays_as_it_is(tmp_path: Path) -> None:
    text = '<?xml version="1.0"?>\n<scenario name="x"/>\n'
    assert expanded(written(tmp_path, "s.xml", text), [tmp_path]) == text


def test_every_message_that_the_lab_gets_is_looked_through() -> None:
    """Each <recv> of each flow has checks, but for 100 (of one hop)."""
    for folder in flow_folders(SCENARIOS):
        for path in sorted(folder.glob("*.xml")):
            name = path.name
            text = expanded(folder / name, [folder, SCENARIOS])
            for piece in text.split("<recv ")[1:]:
                one_hop = piece.startswith('response="100"')
                assert one_hop or "check_it_inverse" in piece.split("</recv>")[0], (
                    f"{folder / name}: {piece[:40]}"
                )
