"""`mask700 top`: what the running engine does, looked at again and again."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.engine_client import EngineRefused, NoEngine, ask, ask_or_exit, settings_or_exit
from engine.cli.options import DEFAULT_CONFIG, Config, Json, Overrides
from engine.cli.output import BAD_USAGE, fail, print_json
from engine.cli.top_figures import Look, summary

if TYPE_CHECKING:
    from engine.settings import Settings

_SOON = 5.0  # seconds that an answer may take while the screen lives
_HINT = "q ends"

Wait = Callable[[float], bool]  # (seconds) → whether somebody wants to end


def top(
    interval: Annotated[
        float, typer.Option("--interval", min=0.2, max=3600, help="Seconds between looks.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One interval, then end.")] = False,
    json: Json = False,
    config: Config = DEFAULT_CONFIG,
    overrides: Overrides = None,
) -> None:
    """Watch calls, rates, refusals and trunks live.

    q or Ctrl-C ends. With --json a line after each interval, with --once the first of them only.
    """
    settings = settings_or_exit(config, overrides, json)
    if not json and not once and not sys.stdout.isatty():
        fail("this is no terminal: use --once or --json", status=BAD_USAGE)
    with contextlib.suppress(KeyboardInterrupt):
        if json or once:
            _print(settings, interval, once, json)
        else:
            _watch(settings, interval)


def _print(settings: Settings, interval: float, once: bool, json: bool) -> None:
    before = _look(lambda op: ask_or_exit(settings, op, json))
    while True:
        time.sleep(interval)
        after = _look(lambda op: ask_or_exit(settings, op, json))
        values = summary(before, after)
        if json:
            print_json(values)
        else:
            from rich.console import Console

            from engine.cli.top_screen import draw

            Console().print(draw(values))
        if once:
            return
        before = after


def _watch(settings: Settings, interval: float) -> None:
    """An engine that goes away is waited for: it may be restarted right now."""
    from rich.live import Live
    from rich.text import Text

    from engine.cli.top_screen import draw

    before: Look | None = None
    with keyboard() as wait, Live(Text("…"), screen=True, auto_refresh=False) as live:
        while True:
            try:
                after = _look(lambda op: ask(settings, op, _SOON))
            except (NoEngine, EngineRefused) as error:
                before = None
                live.update(Text(f"{error}\n{_HINT}"), refresh=True)
            else:
                live.update(draw(summary(before or after, after), _HINT), refresh=True)
                before = after
            if wait(interval):
                return


def _look(asked: Callable[[str], Any]) -> Look:
    metrics = asked("metrics")
    return Look(time.monotonic(), metrics, asked("stats"))


@contextlib.contextmanager
def keyboard() -> Iterator[Wait]:
    """Waiting that a q ends. Keys are heard at once and not shown; where no keyboard is, time alone passes."""
    if not sys.stdin.isatty():
        yield _only_time
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    usual = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield _key_or_time
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, usual)


def _only_time(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _key_or_time(seconds: float) -> bool:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0]:
            keys = os.read(sys.stdin.fileno(), 64)
            if not keys or b"q" in keys.lower():
                return True
    return False
