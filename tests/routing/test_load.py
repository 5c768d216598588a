"""What a trunk carries in one direction."""

from engine.routing.load import Load


def test_without_limits_it_only_counts() -> None:
    load = Load()
    for _ in range(5):
        assert not load.full(7.0)
        load.begin(7.0)
    load.end()
    assert load.calls == 4


def test_so_many_calls_at_once() -> None:
    load = Load(max_calls=2)
    load.begin(1.0)
    assert not load.full(1.0)
    load.begin(1.0)
    assert load.full(9.0)
    load.end()
    assert not load.full(9.0)


def test_so_many_calls_in_a_second() -> None:
    load = Load(max_per_s=2)
    load.begin(7.0)
    load.begin(7.5)
    assert load.full(7.9)
    load.end()
    assert load.full(7.9)  # a short call was one all the same
    assert not load.full(8.0)
    load.begin(8.0)
    assert not load.full(8.1)
    assert not load.full(7.9)  # a clock that was put back stops nobody


def test_a_limit_that_comes_later_knows_the_calls_that_are_up() -> None:
    load = Load()
    load.begin(1.0)
    load.max_calls = 1
    assert load.full(2.0)
