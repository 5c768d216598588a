"""The floor for a machine without a C compiler: relay.c's loop in plain Python, and named so in the table.

usage: python relay.py CALLEE_PORT PORT...
"""

from __future__ import annotations

import select
import socket
import sys

BUFFER_BYTES = 4 << 20


def main() -> None:
    """Forward until killed; arguments as relay.c takes them."""
    callee = ("127.0.0.1", int(sys.argv[1]))
    sockets: dict[int, socket.socket] = {}
    callers: dict[int, tuple[str, int]] = {}
    poll = select.epoll()
    for port in sys.argv[2:]:
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        listening.bind(("127.0.0.1", int(port)))
        sockets[listening.fileno()] = listening
        poll.register(listening, select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            try:
                while True:
                    datagram, source = sockets[fd].recvfrom(65536)
                    if source == callee:
                        if fd in callers:
                            sockets[fd].sendto(datagram, callers[fd])
                    else:
                        callers[fd] = source
                        sockets[fd].sendto(datagram, callee)
            except BlockingIOError:
                continue


if __name__ == "__main__":
    main()
