"""A HEP3 collector of the tests' own: it decodes packets from the protocol's description, chunk by chunk."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address

import asyncio_dgram


@dataclass(frozen=True)
class Packet:
    """`chunks`: value by type; a type that comes twice, or another vendor's, is an error."""

    chunks: dict[int, bytes]

    def number(self, kind: int) -> int:
        return int.from_bytes(self.chunks[kind], "big")

    @property
    def source(self) -> tuple[str, int]:
        return str(ip_address(self.chunks.get(3) or self.chunks[5])), self.number(7)

    @property
    def destination(self) -> tuple[str, int]:
        return str(ip_address(self.chunks.get(4) or self.chunks[6])), self.number(8)

    @property
    def time(self) -> float:
        return self.number(9) + self.number(10) / 1_000_000

    @property
    def text(self) -> str:
        return self.chunks[15].decode("utf-8", "surrogateescape")

    @property
    def start(self) -> str:
        return self.text.partition("\r\n")[0]

    @property
    def correlation(self) -> str:
        return self.chunks.get(17, b"").decode()


def decode(data: bytes) -> Packet:
    """Raises AssertionError for what is no HEP3 packet."""
    assert data[:4] == b"HEP3"
    assert int.from_bytes(data[4:6], "big") == len(data)
    chunks: dict[int, bytes] = {}
    place = 6
    while place < len(data):
        vendor, kind, length = (int.from_bytes(data[place + at : place + at + 2], "big") for at in (0, 2, 4))
        assert vendor == 0
        assert kind not in chunks
        assert length >= 6
        assert place + length <= len(data)
        chunks[kind] = data[place + 6 : place + length]
        place += length
    return Packet(chunks)


class Collector:
    """Listens on 127.0.0.1; `packets` are those that came, decoded, and `octets` as they were."""

    def __init__(self, stream: asyncio_dgram.DatagramServer) -> None:
        self.packets: list[Packet] = []
        self.octets: list[bytes] = []
        self.last_sender = ("", 0)
        self._stream = stream
        self._came = asyncio.Condition()
        self._task = asyncio.create_task(self._listen())

    @staticmethod
    async def open(port: int = 0) -> Collector:
        return Collector(await asyncio_dgram.bind(("127.0.0.1", port)))

    @property
    def port(self) -> int:
        return int(self._stream.sockname[1])

    async def wait_for(self, count: int) -> list[Packet]:
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: len(self.packets) >= count)
        return self.packets

    async def say(self, data: bytes, to: tuple[str, int]) -> None:
        await self._stream.send(data, to)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._stream.close()
        await asyncio.sleep(0)

    async def _listen(self) -> None:
        while True:
            data, sender = await self._stream.recv()
            assert isinstance(sender, tuple)
            self.last_sender = sender[:2]
            async with self._came:
                self.octets.append(data)
                self.packets.append(decode(data))
                self._came.notify_all()
