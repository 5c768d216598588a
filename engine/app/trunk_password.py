"""Passwords that trunks ask for: from the environment or from a file that nobody else may read, never from TOML."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from engine.routing.settings import TrunkSettings

_LONGEST = 1024  # characters


def trunk_password(trunk: TrunkSettings, environment: Mapping[str, str]) -> str:
    """The password of a trunk's `username`, "" for a trunk without one. Raises OSError when there should be one and it
    cannot be read."""
    if not trunk.username:
        return ""
    variable = "MASK700_TRUNK_PASSWORD_" + re.sub("[^A-Z0-9]", "_", trunk.name.upper())
    if environment.get(variable):
        return environment[variable]
    if not trunk.password_file:
        raise OSError(errno.ENOENT, "no password_file, nor is this variable set", variable)
    with Path(trunk.password_file).open(encoding="utf-8", errors="replace") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise PermissionError(
                errno.EACCES, "others than its owner may read it; chmod 600", trunk.password_file
            )
        password = file.read(_LONGEST).strip()
    if not password:
        raise OSError(errno.EINVAL, "is empty", trunk.password_file)
    return password
