"""Queues and drops of sockets that are really bound here."""

import socket
from pathlib import Path

import pytest

from engine.observe.udp_queues import UdpQueue, udp_queues


@pytest.mark.parametrize(
    ("family", "host", "shown"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")],
)
def test_what_waits_and_what_was_dropped(family: int, host: str, shown: str) -> None:
    with (
        socket.socket(family, socket.SOCK_DGRAM) as reader,
        socket.socket(family, socket.SOCK_DGRAM) as writer,
    ):
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.bind((host, 0))
        address = f"udp://{shown}:{reader.getsockname()[1]}"
        assert udp_queues([address]) == {address: UdpQueue(0, 0)}
        for _ in range(50):
            writer.sendto(b"x" * 500, reader.getsockname())
        queue = udp_queues([address])[address]
        assert queue.waiting >= 500
        assert 0 < queue.dropped < 50
        received = 50 - queue.dropped
        for _ in range(received):
            assert len(reader.recv(1000)) == 500
        assert udp_queues([address])[address].waiting == 0


def test_addresses_that_nobody_has_bound_and_other_transports_are_left_out() -> None:
    assert udp_queues(["tcp://127.0.0.1:5060", "udp://127.0.0.1:1"]) == {}


def test_two_sockets_on_one_address_count_together(tmp_path: Path) -> None:
    (tmp_path / "udp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode ref\n"
        "  1: 0100007F:13C4 00000000:0000 07 00000000:00000010 00:00000000 00000000     0        0 1 2 0 3\n"
        "  2: 0100007F:13C4 00000000:0000 07 00000000:000000FF 00:00000000 00000000     0        0 1 2 0 4\n"
        "  3: 0200007F:13C4 00000000:0000 07 00000000:00000F00 00:00000000 00000000     0        0 1 2 0 9\n"
    )
    assert udp_queues(["udp://127.0.0.1:5060"], tmp_path) == {"udp://127.0.0.1:5060": UdpQueue(0x10F, 7)}


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    assert udp_queues(["udp://127.0.0.1:5060"], tmp_path / "none") == {}
