"""Trunk passwords: environment before file, and what keeps a file from being believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.app.trunk_password import trunk_password
from engine.routing.settings import TrunkSettings


def trunk(path: Path | None = None, username: str = "mask700") -> TrunkSettings:
    return TrunkSettings(name="north-1", username=username, password_file=str(path or ""))


def test_a_trunk_without_username_needs_none(tmp_path: Path) -> None:
    assert trunk_password(trunk(tmp_path / "absent", ""), {}) == ""


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("of the file\n")
    path.chmod(0o600)
    assert trunk_password(trunk(path), {}) == "of the file"
    assert trunk_password(trunk(path), {"MASK700_TRUNK_PASSWORD_NORTH_1": "of the environment"}) == (
        "of the environment"
    )


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "password"
    path.write_text("secret")
    path.chmod(mode)
    with pytest.raises(OSError, match="chmod 600"):
        trunk_password(trunk(path), {})


def test_no_password_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="MASK700_TRUNK_PASSWORD_NORTH_1"):
        trunk_password(trunk(), {})
    with pytest.raises(FileNotFoundError):
        trunk_password(trunk(tmp_path / "absent"), {})
    empty = tmp_path / "empty"
    empty.touch(0o600)
    with pytest.raises(OSError, match="is empty"):
        trunk_password(trunk(empty), {})
