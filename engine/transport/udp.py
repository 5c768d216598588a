"""A UDP socket that is read dry, a bounded number of datagrams per wake-up."""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Callable
from typing import Final

from engine.sip.flow import Flow

_LARGEST: Final = 65_535
PER_WAKE_UP: Final = 64  # then timers, streams and the control process get their turn
_READS_PER_WAKE_UP: Final = 2048  # of which all but those are of senders who are not listened to
MOST_FAULTS: Final = 100  # messages that are no SIP, until the sender is forgiven
# Too large, or no memory for it just now: nothing that tells of the way, so other messages there need not hear.
_LOST: Final = frozenset((errno.EMSGSIZE, errno.ENOBUFS, errno.ENOMEM))
_REMEMBERED: Final = 65_536  # far ends; beyond it all are forgotten, and made anew when they speak again

# What came back by ICMP of something sent (Linux, ip(7)): the system keeps it in a queue of its own, once asked to.
_RECVERR: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
_EXTENDED_ERROR: Final = struct.Struct("=IBB")  # how struct sock_extended_err begins: errno, origin, type
# Unreachable and parameter problem, by (origin, ICMP type); what else there is tells of no failure (RFC 3261 18.4).
_FAILURES: Final = frozenset(((2, 3), (2, 12), (3, 1), (3, 4)))
_ERRORS_PER_WAKE_UP: Final = 256
_QUOTED: Final = 1280  # octets of what was sent that an ICMP message brings back at most
_TRIES: Final = 3  # to send: each error that came back of something else is told once, in place of sending


class UdpSocket:
    """Bound and non-blocking. What the kernel cannot take at once is dropped: SIP repeats it."""

    __slots__ = (
        *("_family", "_flows", "_number", "_offenders", "_ready", "_socket", "_trunk_of", "_unheard"),
        *("errors_due", "more"),
    )

    def __init__(
        self, host: str, port: int, number: int, receive_buffer: int, trunk_of: Callable[[str], str]
    ) -> None:
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if self._family == socket.AF_INET6:
                # Else the kernel hands over IPv4 sources in a spelling that is on no list of peers.
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _enlarge(self._socket, socket.SO_RCVBUF, receive_buffer)
            _enlarge(self._socket, socket.SO_SNDBUF, receive_buffer)
            self._socket.bind((host, port))
            self._socket.setsockopt(*_RECVERR[self._family], 1)
            # Of its own, since uvloop no longer watches a socket on which it has seen an error.
            self._ready = select.epoll(1)
            self._ready.register(self._socket.fileno(), select.EPOLLIN)
        except OSError:
            self._socket.close()
            raise
        self._number = number
        self._trunk_of = trunk_of
        self._flows: dict[tuple[str, int], Flow] = {}
        self._offenders: set[tuple[str, int]] = set()
        self._unheard = 0
        self.more = False
        self.errors_due = False  # something may have come back: `errors`

    def fileno(self) -> int:
        """Readable when there is something to `read`, or `errors`."""
        return self._ready.fileno()

    @property
    def closed(self) -> bool:
        return self._socket.fileno() < 0

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) it is bound to."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def read(self) -> list[tuple[bytes, Flow]]:
        """What has arrived, with where it came from. `more` tells whether there may be more.

        Who sends rubbish by the hundred is not read any more until he is forgiven, so that a flood of it costs
        little more than the kernel's copy, and others are heard beside it.
        """
        arrived: list[tuple[bytes, Flow]] = []
        receive = self._socket.recvfrom
        flows = self._flows
        self.more = True
        for _ in range(_READS_PER_WAKE_UP):
            try:
                data, address = receive(_LARGEST)
            except BlockingIOError:  # nothing more
                self.more = False
                break
            except OSError:  # of something sent before
                self.errors_due = True
                continue
            flow = flows.get(address)
            if flow is None:
                if len(flows) >= _REMEMBERED:
                    flows.clear()
                host = address[0]
                flow = flows[address] = Flow("udp", host, address[1], self._number, self._trunk_of(host))
            if flow.faults >= MOST_FAULTS:
                self._unheard += 1
                self._offenders.add(address)
                continue
            arrived.append((data, flow))
            if len(arrived) == PER_WAKE_UP:
                break
        return arrived

    def errors(self) -> list[bytes]:
        """The beginning of each datagram of ours of which the network has said since that it cannot get there."""
        failed: list[bytes] = []
        self.errors_due = False
        for _ in range(_ERRORS_PER_WAKE_UP):
            try:
                data, details, _, _ = self._socket.recvmsg(_QUOTED, 256, socket.MSG_ERRQUEUE)
            except OSError:  # no more
                break
            for level, kind, detail in details:
                if (level, kind) == _RECVERR[self._family]:
                    number, origin, icmp_type = _EXTENDED_ERROR.unpack_from(detail)
                    if (origin, icmp_type) in _FAILURES and number != errno.EMSGSIZE:
                        failed.append(data)
        return failed

    def forget(self) -> None:
        """Who was known becomes new, with the trunk that his address belongs to by then."""
        self._flows.clear()
        self._offenders.clear()

    def forgive(self) -> int:
        """Listens to everybody again; returns how many datagrams went unheard since the last time."""
        for address in self._offenders:
            flow = self._flows.get(address)
            if flow is not None:
                flow.faults = 0
        self._offenders.clear()
        unheard, self._unheard = self._unheard, 0
        return unheard

    def send(self, data: bytes, flow: Flow) -> bool:
        """False when the network says that nothing can get there. What is lost counts as sent."""
        try:
            self._socket.sendto(data, (flow.host, flow.port))
        except BlockingIOError:
            return True  # the send buffer is full: lost like any datagram
        except OSError as error:
            return error.errno in _LOST or self._send_again(data, flow)
        return True

    def close(self) -> None:
        self._ready.close()
        self._socket.close()

    def _send_again(self, data: bytes, flow: Flow) -> bool:
        """The error may have been that of another datagram, which is told to whoever sends next."""
        self.errors_due = True
        refused = 0
        for _ in range(_TRIES - 1):
            try:
                self._socket.sendto(data, (flow.host, flow.port))
            except BlockingIOError:
                return True
            except OSError as error:
                refused = error.errno or 0
            else:
                return True
        return refused in _LOST


def _enlarge(sock: socket.socket, option: int, size: int) -> None:
    """A large buffer, past the system's limit where the process may."""
    forced = {socket.SO_RCVBUF: 33, socket.SO_SNDBUF: 32}[option]  # SO_RCVBUFFORCE, SO_SNDBUFFORCE
    try:
        sock.setsockopt(socket.SOL_SOCKET, forced, size)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, option, size)
