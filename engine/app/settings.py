"""`[control]`: the control process: its HTTP door and how long it waits for others."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass


@dataclass(slots=True)
class ControlSettings:
    listen: str = "127.0.0.1:8700"
    build_timeout_s: int = 600  # a table that is not built by then has hung
    drain_timeout_s: int = 300  # after SIGTERM, calls still up by then are cut

    def address(self) -> tuple[str, int]:
        """`listen` as host (no brackets) and port; raise ValueError, its text fit for the operator."""
        host, _, port = self.listen.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f'"{self.listen}" must look like 127.0.0.1:8700') from None
        if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
            raise ValueError(f'"{self.listen}": the port must be 1 to 65535')
        return host, int(port)

    def check(self) -> list[tuple[str, str]]:
        """What is wrong, as (key, what)."""
        problems: list[tuple[str, str]] = []
        try:
            self.address()
        except ValueError as error:
            problems.append(("listen", str(error)))
        for key, value, high in (
            ("build_timeout_s", self.build_timeout_s, 86_400),
            ("drain_timeout_s", self.drain_timeout_s, 7 * 86_400),
        ):
            if not 1 <= value <= high:
                problems.append((key, f"must be 1 to {high}, not {value}"))
        return problems
