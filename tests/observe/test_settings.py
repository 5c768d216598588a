"""What may stand in `[capture]` and `[trace]`."""

from pathlib import Path

import pytest

from engine.observe.settings import PASSWORD_VARIABLE, CaptureSettings, TraceSettings


def test_the_defaults_are_good_and_off() -> None:
    assert CaptureSettings().check() == TraceSettings().check() == []
    assert CaptureSettings().collector() is None
    assert CaptureSettings().mask_numbers


@pytest.mark.parametrize(
    ("text", "collector"),
    [("udp://127.0.0.1:9060", ("127.0.0.1", 9060)), ("udp://[::1]:9060", ("::1", 9060))],
)
def test_where_the_collector_is(text: str, collector: tuple[str, int]) -> None:
    settings = CaptureSettings(hep=text)
    assert settings.check() == []
    assert settings.collector() == collector


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            ("hep", text)
            for text in ("9060", "tcp://127.0.0.1:9060", "udp://homer:9060", "udp://127.0.0.1:0")
        ),
        *(("hep", text) for text in ("udp://127.0.0.1", "udp://127.0.0.1:٩", "udp://127.0.0.1:65536")),
        *(("node", "a b"), ("capture_id", -1), ("capture_id", 2**32), ("password_file", "\0")),
        *(("sample", 0.0), ("sample", 101.0), ("buffer_megabytes", 0), ("buffer_megabytes", 513)),
    ],
)
def test_a_wrong_capture_is_named(key: str, value: object) -> None:
    assert [name for name, _ in CaptureSettings(**{key: value}).check()] == [key]  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["numbers", "calls", "messages_per_call", "megabytes", "keep_s", "longest_s"])
def test_a_wrong_trace_is_named(key: str) -> None:
    assert [name for name, _ in TraceSettings(**{key: 0}).check()] == [key]
    assert [name for name, _ in TraceSettings(**{key: 10**9}).check()] == [key]


def test_the_password_comes_from_the_environment_or_a_file_of_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(" in the file \n")
    path.chmod(0o600)
    settings = CaptureSettings(password_file=str(path))
    assert settings.password({}) == "in the file"
    assert settings.password({PASSWORD_VARIABLE: "in the environment"}) == "in the environment"
    assert CaptureSettings().password({}) == ""
    path.chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        settings.password({})
    path.unlink()
    with pytest.raises(FileNotFoundError):
        settings.password({})
