"""Datagrams and streams that no decent peer sends: random, truncated, mutated, oversized, endless, half-open, slow.

`python -m bench.rubbish HOST PORT SECONDS` sends them from an address of its own as fast as one core can, and prints
how many of each kind it sent as one JSON value.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable

SOURCE = "127.200.0.1"
STREAMS_OPEN = 200
_BURST = 200  # datagrams between two looks at the clock and the streams
_LONGEST_DATAGRAM = 65_507
_DIFFERENT = 400  # messages of each kind, made beforehand so that the core sends and does not compose

Maker = Callable[[random.Random], bytes]


def main() -> int:
    """Send until the time is over."""
    host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    chance = random.Random(700)
    datagrams = _made(chance)
    sent: Counter[str] = Counter()
    streams = Streams(host, port, chance, sent)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((SOURCE, 0))
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        sender.setblocking(False)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for kind, data in chance.choices(datagrams, k=_BURST):
                try:
                    sender.sendto(data, (host, port))
                except (BlockingIOError, ConnectionRefusedError):
                    continue
                sent[kind] += 1
            streams.turn()
    streams.close()
    print(json.dumps(dict(sent)))
    return 0


class Streams:
    """TCP connections, each up to no good: silent, half a message, a byte now and then, a header without end, noise."""

    KINDS = ("tcp silent", "tcp half a message", "tcp byte by byte", "tcp endless header", "tcp noise")

    def __init__(self, host: str, port: int, chance: random.Random, sent: Counter[str]) -> None:
        self._to = (host, port)
        self._chance = chance
        self._sent = sent
        self._open: list[tuple[str, socket.socket, int]] = []

    def turn(self) -> None:
        """Open one more while there are few, and go on with one of those that are open."""
        if len(self._open) < STREAMS_OPEN:
            self._connect()
        if self._open:
            self._go_on(self._chance.randrange(len(self._open)))

    def close(self) -> None:
        """All of them, without a word."""
        for _, stream, _ in self._open:
            stream.close()

    def _connect(self) -> None:
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        stream.bind((SOURCE, 0))
        stream.setblocking(False)
        stream.connect_ex(self._to)
        kind = self._chance.choice(self.KINDS)
        self._sent[kind] += 1
        self._open.append((kind, stream, 0))

    def _go_on(self, index: int) -> None:
        kind, stream, position = self._open[index]
        message = invite(self._chance)
        data = {
            "tcp silent": b"",
            "tcp half a message": message[: len(message) // 2] if position == 0 else b"",
            "tcp byte by byte": message[position : position + 1],
            "tcp endless header": message[:40] if position == 0 else b"X-More: " + b"m" * 4096 + b"\r\n",
            "tcp noise": self._chance.randbytes(2048),
        }[kind]
        try:
            if data:
                position += stream.send(data)
                self._open[index] = (kind, stream, position)
        except BlockingIOError:
            return
        except OSError:  # the engine had enough of it
            self._sent["tcp closed by the engine"] += 1
            stream.close()
            del self._open[index]


def invite(chance: random.Random) -> bytes:
    """A good INVITE, each in a call of its own, from nobody to nobody."""
    token = f"{chance.getrandbits(64):x}"
    body = (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
    )
    return (
        f"INVITE sip:700100000010001@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {SOURCE}:5060;branch=z9hG4bK{token}\r\n"
        f"From: <sip:13800000099@{SOURCE}>;tag={token}\r\nTo: <sip:700100000010001@127.0.0.1>\r\nCall-ID: {token}\r\n"
        f"CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:x@{SOURCE}>\r\nContent-Type: application/sdp\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _made(chance: random.Random) -> list[tuple[str, bytes]]:
    makers: dict[str, Maker] = {
        "random": lambda chance: chance.randbytes(chance.randint(1, 1500)),
        "truncated": lambda chance: (whole := invite(chance))[: chance.randrange(len(whole))],
        "mutated": _mutated,
        "answer to nothing": lambda chance: b"SIP/2.0 200 OK\r\n" + invite(chance).partition(b"\r\n")[2],
        "zeros": lambda chance: bytes(chance.randint(1, 1500)),
        "keep-alive": lambda chance: b"\r\n\r\n",
    }
    made = [(kind, maker(chance)) for kind, maker in makers.items() for _ in range(_DIFFERENT)]
    rare: dict[str, Maker] = {
        "64 KiB random": lambda chance: chance.randbytes(_LONGEST_DATAGRAM),
        "64 KiB of headers": lambda chance: _filled(
            invite(chance).partition(b"\r\n\r\n")[0], b"\r\nX-More: more"
        ),
        "64 KiB of Vias": lambda chance: _filled(
            invite(chance)[:60], b"\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKa"
        ),
        "64 KiB header": lambda chance: _filled(invite(chance)[:60] + b"\r\nSubject: ", b"long"),
        "64 KiB folded": lambda chance: _filled(invite(chance)[:60] + b"\r\nSubject: a", b"\r\n b"),
    }
    return made + [(kind, maker(chance)) for kind, maker in rare.items() for _ in range(_DIFFERENT // 40)]


def _mutated(chance: random.Random) -> bytes:
    """A good message with up to eight bytes changed, doubled or taken out."""
    message = bytearray(invite(chance))
    for _ in range(chance.randint(1, 8)):
        place = chance.randrange(len(message))
        what = chance.randrange(3)
        if what == 0:
            message[place] = chance.randrange(256)
        elif what == 1:
            message[place:place] = message[place : place + chance.randint(1, 40)]
        else:
            del message[place : place + chance.randint(1, 10)]
    return bytes(message)


def _filled(start: bytes, piece: bytes) -> bytes:
    return (start + piece * (1 + (_LONGEST_DATAGRAM - len(start)) // len(piece)))[:_LONGEST_DATAGRAM]


if __name__ == "__main__":
    sys.exit(main())
