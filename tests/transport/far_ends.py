"""Far ends of TCP connections, in both directions, and what closes them all when a test is over."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from engine.sip.flow import Flow
from tests.transport.core import HOST, PATIENCE_S, Engine, free_port


class Client:
    """The far end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.port = int(writer.get_extra_info("sockname")[1])

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self, octets: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(octets), PATIENCE_S)

    async def read_or_end(self, octets: int) -> bytes:
        """That many octets, or what came before the connection was closed or reset."""
        try:
            return await self.read(octets)
        except asyncio.IncompleteReadError as end:
            return end.partial
        except ConnectionError:
            return b"reset"

    async def ended(self) -> bytes:
        """What still came before the connection was closed; "reset" when it was reset."""
        try:
            return await asyncio.wait_for(self.reader.read(), PATIENCE_S)
        except ConnectionError:
            return b"reset"

    def reset(self) -> None:
        """Leaves so that what was sent here is lost."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class FarEnd:
    """A server that connections are made to; `accepted` waits for the next one."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port()
        self.flow = Flow("tcp", HOST, self.port, 0, "pstn")
        self.waiting: asyncio.Queue[Client] = asyncio.Queue()
        self.clients: list[Client] = []
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)

    async def accepted(self) -> Client:
        return await asyncio.wait_for(self.waiting.get(), PATIENCE_S)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for client in self.clients:
            await client.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(reader, writer)
        self.clients.append(client)
        self.waiting.put_nowait(client)


class Network:
    """Makes engines and far ends, and closes them."""

    def __init__(self) -> None:
        self._engines: list[Engine] = []
        self._clients: list[Client] = []
        self._far_ends: list[FarEnd] = []

    async def engine(
        self,
        most: int = 100,
        idle_s: float = 60.0,
        message_s: float = 60.0,
        trunk: str = "lab",
        most_unsent: int = 64 * 1_048_576,
        ping_s: float = 0.0,
    ) -> Engine:
        self._engines.append(Engine())
        return await self._engines[-1].listen_tcp(most, idle_s, message_s, trunk, most_unsent, ping_s)

    async def connect(self, engine: Engine, limit: int = 65_536) -> Client:
        """A client that takes about twice `limit` octets before somebody reads them here."""
        client = Client(*await asyncio.open_connection(HOST, engine.port, limit=limit))
        self._clients.append(client)
        return client

    async def far_end(self, port: int = 0) -> FarEnd:
        far_end = FarEnd(port)
        await far_end.listen()
        self._far_ends.append(far_end)
        return far_end

    async def close(self) -> None:
        for engine in self._engines:
            engine.driver.close()
        for client in self._clients:
            await client.close()
        for far_end in self._far_ends:
            await far_end.close()
        await asyncio.sleep(0.002)  # what was accepted last has to be told that it is over
