"""When a far end is tried again."""

from engine.transport.backoff import Backoff

ONE, OTHER = ("192.0.2.1", 5060), ("192.0.2.2", 5060)


def test_trials_become_rarer() -> None:
    backoff = Backoff(4.0)
    assert [backoff.failed(ONE, False, 100.0) for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert backoff.failed(OTHER, False, 100.0) == 1


def test_a_refusal_is_asked_for_again_almost_at_once() -> None:
    backoff = Backoff(4.0)
    backoff.failed(ONE, False, 100.0)
    assert backoff.avoids(ONE, 100.05)
    assert not backoff.avoids(ONE, 100.11)
    assert not backoff.avoids(OTHER, 100.05)


def test_nobody_is_made_to_wait_for_who_is_silent_again() -> None:
    """Not while it is tried, either: that takes as long as it took the first time."""
    backoff = Backoff(4.0)
    assert backoff.failed(ONE, True, 100.0) == 1
    assert backoff.avoids(ONE, 104.9)
    assert not backoff.avoids(ONE, 105.1)
    backoff.connected(ONE)
    assert not backoff.avoids(ONE, 104.9)


def test_a_connection_that_stayed_is_made_again_at_once_and_one_that_does_not_stay_ever_later() -> None:
    backoff = Backoff(4.0)
    assert [backoff.lost(ONE, lived) for lived in (3600.0, 0.1, 0.1, 0.1, 20.0, 0.1)] == [0, 2, 4, 8, 0, 2]


def test_what_is_remembered_is_bounded() -> None:
    backoff = Backoff(4.0)
    for port in range(10_000):
        backoff.failed(("192.0.2.1", port), True, 100.0)
    assert not backoff.avoids(("192.0.2.1", 1), 100.0)
    assert backoff.avoids(("192.0.2.1", 9_999), 100.0)
