"""How the signalling process is started: its command line, written and read in one place."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from pathlib import Path

SIGNALLING_MODULE = "engine.app.signalling"


@dataclass(slots=True)
class ChildArguments:
    """`overrides`: the `--set` values. `link`: the descriptor of its end of the link."""

    config: Path
    overrides: list[str]
    link: int


def child_command(arguments: ChildArguments, module: str = SIGNALLING_MODULE) -> list[str]:
    """`python -m engine.app.signalling LINK CONFIG SET…`. The child reads the same settings again."""
    return [sys.executable, "-m", module, str(arguments.link), str(arguments.config), *arguments.overrides]


def child_arguments(words: list[str]) -> ChildArguments:
    """What `child_command` wrote, from `sys.argv[1:]`."""
    link, config, *overrides = words
    return ChildArguments(Path(config), overrides, int(link))


def leave_signals_to_control() -> None:
    """The control process decides when to stop, reload and drain, and says so over the link; a terminal and
    systemd send their signals to both processes."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
