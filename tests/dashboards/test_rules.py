"""Recording rules and alerts: what promtool says of them, and that they speak of metrics that there are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.dashboards.expressions import exported_names, names_in

ROOT = Path(__file__).resolve().parent.parent.parent
PROMETHEUS = ROOT / "config" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
UNIT_TESTS = sorted(Path(__file__).parent.glob("*.yml"))


def rules() -> list[dict[str, object]]:
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
        for rule in group["rules"]
    ]


def promtool(*words: str | Path) -> str:
    done = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_is_valid() -> None:
    assert "2 rule files found" in promtool("check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_rules_give_what_they_should(path: Path) -> None:
    promtool("test", "rules", path)


def test_every_rule_has_its_unit_test() -> None:
    tested = "".join(path.read_text("utf-8") for path in UNIT_TESTS)
    names = {str(rule.get("record") or rule["alert"]) for rule in rules()}
    assert len(names) > 40
    assert sorted(name for name in names if name not in tested) == []


def test_rules_speak_of_metrics_that_there_are() -> None:
    recorded = {str(rule["record"]) for rule in rules() if "record" in rule}
    known = exported_names() | recorded | {"up"}
    for rule in rules():
        assert names_in(str(rule["expr"])) <= known, rule


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    for rule in rules():
        if "alert" not in rule:
            continue
        annotations = rule["annotations"]
        assert isinstance(annotations, dict)
        assert set(annotations) == {"summary", "description"}
        assert "{{ $labels.instance }}" in annotations["summary"], rule["alert"]
        assert len(annotations["description"]) > 60, rule["alert"]
        assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"})


def test_an_expression_s_names_are_found() -> None:
    expression = (
        'sum by (job, le) (rate(mask700_calls_total{reason="x_total"}[5m])) / instance:mask700_a:ratio > 0'
    )
    assert names_in(expression) == {"mask700_calls_total", "instance:mask700_a:ratio"}
