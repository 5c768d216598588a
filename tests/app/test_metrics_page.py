"""What stands on the page before anything has happened."""

from engine.app.metrics_page import expected_series
from engine.authorization.reason import Reason, word
from engine.observe import catalogue


def test_expected_series_are_of_the_catalogue_and_each_stands_once() -> None:
    series = list(expected_series())
    assert len(series) == len(set(series))
    for name, labels in series:
        assert len(labels) == len(catalogue.BY_NAME[name].labels)


def test_every_reason_is_expected_with_its_models() -> None:
    calls = [labels for name, labels in expected_series() if name == catalogue.CALLS]
    assert {reason for _, _, reason in calls} == {word(reason) for reason in Reason} - {"engine_restart"}
    assert ("AXYB", "busy", "callee_busy") in calls
    assert ("AX", "refused", "direction") in calls
    assert ("none", "refused", "not_bound") in calls
    assert ("AXB", "refused", "not_bound") not in calls
