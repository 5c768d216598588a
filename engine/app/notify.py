"""What systemd is told (`Type=notify`): one datagram to the socket that it names; sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time

from engine.observe.logs import get_logger


class Notifier:
    """Does nothing when no socket is named. `watchdog_s`: how often at least it wants to hear `alive`, 0: never."""

    def __init__(self, address: str, watchdog_s: float = 0.0) -> None:
        """`address`: the value of NOTIFY_SOCKET; `@…` is an abstract one."""
        self.watchdog_s = watchdog_s if address else 0.0
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @staticmethod
    def from_environment() -> Notifier:
        """Children must not speak for us, so the variables go."""
        address = os.environ.pop("NOTIFY_SOCKET", "")
        interval, whose = (os.environ.pop(name, "") for name in ("WATCHDOG_USEC", "WATCHDOG_PID"))
        ours = interval.isdigit() and whose in ("", str(os.getpid()))
        return Notifier(address, int(interval) / 1e6 if ours else 0.0)

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

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
