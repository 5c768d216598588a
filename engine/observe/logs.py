"""Logs: one line per event on stderr, JSON or for people, with every real number masked on the way out.

Everything goes through here: the engine's own events, the standard library's loggers (asyncio, uvicorn) and
uncaught exceptions. Lines are written by a thread of their own behind a bounded queue, so that a reader of
stderr who stalls cannot stop signalling; what does not fit is dropped and counted.
"""

from __future__ import annotations

import atexit
import json
import logging
import sys
import threading
from collections import deque
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO

import msgspec
import structlog

from engine.observe.masking import masked, masked_value

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_LONGEST_QUEUE = 10_000  # lines
_FLUSH_SECONDS = 2.0

_threshold = LEVELS["info"]
_writer: LineWriter | None = None

_Event = MutableMapping[str, Any]


class Log:
    """Writes events with their fields: `log.info("table loaded", rows=100)`. One comparison below the level."""

    __slots__ = ("_bound", "_chain")

    def __init__(self, **bound: Any) -> None:
        self._bound = bound
        self._chain = structlog.get_logger()

    def bind(self, **more: Any) -> Log:
        """The same with fields that stand in each of its lines."""
        return Log(**{**self._bound, **more})

    def debug(self, event: str, **values: Any) -> None:
        if _threshold <= 10:
            self._chain.debug(event, **self._bound, **values)

    def info(self, event: str, **values: Any) -> None:
        if _threshold <= 20:
            self._chain.info(event, **self._bound, **values)

    def warning(self, event: str, **values: Any) -> None:
        if _threshold <= 30:
            self._chain.warning(event, **self._bound, **values)

    def error(self, event: str, **values: Any) -> None:
        self._chain.error(event, **self._bound, **values)

    def exception(self, event: str, **values: Any) -> None:
        """An error with the traceback of the exception being handled (or given as `exc_info`)."""
        self._chain.error(event, **{"exc_info": True, **self._bound, **values})


def get_logger(room: str) -> Log:
    """A logger whose lines carry `room` ("transport", "app", …)."""
    return Log(room=room)


def configure(level: str, form: str, process: str, stream: TextIO | None = None) -> None:
    """Set up logging for this process. `form`: "json" or "console". `process` stands in every line."""
    global _writer
    flush()
    _writer = LineWriter(sys.stderr if stream is None else stream)
    set_level(level)

    def name_process(_: Any, __: str, event: _Event) -> _Event:
        event["process"] = process
        return event

    renderer = _json if form == "json" else _console
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            name_process,
            _mask,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            renderer,
        ],
        wrapper_class=structlog.BoundLogger,
        logger_factory=_LoggerFactory(_writer),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_FromStandardLibrary()]
    root.setLevel(logging.INFO)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def set_level(level: str) -> None:
    """Change the level of the running process: debug, info, warning or error. Raise ValueError."""
    global _threshold
    if level not in LEVELS:
        raise ValueError(f'"{level}" must be debug, info, warning or error')
    _threshold = LEVELS[level]


def level_name() -> str:
    return next(name for name, value in LEVELS.items() if value == _threshold)


def flush() -> None:
    """Wait until the lines so far are written, at most two seconds."""
    if _writer is not None:
        _writer.flush()


class LineWriter:
    def __init__(self, stream: TextIO, longest_queue: int = _LONGEST_QUEUE) -> None:
        self._stream = stream
        self._longest_queue = longest_queue
        self._lines: deque[str] = deque()
        self._changed = threading.Condition()
        self._writing = False
        self._dropped = 0
        threading.Thread(target=self._run, name="log-writer", daemon=True).start()

    def write(self, line: str) -> None:
        with self._changed:
            if len(self._lines) >= self._longest_queue:
                self._dropped += 1
                return
            self._lines.append(line)
            self._changed.notify_all()

    def flush(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._lines and not self._writing, _FLUSH_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._lines))
                lines, dropped = list(self._lines), self._dropped
                self._lines.clear()
                self._dropped = 0
                self._writing = True
            if dropped:
                lines.append(f'{{"event":"log lines dropped","level":"warning","lines":{dropped}}}')
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                pass  # nobody reads stderr any more; there is no other place to say so


class _LineLogger:
    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def msg(self, line: str) -> None:
        self._writer.write(line)

    debug = info = warning = error = msg


class _LoggerFactory:
    def __init__(self, writer: LineWriter) -> None:
        self._logger = _LineLogger(writer)

    def __call__(self, *_: Any) -> _LineLogger:
        return self._logger


class _FromStandardLibrary(logging.Handler):
    """Hands records of `logging` to the same chain. Their message is built first: it may hold a number."""

    def emit(self, record: logging.LogRecord) -> None:
        log = get_logger(record.name)
        values = {"exc_info": record.exc_info} if record.exc_info else {}
        try:
            text = record.getMessage()
        except Exception:  # a bad format in somebody's log call must not become our failure
            text = str(record.msg)
        if record.levelno >= logging.ERROR:
            log.error(text, **values)
        elif record.levelno >= logging.WARNING:
            log.warning(text, **values)
        elif record.levelno >= logging.INFO:
            log.info(text, **values)
        else:
            log.debug(text, **values)


def _mask(_: Any, __: str, event: _Event) -> _Event:
    return {masked(key): masked_value(value) for key, value in event.items()}


def _json(_: Any, __: str, event: _Event) -> str:
    first = {key: event.pop(key) for key in ("time", "level", "process", "room", "event") if key in event}
    try:
        return msgspec.json.encode({**first, **event}).decode()
    except UnicodeEncodeError:  # half a surrogate pair, from bytes that were no UTF-8
        return json.dumps({**first, **event})


def _console(_: Any, __: str, event: _Event) -> str:
    head = f"{event.pop('time')} {event.pop('level'):7} {event.pop('process')}/{event.pop('room', '')}: "
    trace = event.pop("exception", "")
    line = (
        head + _word(event.pop("event")) + "".join(f" {key}={_word(value)}" for key, value in event.items())
    )
    return f"{line}\n{trace}" if trace else line


def _word(value: Any) -> str:
    """A line end in a value must not look like another line."""
    text = str(value)
    return text if text.isprintable() else repr(text)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    get_logger("python").exception("uncaught exception", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    if args.exc_value is not None:
        _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


atexit.register(flush)
