"""Whom a call-back reaches: the last one within the window, kept small, kept sealed."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.calls.ports import BindingsUnavailable
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.stores.callers import LastCallers
from tests.stores.tables import NOW, SEALER, real

WINDOW = 3600
ONE = "01" * 12
TWO = "02" * 12


def opened(data_dir: Path, lost: list[str] | None = None) -> LastCallers:
    return LastCallers.open(
        data_dir, SEALER, WINDOW, None if lost is None else lost.append, map_bytes=1 << 24
    )


def test_nobody_is_remembered_at_first(tmp_path: Path) -> None:
    callers = opened(tmp_path)
    assert callers.get(ONE, NOW) is None
    assert callers.flush(NOW)
    assert callers.entries() == 0
    callers.close(NOW)


def test_the_last_one_counts_before_and_after_the_flush_and_a_restart(tmp_path: Path) -> None:
    callers = opened(tmp_path)
    callers.remember(ONE, real(1), NOW)
    callers.remember(TWO, real(2), NOW)
    callers.remember(ONE, real(3), NOW + 1)
    for _ in range(2):
        assert callers.get(ONE, NOW + 1) == real(3)
        assert callers.get(TWO, NOW + 1) == real(2)
        assert callers.flush(NOW + 1)
    callers.remember(ONE, real(4), NOW + 2)
    assert callers.get(ONE, NOW + 2) == real(4)
    callers.close(NOW + 2)
    again = opened(tmp_path)
    assert again.get(ONE, NOW + 2) == real(4)
    assert again.entries() == 2
    again.close(NOW + 2)


def test_beyond_the_window_nobody_is_remembered(tmp_path: Path) -> None:
    callers = opened(tmp_path)
    callers.remember(ONE, real(1), NOW)
    for _ in range(2):
        assert callers.get(ONE, NOW + WINDOW) == real(1)
        assert callers.get(ONE, NOW + WINDOW + 0.001) is None
        callers.flush(NOW)
    callers.close(NOW)


def test_old_entries_go_little_by_little(tmp_path: Path) -> None:
    callers = opened(tmp_path)
    for index in range(1000):
        callers.remember(f"{index:024x}", real(1), NOW)
    callers.flush(NOW)
    assert callers.entries() == 1000
    later = NOW + WINDOW + 1
    before = 1000
    for index in range(150):
        callers.remember(f"{2000 + index:024x}", real(2), later)
        assert callers.flush(later)
        assert before - 10 <= callers.entries() - 1 <= before  # a flush never does much
        before = callers.entries()
    assert callers.entries() == 150
    assert callers.get(f"{2000:024x}", later) == real(2)
    callers.close(later)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("call"), st.integers(0, 5), st.integers(0, 9)),
            st.tuples(st.just("flush"), st.just(0), st.just(0)),
            st.tuples(st.just("wait"), st.integers(1, WINDOW), st.just(0)),
        ),
        max_size=40,
    )
)
def test_it_remembers_like_a_dictionary_with_a_window(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    callers = opened(tmp_path_factory.mktemp("model"))
    model: dict[str, tuple[int, int]] = {}
    now = int(NOW)
    for what, first, second in steps:
        if what == "call":
            callers.remember(f"{first:024x}", real(second), now)
            model[f"{first:024x}"] = (now, second)
        elif what == "flush":
            assert callers.flush(now)
        else:
            now += first
        for index in range(6):
            then, caller = model.get(f"{index:024x}", (0, 0))
            assert callers.get(f"{index:024x}", now) == (real(caller) if then >= now - WINDOW else None)
    callers.close(now)


def test_a_full_store_keeps_what_it_could_not_write(tmp_path: Path) -> None:
    callers = LastCallers.open(tmp_path, SEALER, WINDOW, map_bytes=64 << 10)
    for index in range(2000):
        callers.remember(f"{index:024x}", real(index), NOW)
    assert not callers.flush(NOW)
    assert "MDB_MAP_FULL" in callers.failed
    assert callers.get(f"{1999:024x}", NOW) == real(1999)
    assert callers.lost == 0
    callers.close(NOW)


def test_what_cannot_be_kept_is_counted_and_the_newest_stay(tmp_path: Path) -> None:
    callers = opened(tmp_path)
    for index in range(100_010):
        callers.remember(f"{index:024x}", real(1), NOW)
    assert callers.lost == 10
    assert callers.get(f"{9:024x}", NOW) is None
    assert callers.get(f"{100_009:024x}", NOW) == real(1)
    callers.close(NOW)


def test_a_file_that_is_torn_after_a_power_cut_is_begun_anew(tmp_path: Path) -> None:
    path = fill_and_leave_open(tmp_path)
    (tmp_path / "callers" / "open-in-boot").write_text("another boot")
    torn = bytearray(path.read_bytes())
    torn[3 * 4096 : 4 * 4096] = b"\xa5" * 4096
    path.write_bytes(torn)
    lost: list[str] = []
    callers = opened(tmp_path, lost)
    assert len(lost) == 1
    assert lost[0].startswith(f"{path}: ")
    assert callers.get(ONE, NOW) is None
    callers.remember(ONE, real(1), NOW)
    assert callers.flush(NOW)
    callers.close(NOW)


def test_a_file_that_came_through_a_power_cut_is_kept(tmp_path: Path) -> None:
    fill_and_leave_open(tmp_path)
    (tmp_path / "callers" / "open-in-boot").write_text("another boot")
    lost: list[str] = []
    callers = opened(tmp_path, lost)
    assert lost == []
    assert callers.get(f"{7:024x}", NOW) == real(7)
    callers.close(NOW)


def test_a_file_that_is_no_store_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "callers").mkdir()
    (tmp_path / "callers" / "callers.mdb").write_bytes(b"not a store" * 1000)
    lost: list[str] = []
    callers = opened(tmp_path, lost)
    assert "not an LMDB file" in lost[0]
    assert callers.get(ONE, NOW) is None
    callers.close(NOW)


def test_a_disk_that_refuses_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "callers").write_text("in the way")
    with pytest.raises(BindingsUnavailable, match=r"callers\.mdb cannot be opened"):
        opened(tmp_path)


def test_who_has_other_keys_remembers_nobody(tmp_path: Path) -> None:
    fill_and_leave_open(tmp_path)
    other = Sealer(KeyRing({1: b"x" * 32}, 1, b""))
    callers = LastCallers.open(tmp_path, other, WINDOW)
    assert callers.get(f"{7:024x}", NOW) is None
    callers.close(NOW)


def fill_and_leave_open(data_dir: Path) -> Path:
    """A store as a power cut leaves it: closed by nobody, so its mark is there."""
    callers = opened(data_dir)
    for index in range(300):
        callers.remember(f"{index:024x}", real(index), NOW)
    callers.flush(NOW)
    mark = (data_dir / "callers" / "open-in-boot").read_text()
    callers.close(NOW)
    (data_dir / "callers" / "open-in-boot").write_text(mark)
    assert sorted(os.listdir(data_dir / "callers")) == ["callers.mdb", "callers.mdb-lock", "open-in-boot"]
    return data_dir / "callers" / "callers.mdb"
