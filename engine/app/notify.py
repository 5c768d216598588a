"""What systemd is told (`Type=notify`): one datagram to the socket that it names; sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time

from engine.observe.logs import get_logger


class Notifier:
    """Does nothing when no socket is named."""

    def __init__(self, address: str) -> None:
        """`address`: the value of NOTIFY_SOCKET; `@…` is an abstract one."""
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @staticmethod
    def from_environment() -> Notifier:
        """Children must not speak for us, so the variable goes."""
        return Notifier(os.environ.pop("NOTIFY_SOCKET", ""))

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
                door.setblocking(False)
                door.sendto(state.encode(), self._address)
        except OSError as error:
            get_logger("app").warning("the service manager cannot be told", error=str(error))
