"""`python -m engine.observe.capture_sender SOCKET`: masks messages, packs them as HEP3 and sends them to a collector.

A process of its own and of low priority: what masking costs is a multiple of what a message costs signalling, and
no call may wait for it. It is started by the signalling process, learns over the socket what to do, and ends when
the socket does. Once a second it tells there what it has sent, dropped and not got through.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import Final

import asyncio_dgram
import msgspec
import uvloop

from engine.observe.capture import DROPPED, FAILED, LARGEST_BATCH, SENT, Entry, entries
from engine.observe.hep import Address, Agent, encode
from engine.observe.masked_sip import masked_message

_RECONNECT_S: Final = 5.0
_REPORT_S: Final = 1.0
_NICENESS: Final = 19  # it takes what calls leave over


class Orders(msgspec.Struct):
    """The first thing that is told. `collector` and `own` are (host, port): the UDP sockets' ends, then the end
    that stands for TCP: the socket that listens, also for connections that are made from here, so that a collector
    draws one engine and not one for each connection."""

    collector: tuple[str, int]
    own: list[tuple[str, int]]
    agent: int
    name: str
    password: str
    mask: bool


class Sender:
    """`take` sends a batch; `counted` are the messages since they were last told."""

    def __init__(self, orders: Orders) -> None:
        self.counted: dict[str, int] = {}
        self._collector = orders.collector
        self._own = [Address.of(host, port) for host, port in orders.own]
        self._agent = orders.agent
        self._ending = Agent(orders.agent, orders.name, orders.password).ending()
        self._mask = orders.mask
        self._key = os.urandom(32)
        self._stream: asyncio_dgram.DatagramClient | None = None
        self._listening: asyncio.Task[None] | None = None
        self._retry_at = 0.0

    async def take(self, batch: bytes) -> None:
        """Sends each message of a batch, or counts why not."""
        for entry in entries(batch):
            packet = self._packet(entry)
            if packet is None:
                self._count(DROPPED)
            elif await self._send(packet):
                self._count(SENT)
            else:
                self._count(FAILED)

    def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _packet(self, entry: Entry) -> bytes | None:
        try:
            data = masked_message(entry.data, self._key) if self._mask else entry.data
            there, here = Address.of(entry.host, entry.port), self._own[-1 if entry.tcp else entry.own]
            source, destination = (there, here) if entry.incoming else (here, there)
            transport = "tcp" if entry.tcp else "udp"
            return encode(
                transport, source, destination, entry.at, data, entry.correlation, self._agent, self._ending
            )
        except Exception:
            return None  # rather none than one that is not masked

    async def _send(self, packet: bytes) -> bool:
        try:
            stream = self._stream or await self._connected()
            if stream is None:
                return False
            await stream.send(packet)
        except OSError:  # also of a packet before it: nobody listens there
            return False
        except asyncio_dgram.TransportClosed:
            self.close()
            return False
        return True

    async def _connected(self) -> asyncio_dgram.DatagramClient | None:
        now = asyncio.get_running_loop().time()
        if now < self._retry_at:
            return None
        self._retry_at = now + _RECONNECT_S
        self._stream = await asyncio_dgram.connect(self._collector)
        self._listening = asyncio.create_task(_listen(self._stream), name="what the collector says")
        return self._stream

    def _count(self, result: str) -> None:
        self.counted[result] = self.counted.get(result, 0) + 1


async def serve(end: socket.socket) -> None:
    """Does what comes over `end` until it ends: Orders, then batches."""
    loop = asyncio.get_running_loop()
    end.setblocking(False)
    orders = await loop.sock_recv(end, LARGEST_BATCH)
    if not orders:
        return
    sender = Sender(msgspec.json.decode(orders, type=Orders))
    telling = asyncio.create_task(_tell(end, sender), name="figures")
    try:
        while batch := await loop.sock_recv(end, LARGEST_BATCH):
            await sender.take(batch)
            await asyncio.sleep(0)  # figures and what the collector says get their turn
    except ConnectionError:
        pass  # the signalling process is gone
    finally:
        telling.cancel()
        await asyncio.sleep(0)  # what was given to the loop leaves
        sender.close()


def main() -> int:
    """Exit status 0."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            one, signal.SIG_IGN
        )  # the end of the socket ends it, after the last call's last message
    os.nice(_NICENESS)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(socket.socket(fileno=int(sys.argv[1]))))
    return 0


async def _tell(end: socket.socket, sender: Sender) -> None:
    while True:
        await asyncio.sleep(_REPORT_S)
        if sender.counted:
            counted, sender.counted = sender.counted, {}
            with contextlib.suppress(OSError):
                end.send(msgspec.json.encode(counted))


async def _listen(stream: asyncio_dgram.DatagramClient) -> None:
    """Takes away what the collector says, which nobody here needs, and which would stay in memory."""
    while True:
        try:
            await stream.recv()
        except OSError:
            continue
        except asyncio_dgram.TransportClosed:
            return


if __name__ == "__main__":
    sys.exit(main())
