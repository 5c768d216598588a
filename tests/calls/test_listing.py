"""Paging through the calls while they begin and end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.calls.board import Board
from engine.calls.call import Call
from engine.calls.record import CallRecord
from tests.simulation.scene import Scene


def begin(board: Board) -> Call:
    return Call(board, CallRecord(record_id=board.identifiers.token()), 0.0)


def test_calls_are_numbered_in_the_order_of_their_start_and_no_number_comes_twice() -> None:
    scene = Scene()
    for _ in range(3):
        scene.alice.call("700100000000001")
        scene.run(0.1)
    first, second, third = scene.engine.board.calls_after(0, 10)
    assert [call.number for call in (first, second, third)] == [1, 2, 3]
    scene.bob.calls[2].reject(486)
    scene.run(0.1)
    assert scene.engine.board.calls_after(0, 10) == [first, second]
    scene.dial()
    (fourth,) = scene.engine.board.calls_after(3, 10)  # the third has ended all the same
    assert fourth.number == 4
    for ringing in (0, 1, 3):
        scene.bob.calls[ringing].reject(486)
    scene.close(70.0)


@given(st.lists(st.sampled_from(["begin", "end first", "end last", "page"])), st.integers(1, 3))
def test_each_call_that_stays_is_listed_once_and_in_order(steps: list[str], most: int) -> None:
    board = Scene().engine.board
    staying = [begin(board) for _ in range(5)]
    passing: list[Call] = [begin(board) for _ in range(3)]
    listed: list[Call] = []
    for step in [*steps, *["page"] * (len(steps) + 8)]:
        if step == "begin":
            passing.append(begin(board))
        elif step == "page":
            listed += board.calls_after(listed[-1].number if listed else 0, most)
        elif passing:
            board.calls.pop(passing.pop(0 if step == "end first" else -1).record.record_id)
    numbers = [call.number for call in listed]
    assert numbers == sorted(set(numbers))
    assert [call for call in listed if call in staying] == staying
