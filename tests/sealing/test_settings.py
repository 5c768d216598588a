from pathlib import Path

from engine.sealing.settings import SealingSettings


def test_keys_lie_with_the_data_unless_told_otherwise() -> None:
    assert SealingSettings().directory(Path("var")) == Path("var/keys")
    assert SealingSettings("/etc/mask700/keys").directory(Path("var")) == Path("/etc/mask700/keys")
    assert SealingSettings().check() == []


def test_what_is_no_path_is_a_problem() -> None:
    assert SealingSettings("a\0b").check() == [("keys_dir", "is no path")]
