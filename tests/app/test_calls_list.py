"""How the signalling process lists its calls, a page at a time."""

import asyncio
from pathlib import Path
from typing import Any

from engine.app.signalling import Signalling
from engine.calls.call import Call
from engine.calls.record import CallRecord
from engine.settings import load_settings
from tests.app.tables import write_config


async def test_pages_follow_each_other_while_calls_begin_and_end(tmp_path: Path) -> None:
    config, _ = write_config(tmp_path, "")
    signalling = Signalling(load_settings(config, []), asyncio.get_running_loop())
    board = signalling._board

    def begin(name: str) -> None:
        Call(board, CallRecord(record_id=name, caller="+8613800000001"), 0.0)

    def page(after: int | None) -> tuple[list[str], int | None]:
        answer: Any = signalling.serve("calls.list", {"limit": 2, "after": after})
        assert all(call["caller"] == "138****0001" for call in answer["calls"])
        return [call["record_id"] for call in answer["calls"]], answer["next"]

    assert page(None) == ([], None)
    for name in ("f", "e", "d", "c"):
        begin(name)
    assert page(None) == (["f", "e"], 2)
    del board.calls["e"], board.calls["f"]  # the last one listed has ended
    begin("b")
    begin("a")
    assert page(2) == (["d", "c"], 4)
    del board.calls["b"]
    assert page(4) == (["a"], None)  # nothing follows: no further page
    assert page(6) == ([], None)
    board.calls.clear()
    signalling.stop()
    await signalling.run_until_stopped()
