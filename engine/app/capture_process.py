"""The process that sends what is captured, as the signalling process sees it: started, fed, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

import msgspec

from engine.observe.capture import DROPPED, FAILED, SENT, Capture
from engine.observe.capture_sender import Orders
from engine.observe.logs import get_logger

_LAST_WORDS_S = 1.0  # how long a stopping engine lets it send what it has
_LARGEST_REPORT = 4096
_RESULTS = (SENT, DROPPED, FAILED)

_log = get_logger("capture")


class CaptureProcess:
    """`buffer` is in octets: what may wait to be sent. One that died is started again after `again_s` seconds."""

    def __init__(self, capture: Capture, orders: Orders, buffer: int, again_s: float = 5.0) -> None:
        self._capture = capture
        self._orders = msgspec.json.encode(orders)
        self._collector = "udp://{}:{}".format(*orders.collector)
        self._buffer = buffer
        self._again_s = again_s
        self._process: asyncio.subprocess.Process | None = None
        self._end: socket.socket | None = None
        self._supervising: asyncio.Task[None] | None = None
        self._complained = False

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return 0 if self._process is None or self._process.returncode is not None else self._process.pid

    async def start(self) -> None:
        """Returns once it has been tried: calls need not wait for it to succeed."""
        tried = asyncio.Event()
        self._supervising = asyncio.create_task(self._supervise(tried), name="capture")
        await tried.wait()

    async def close(self) -> None:
        """Lets it send what it has, if that goes quickly."""
        if self._supervising is not None:
            self._supervising.cancel()
            await asyncio.gather(self._supervising, return_exceptions=True)
        self._let_go()  # which tells it to end
        if self._process is not None and self.pid:
            try:
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()

    async def _supervise(self, tried: asyncio.Event) -> None:
        while True:
            try:
                process = await self._run()
                tried.set()
                status = await process.wait()
                _log.error("capture ended and is started again", status=status)
            except OSError as error:
                _log.error("capture does not start", why=str(error))
            tried.set()
            self._let_go()
            await asyncio.sleep(self._again_s)

    async def _run(self) -> asyncio.subprocess.Process:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._end = ours
        with theirs:
            ours.setblocking(False)
            _enlarge(ours, self._buffer)
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "engine.observe.capture_sender", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        ours.send(self._orders)
        asyncio.get_running_loop().add_reader(ours.fileno(), self._hear)
        self._capture.connect(ours)
        return self._process

    def _let_go(self) -> None:
        self._capture.connect(None)
        if self._end is not None:
            asyncio.get_running_loop().remove_reader(self._end.fileno())
            self._end.close()
            self._end = None

    def _hear(self) -> None:
        """Figures: how many messages were sent, dropped and failed."""
        assert self._end is not None
        try:
            told = self._end.recv(_LARGEST_REPORT)
        except BlockingIOError:
            return
        except OSError:
            told = b""
        if not told:
            asyncio.get_running_loop().remove_reader(self._end.fileno())  # its exit status comes soon
            return
        counted = self._capture.counted
        for result, count in msgspec.json.decode(told, type=dict[str, int]).items():
            if result in _RESULTS:
                counted[result] = counted.get(result, 0) + count
        if counted.get(FAILED) and not self._complained:
            self._complained = True  # once; the counters tell the rest
            _log.warning("the collector cannot be reached", collector=self._collector)


def _enlarge(end: socket.socket, octets: int) -> None:
    """Past the system's limit where the process may (SO_SNDBUFFORCE)."""
    try:
        end.setsockopt(socket.SOL_SOCKET, 32, octets)
    except OSError:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, octets)
