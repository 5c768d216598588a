"""`[log]`: how much is said and in what form; `[capture]`: every message to a HEP3 collector; `[trace]`: how much of
chosen numbers' calls is kept in memory."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

PASSWORD_VARIABLE: Final = "MASK700_HEP_PASSWORD"  # noqa: S105 - its name

_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LONGEST_PASSWORD: Final = 256


@dataclass(slots=True)
class LogSettings:
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


@dataclass(slots=True)
class CaptureSettings:
    hep: str = ""  # udp://127.0.0.1:9060; "" is off
    capture_id: int = 700  # the capture agent's number at the collector
    node: str = ""  # its name there; "" is the engine's own
    password_file: str = ""  # or MASK700_HEP_PASSWORD, which wins; "" is none
    mask_numbers: bool = True
    sample: float = 100.0  # percent of the calls
    buffer_megabytes: int = 8  # of messages that wait to be sent; more are dropped

    def collector(self) -> tuple[str, int] | None:
        """Host (no brackets) and port, None when it is off; `check` has proved that it can be read."""
        return _collector(self.hep) if self.hep else None

    def password(self, environment: Mapping[str, str]) -> str:
        """Empty for none. Raises OSError when the file cannot be used."""
        if environment.get(PASSWORD_VARIABLE):
            return environment[PASSWORD_VARIABLE]
        if not self.password_file:
            return ""
        with Path(self.password_file).open(encoding="utf-8", errors="replace") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                why = "others than its owner may read it; chmod 600"
                raise PermissionError(errno.EACCES, why, self.password_file)
            return file.read(_LONGEST_PASSWORD).strip()

    def check(self) -> list[tuple[str, str]]:
        """What is wrong, as (key, what)."""
        problems: list[tuple[str, str]] = []
        if self.hep:
            try:
                _collector(self.hep)
            except ValueError as error:
                problems.append(("hep", str(error)))
        if self.node and not _NODE.fullmatch(self.node):
            problems.append(("node", f'"{self.node}" must be 1 to 64 of A-Z a-z 0-9 _ . -'))
        if not 0 <= self.capture_id <= 0xFFFFFFFF:
            problems.append(("capture_id", f"must be 0 to 4294967295, not {self.capture_id}"))
        if "\0" in self.password_file:
            problems.append(("password_file", "is no path"))
        if not 0.01 <= self.sample <= 100:
            problems.append(("sample", f"must be 0.01 to 100 percent, not {self.sample:g}"))
        if not 1 <= self.buffer_megabytes <= 512:
            problems.append(("buffer_megabytes", f"must be 1 to 512, not {self.buffer_megabytes}"))
        return problems


@dataclass(slots=True)
class TraceSettings:
    numbers: int = 16  # chosen at a time
    calls: int = 100  # kept
    messages_per_call: int = 200
    megabytes: int = 8  # of messages in all
    keep_s: int = 3600  # after a call's end
    longest_s: int = 86_400  # that a number may be chosen for

    def check(self) -> list[tuple[str, str]]:
        """What is wrong, as (key, what)."""
        return [
            (key, f"must be 1 to {high}, not {value}")
            for key, value, high in (
                ("numbers", self.numbers, 1000),
                ("calls", self.calls, 10_000),
                ("messages_per_call", self.messages_per_call, 2000),
                ("megabytes", self.megabytes, 1024),
                ("keep_s", self.keep_s, 7 * 86_400),
                ("longest_s", self.longest_s, 7 * 86_400),
            )
            if not 1 <= value <= high
        ]


def _collector(text: str) -> tuple[str, int]:
    """Raise ValueError, its text fit for the operator."""
    transport, _, rest = text.partition("://")
    host, _, port = rest.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        ipaddress.ip_address(host)
    except ValueError:
        host = ""
    if transport != "udp" or not host:
        raise ValueError(
            f'"{text}" must look like udp://127.0.0.1:9060: a collector is reached by UDP and address'
        )
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError(f'"{text}": the port must be 1 to 65535')
    return host, int(port)
