"""What the signalling process reads off its rooms."""

from collections import Counter
from typing import Any

from engine.app.figures import calls_by_trunk
from engine.routing.trunks import Trunk


def trunk(name: str) -> Trunk:
    return Trunk(name, (), (), ())


def test_calls_are_counted_on_both_their_trunks() -> None:
    ways: Counter[tuple[Any, Any]] = Counter(
        {("pstn", "mobile"): 3, ("pstn", "pstn"): 2, ("pstn", None): 4, (None, None): 5}
    )
    assert calls_by_trunk((trunk("pstn"), trunk("mobile"), trunk("idle")), ways) == {
        ("pstn", "in"): 9,
        ("pstn", "out"): 2,
        ("mobile", "in"): 0,
        ("mobile", "out"): 3,
        ("idle", "in"): 0,
        ("idle", "out"): 0,
    }


def test_a_trunk_that_is_configured_no_more_has_no_figures() -> None:
    assert calls_by_trunk((trunk("pstn"),), Counter({("gone", "pstn"): 1})) == {
        ("pstn", "in"): 0,
        ("pstn", "out"): 1,
    }
