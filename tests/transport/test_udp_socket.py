"""A UDP socket by itself: who is listened to, and how much is read at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from engine.transport.udp import MOST_FAULTS, PER_WAKE_UP, UdpSocket


@pytest.fixture
def door() -> Iterator[UdpSocket]:
    opened = UdpSocket("127.0.0.1", 0, 1, 1 << 20, lambda host: "lab")
    yield opened
    opened.close()


def far_end() -> socket.socket:
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.bind(("127.0.0.1", 0))
    return end


def test_who_sends_rubbish_is_not_listened_to_until_forgiven(door: UdpSocket) -> None:
    """Others are heard meanwhile, also when a thousand datagrams of the offender stand before theirs."""
    bad, good = far_end(), far_end()
    with bad, good:
        bad.sendto(b"rubbish", door.address)
        [(_, offender)] = door.read()
        offender.faults = MOST_FAULTS
        for _ in range(1000):
            bad.sendto(b"rubbish", door.address)
        good.sendto(b"hello", door.address)
        assert [data for data, _ in door.read()] == [b"hello"]
        assert not door.more
        assert door.forgive() == 1000
        assert door.forgive() == 0
        bad.sendto(b"better now", door.address)
        [(data, flow)] = door.read()
        assert data == b"better now"
        assert flow is offender
        assert flow.faults == 0


def test_a_wake_up_takes_a_bounded_number(door: UdpSocket) -> None:
    with far_end() as end:
        for _ in range(PER_WAKE_UP + 1):
            end.sendto(b"x", door.address)
        assert len(door.read()) == PER_WAKE_UP
        assert door.more
        assert len(door.read()) == 1
        assert not door.more
