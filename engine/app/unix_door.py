"""The file of the control socket: bound for its owner alone, found however deep its directory lies.

Apart from what serves it, because every command imports this.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

_BACKLOG = 32


def bind(path: Path) -> socket.socket:
    """Listen, for this user alone. A socket that a dead engine left is replaced; raises OSError."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)  # before it exists: there is no moment in which others may open it
    try:
        path.unlink(missing_ok=True)
        with _reachable(path) as name:
            door.bind(name)
        door.listen(_BACKLOG)
    except OSError:
        door.close()
        raise
    finally:
        os.umask(mask)
    return door


def connect(path: Path, within: float) -> socket.socket:
    """A client's end; raises OSError."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.settimeout(within)
    try:
        with _reachable(path) as name:
            door.connect(name)
    except OSError:
        door.close()
        raise
    return door


@contextlib.contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """A name for the socket that is short enough however deep the directory lies (sockaddr_un has 108 bytes)."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
