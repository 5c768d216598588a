"""Phones that do anything at any time while a twentieth of all datagrams is lost: both and the record agree.

`python -m bench.phones` makes as many calls as one likes.
"""

from pathlib import Path

import pytest

from engine.lab.relay import Conditions
from tests.pjsua.agreement import agreement
from tests.pjsua.random_calls import run_random_calls

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("phones")]

CALLS = 24


async def test_phones_and_records_agree_on_random_calls(tmp_path: Path) -> None:
    said: list[str] = []
    run = await run_random_calls(tmp_path, CALLS, 6, Conditions(loss=0.05), seed=7, say=said.append)
    agreed = agreement(run, CALLS)
    assert agreed.problems == []
    assert run.lost > 0
    assert agreed.reasons["normal"] > 5
    assert sum(agreed.reasons.values()) == CALLS
    assert said[-1] == f"{CALLS} of {CALLS} calls made"
