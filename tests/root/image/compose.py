"""compose.yaml, read, and moved to addresses of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

NETWORK = "172.28.70."
HERE = "127.28.70."  # the same addresses on the loopback interface


def read_compose(path: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def moved(what: Any) -> Any:
    """The same with every address of the compose network on the loopback interface instead."""
    if isinstance(what, str):
        return what.replace(NETWORK, HERE)
    if isinstance(what, list):
        return [moved(one) for one in what]
    if isinstance(what, dict):
        return {key: moved(value) for key, value in what.items()}
    return what
