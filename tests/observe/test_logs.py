"""What the logger writes, and what it never writes."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from engine.observe import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Logging set up as JSON on a stream; everything as before afterwards."""
    root = logging.getLogger()
    kept = (root.handlers[:], root.level, sys.excepthook, threading.excepthook, sys.unraisablehook)
    stream = io.StringIO()
    logs.configure("info", "json", "test", stream)
    yield stream
    logs.flush()
    logs.set_level("info")
    root.handlers[:], root.level = kept[0], kept[1]
    sys.excepthook, threading.excepthook, sys.unraisablehook = kept[2:]
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    logs.flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_time_level_process_room_and_fields(stream: io.StringIO) -> None:
    logs.get_logger("app").bind(table="x").info("loaded", rows=3)
    (line,) = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "process": "test",
        "room": "app",
        "event": "loaded",
        "table": "x",
        "rows": 3,
    }


def test_numbers_are_masked_wherever_they_stand(stream: io.StringIO) -> None:
    logs.get_logger("app").warning(
        "call of 13800000001", caller="+8613800000001", nested={"a": [b"sip:13800000001@x"]}, n=13800000001
    )
    assert "13800000001" not in stream.getvalue()
    (line,) = lines(stream)
    assert line["event"] == "call of 138****0001"
    assert line["nested"] == {"a": ["sip:138****0001@x"]}


def test_tracebacks_are_masked(stream: io.StringIO) -> None:
    try:
        raise ValueError("cannot call 13800000001") from KeyError("013800000001")
    except ValueError:
        logs.get_logger("app").exception("failed")
    (line,) = lines(stream)
    assert "ValueError: cannot call 138****0001" in line["exception"]
    assert "KeyError" in line["exception"]
    assert "13800000001" not in json.dumps(line)


def test_levels(stream: io.StringIO) -> None:
    log = logs.get_logger("app")
    log.debug("no")
    logs.set_level("debug")
    log.debug("yes")
    logs.set_level("error")
    log.warning("no")
    log.error("yes")
    assert logs.level_name() == "error"
    assert [line["event"] for line in lines(stream)] == ["yes", "yes"]
    with pytest.raises(ValueError, match="loud"):
        logs.set_level("loud")


def test_the_standard_library_goes_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").error("from %s", "13800000001")  # what is less the HTTP door silences
    try:
        raise OSError("13800000001")
    except OSError:
        logging.getLogger("asyncio").exception("lost")
    first, second = lines(stream)
    assert (first["room"], first["event"], first["level"]) == ("uvicorn.error", "from 138****0001", "error")
    assert "OSError: 138****0001" in second["exception"]


def test_text_that_is_no_unicode_is_written_all_the_same(stream: io.StringIO) -> None:
    logs.get_logger("app").info("half a pair", value="\udcff 13800000001")
    (line,) = lines(stream)
    assert line["value"] == "\udcff 138****0001"


def test_a_thread_that_fails_is_told_masked(stream: io.StringIO) -> None:
    def fail() -> None:
        raise RuntimeError("13800000001")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    (line,) = lines(stream)
    assert line["event"] == "uncaught exception"
    assert "RuntimeError: 138****0001" in line["exception"]


def test_a_stream_that_stalls_stops_nobody() -> None:
    class Stalled(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.go_on = threading.Event()
            self.written: list[str] = []

        def write(self, text: str) -> int:
            self.go_on.wait()
            self.written.append(text)
            return len(text)

    stalled = Stalled()
    writer = logs.LineWriter(stalled, longest_queue=10)
    for number in range(1000):
        writer.write(f"line {number}")
    stalled.go_on.set()
    writer.flush()
    text = "".join(stalled.written)
    assert text.startswith("line 0\n")
    told = json.loads(text.splitlines()[-1])
    kept = text.count("line ")
    assert told["event"] == "log lines dropped"
    assert kept + told["lines"] == 1000
    assert kept <= 21


def test_a_log_call_with_a_bad_format_is_not_lost() -> None:
    said = _said("import logging; logging.getLogger('x').error('bad %d 13800000001', 'format')", "json")
    assert json.loads(said)["event"] == "bad %d 138****0001"


def test_lines_for_people() -> None:
    said = _said(
        "logs.get_logger('app').warning('a\\nb', n='x y', who='13800000001', forged='1\\n2')", "console"
    )
    _, level, place, rest = said.strip().split(maxsplit=3)
    assert (level, place) == ("warning", "test/app:")
    assert rest == "'a\\nb' n=x y who=138****0001 forged='1\\n2'"


def test_an_uncaught_exception_is_masked_and_written_before_the_end() -> None:
    said = _said("raise KeyError('13800000001')", "json", status=1)
    assert "13800000001" not in said
    assert json.loads(said)["exception"].endswith("KeyError: '138****0001'")


def _said(code: str, form: str, status: int = 0) -> str:
    script = f"from engine.observe import logs\nlogs.configure('info', '{form}', 'test')\n{code}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == status
    return done.stderr
