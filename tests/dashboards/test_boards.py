"""The dashboards' files: that Grafana can lay them out, and that they speak of what there is."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.observe import catalogue
from tests.dashboards.boards import FILES, GRAFANA, Query, panels, queries, read
from tests.dashboards.expressions import exported_names, labels_in, names_in
from tests.dashboards.test_rules import rules

UID = yaml.safe_load((GRAFANA / "datasources" / "prometheus.yaml").read_text("utf-8"))["datasources"][0][
    "uid"
]
UNITS = {"none", "short", "percentunit", "s", "bytes", "cps", "ops", "reqps", "pps"}
KINDS = {"stat", "timeseries", "table", "heatmap"}
RECORDED = {str(rule["record"]) for rule in rules() if "record" in rule}
OF_PROMETHEUS = {"job", "instance", "le", "quantile", "alertname", "alertstate", "severity", "class"}
EVERY = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def test_who_is_there() -> None:
    assert [path.stem for path in FILES] == ["bindings", "service", "sip", "trunks"]
    boards = [read(path) for path in FILES]
    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == 4


@EVERY
def test_what_grafana_asks_of_a_dashboard(path: Path) -> None:
    board = read(path)
    assert board["schemaVersion"] == 39
    assert board["tags"] == ["mask700"]
    assert board["description"]
    assert "id" not in board  # Grafana's own; in a file it would clash
    assert re.fullmatch(r"[a-z0-9-]{1,40}", board["uid"])
    assert {"from", "to"} == set(board["time"])
    assert board["templating"]["list"][0]["name"] == "node"


@EVERY
def test_panels_have_ids_of_their_own_and_lie_side_by_side(path: Path) -> None:
    every: list[dict[str, Any]] = read(path)["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert len({panel["title"] for panel in every}) == len(every)
    for panel in every:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["w"] > 0
        assert place["x"] + place["w"] <= 24
        assert place["h"] > 0
    for one, other in combinations(every, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


@EVERY
def test_a_panel_says_what_it_shows_in_which_unit(path: Path) -> None:
    for panel in panels(read(path)):
        title = panel["title"]
        assert panel["type"] in KINDS, title
        assert len(panel["description"]) > 20, title
        assert panel["description"].endswith("."), title
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, title
        assert panel["datasource"] == {"type": "prometheus", "uid": UID}, title
        targets = panel["targets"]
        assert targets, title
        assert len({target["refId"] for target in targets}) == len(targets), title
        for target in targets:
            assert target["datasource"] == panel["datasource"], title
            assert target["instant"] != target["range"], title
            assert target["instant"] == (panel["type"] in ("stat", "table")), title
        if panel["type"] == "timeseries":
            assert all(target["legendFormat"] for target in targets), title
        if panel["type"] == "heatmap":
            assert [target["format"] for target in targets] == ["heatmap"], title


@pytest.mark.parametrize("query", queries(), ids=str)
def test_queries_speak_of_metrics_labels_and_variables_that_there_are(query: Query) -> None:
    names = names_in(query.expr)
    assert names
    assert names <= exported_names() | RECORDED | {"ALERTS"}
    recorded = names & RECORDED
    known = {label for name in names for label in labels_of(name)} | OF_PROMETHEUS
    assert recorded or labels_in(query.expr) <= known, labels_in(query.expr) - known
    assert set(re.findall(r"\$\w+", query.expr)) <= {"$node", "$trunk", "$__rate_interval", "$__range"}
    assert "$node" in query.expr


@EVERY
def test_variables_that_are_used_are_declared(path: Path) -> None:
    board = read(path)
    declared = {"$" + variable["name"] for variable in board["templating"]["list"]}
    used = {
        word
        for panel in panels(board)
        for target in panel["targets"]
        for word in re.findall(r"\$\w+", target["expr"])
    }
    assert {word for word in used if not word.startswith("$__")} == declared


def test_every_metric_is_on_some_dashboard() -> None:
    """Or in a rule that is; but for what is left out on purpose."""
    shown = {name for query in queries() for name in names_in(query.expr)}
    shown |= {name for rule in rules() if rule.get("record") in shown for name in names_in(str(rule["expr"]))}
    shown |= {name for rule in rules() if "alert" in rule for name in names_in(str(rule["expr"]))}
    missing = {
        metric.name
        for metric in catalogue.METRICS
        if not {metric.name, f"{metric.name}_bucket", f"{metric.name}_sum"} & shown
    }
    assert (
        missing
        == {
            catalogue.MESSAGES,  # text messages are not built
            catalogue.CAPTURED,  # opt-in
            catalogue.OUTLET_FAILURES,  # opt-in; the alerts ask whether an outlet works and how old what it lacks is
            catalogue.OUTLET_LAG_RECORDS,
            catalogue.OUTLET_RECORDS,
        }
    )


def test_grafana_finds_the_dashboards() -> None:
    (provider,) = yaml.safe_load((GRAFANA / "dashboards" / "mask700.yaml").read_text("utf-8"))["providers"]
    compose = (GRAFANA.parent.parent / "compose.yaml").read_text("utf-8")
    assert provider["options"]["path"] == "/etc/grafana/provisioning/dashboards"
    assert "./config/grafana:/etc/grafana/provisioning:ro" in compose


def labels_of(name: str) -> tuple[str, ...]:
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    metric = catalogue.BY_NAME.get(name) or catalogue.BY_NAME.get(base)
    return metric.labels if metric else ()
