"""What the network brings back (ICMP): a request that cannot get there fails at once, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sip.door import FAR, Door, answer_to
from tests.sip.machines import Heard, invite

LEAST = 520  # octets of a datagram that Linux brings back over IPv4


def options() -> tuple[Door, Heard, bytes]:
    door, heard = Door(), Heard()
    door.endpoint.send_request(replace(invite(), method="OPTIONS"), FAR, heard, door.now)
    return door, heard, door.take()[0].encode()


def begun(to: str = "") -> tuple[Door, Heard, bytes]:
    """An INVITE on its way, and another one to the same place that nothing is said about."""
    door, heard, other = Door(), Heard(), Heard()
    request = replace(invite(), to=to) if to else invite()
    door.endpoint.send_invite(request, FAR, heard, door.now)
    sent = door.take()[0].encode()
    door.endpoint.send_invite(invite(), FAR, other, door.now)
    door.take()
    return door, heard, sent


def test_an_invite_that_comes_back_fails_at_once_and_alone() -> None:
    door, heard, sent = begun()
    door.endpoint.came_back(sent[:LEAST], door.now)
    assert heard.events == ["error"]
    assert door.endpoint.transactions_active == 1
    door.endpoint.came_back(sent, door.now)
    assert heard.events == ["error"]


def test_a_probe_that_comes_back_fails_at_once() -> None:
    door, heard, sent = options()
    door.endpoint.came_back(sent, door.now)
    assert heard.events == ["error"]
    door.run(1.0)
    assert door.quiet


def test_within_a_dialog_it_is_repeated_on() -> None:
    """A far end that is only starting again answers one of the repeats."""
    door, heard, sent = begun("<sip:13800000002@192.0.2.9>;tag=they")
    door.endpoint.came_back(sent, door.now)
    assert heard.events == []
    assert sent.decode() in door.run(0.51)


def test_once_something_has_come_from_there_it_is_waited_for() -> None:
    door, heard, sent = begun()
    door.receive(answer_to(sent.decode(), 180))
    door.endpoint.came_back(sent, door.now)
    assert heard.events == ["180"]


@pytest.mark.parametrize("kept", [0, 8, 60])
def test_too_little_to_tell_whose_it_was_changes_nothing(kept: int) -> None:
    door, heard, sent = begun()
    door.endpoint.came_back(sent[:kept], door.now)
    assert heard.events == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(b"branch=z9hG4bK", b"branch=z9hG4bKx"), (b"INVITE ", b"ACK "), (b"INVITE ", b"\xff ")],
)
def test_what_was_never_sent_changes_nothing(ours: bytes, theirs: bytes) -> None:
    door, heard, sent = begun()
    door.endpoint.came_back(sent.replace(ours, theirs, 1), door.now)
    assert heard.events == []
    assert door.endpoint.transactions_active == 2


def test_an_answer_of_ours_that_comes_back_changes_nothing() -> None:
    door, heard, _ = begun()
    door.endpoint.came_back(
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\nTo: <sip:a>\r\n", 1.0
    )
    assert heard.events == []
