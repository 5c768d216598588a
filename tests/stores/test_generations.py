"""Files of the table: switched at once, swept only when nobody needs them."""

import os
from pathlib import Path

import pytest

from engine.calls.ports import BindingsUnavailable
from engine.stores import generations
from engine.stores.table_build import build_table
from tests.stores.tables import NOW, SEALER, TOKENS, axb, load, ours, written


def files(data_dir: Path) -> set[str]:
    return set(os.listdir(generations.bindings_dir(data_dir)))


def test_nothing_is_in_force_before_the_first_switch(tmp_path: Path) -> None:
    assert generations.current_generation(tmp_path) == ""
    assert generations.open_current(tmp_path) is None


def test_each_build_has_a_name_that_was_never_used(tmp_path: Path) -> None:
    table = written(tmp_path / "t", [axb(1, 1, 2)])
    assert load(tmp_path, table).generation == "table-1.mdb"
    assert build_table(tmp_path, table, SEALER, TOKENS, NOW, ours).generation == "table-2.mdb"
    assert build_table(tmp_path, table, SEALER, TOKENS, NOW, ours).generation == "table-3.mdb"
    assert generations.current_generation(tmp_path) == "table-1.mdb"
    generations.switch_current(tmp_path, "table-3.mdb")
    (generations.bindings_dir(tmp_path) / "table-3.mdb").unlink()
    assert build_table(tmp_path, table, SEALER, TOKENS, NOW, ours).generation == "table-4.mdb"


def test_a_sweep_takes_what_is_not_in_force_and_what_dead_builds_left(tmp_path: Path) -> None:
    table = written(tmp_path / "t", [axb(1, 1, 2)])
    for _ in range(3):
        result = build_table(tmp_path, table, SEALER, TOKENS, NOW, ours)
    generations.switch_current(tmp_path, "table-2.mdb")
    (generations.bindings_dir(tmp_path) / "draft-4711.mdb").write_bytes(b"half")
    (generations.bindings_dir(tmp_path) / "notes.txt").write_text("not ours")
    assert generations.sweep(tmp_path) == ["draft-4711.mdb", "table-1.mdb", result.generation]
    assert files(tmp_path) == {"build.lock", "current", "notes.txt", "table-2.mdb"}


def test_a_sweep_leaves_a_running_build_alone(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "t", [axb(1, 1, 2)]))
    with generations.build_lock(tmp_path):
        draft = generations.draft_path(tmp_path)
        draft.write_bytes(b"growing")
        assert generations.sweep(tmp_path) == []
        assert draft.exists()
    assert generations.sweep(tmp_path) == [draft.name]


@pytest.mark.parametrize("name", ["table-9.mdb", "", "current", "../secret", "draft-1.mdb"])
def test_only_a_table_that_is_there_can_be_put_in_force(tmp_path: Path, name: str) -> None:
    load(tmp_path, written(tmp_path / "t", [axb(1, 1, 2)]))
    with pytest.raises(FileNotFoundError, match="is no table"):
        generations.switch_current(tmp_path, name)
    assert generations.current_generation(tmp_path) == "table-1.mdb"


def test_a_switch_that_the_disk_refuses_changes_nothing(tmp_path: Path) -> None:
    table = written(tmp_path / "t", [axb(1, 1, 2)])
    load(tmp_path, table)
    result = build_table(tmp_path, table, SEALER, TOKENS, NOW, ours)
    (generations.bindings_dir(tmp_path) / "current.new").mkdir()
    with pytest.raises(IsADirectoryError):
        generations.switch_current(tmp_path, result.generation)
    assert generations.current_generation(tmp_path) == "table-1.mdb"


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "t", [axb(1, 1, 2)]))
    directory = generations.bindings_dir(tmp_path)
    assert directory.stat().st_mode & 0o077 == 0
    assert (directory / "table-1.mdb").stat().st_mode & 0o077 == 0


def test_a_pointer_to_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "t", [axb(1, 1, 2)]))
    (generations.bindings_dir(tmp_path) / "table-1.mdb").unlink()
    with pytest.raises(BindingsUnavailable, match=r"table-1\.mdb cannot be opened: .*No such file"):
        generations.open_current(tmp_path)
