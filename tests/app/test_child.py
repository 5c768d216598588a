"""The signalling process's command line is read as it was written."""

import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from engine.app.child import ChildArguments, child_arguments, child_command


@given(st.integers(3, 1000), st.lists(st.text(st.characters(exclude_characters="\0"))))
def test_written_and_read(link: int, overrides: list[str]) -> None:
    arguments = ChildArguments(Path("config/lab.toml"), overrides, link)
    python, *words = child_command(arguments)
    assert (python, words[:2]) == (sys.executable, ["-m", "engine.app.signalling"])
    assert child_arguments(words[2:]) == arguments
