"""Loading a table: all or nothing, and told exactly what is different."""

import json
import os
import resource
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.app.build_command import command
from engine.numbering.binding import Direction, Model, NumberBinding
from engine.numbering.numbers import MaskedNumber, RealNumber
from engine.routing.number_plan import NumberPlan
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.stores import binding_codec, generations
from engine.stores.table_build import BuildResult, TableNotBuilt, TableRejected, build_report, build_table
from engine.stores.table_lmdb import BindingTable
from tests.stores.tables import (
    NOW,
    SEALER,
    TOKENS,
    axb,
    bare,
    bindings,
    load,
    masked,
    may_not_both_live,
    ours,
    real,
    written,
)


def counts(result: BuildResult) -> tuple[int, int, int, int]:
    return result.rows, result.added, result.changed, result.removed


def content(data_dir: Path) -> list[NumberBinding]:
    table = BindingTable.open(data_dir, SEALER, TOKENS)
    found = [bare(binding) for binding in table.rows()]
    table.close()
    return found


def files(data_dir: Path) -> list[str]:
    return sorted(os.listdir(generations.bindings_dir(data_dir)))


def test_the_difference_to_the_table_in_force_is_told(tmp_path: Path) -> None:
    table = tmp_path / "bindings.csv"
    first = [axb(1, 1, 2), axb(1, 3, 4), axb(2, 1, 2), axb(3, 1, 2)]
    assert counts(load(tmp_path, written(table, first))) == (4, 4, 0, 0)
    assert counts(load(tmp_path, table)) == (4, 0, 0, 0)
    second = [
        axb(1, 1, 2, direction=Direction.A_TO_B),
        axb(1, 3, 4),
        axb(2, 1, 5),
        axb(3, 1, 2, order_id="new"),
    ]
    assert counts(load(tmp_path, written(table, second))) == (4, 2, 1, 2)
    assert counts(load(tmp_path, written(table, reversed(second)))) == (4, 0, 0, 0)
    assert counts(load(tmp_path, written(table, []))) == (0, 0, 0, 4)
    assert content(tmp_path) == []


def test_an_id_outlives_reloads_and_changes_of_what_may_change(tmp_path: Path) -> None:
    group = NumberBinding("", "food", "9", Model.GXB, masked(1), None, (real(1), real(2)), real(9))
    owner = NumberBinding("", "food", "9", Model.AX, masked(2), None, (real(1),), None)
    load(tmp_path, written(tmp_path / "t", [group, owner]))
    before = BindingTable.open(tmp_path, SEALER, TOKENS)
    ids = {binding.model: binding.id for binding in before.rows()}
    assert all(len(bytes.fromhex(binding_id)) == 12 for binding_id in ids.values())
    changed = [
        replace(group, a=(real(3),), expires_at=NOW + 60, max_duration_s=60),
        replace(owner, b=real(7), direction=Direction.B_TO_A),
    ]
    result = load(tmp_path, written(tmp_path / "t", changed))
    assert counts(result) == (2, 0, 2, 0)
    before.switch(result.generation)
    assert {binding.model: binding.id for binding in before.rows()} == ids
    assert sorted(map(bare, before.rows()), key=lambda one: -one.model) == changed
    before.close()


@pytest.mark.parametrize(
    "other",
    [
        axb(1, 1, 3),
        axb(1, 2, 1),
        axb(2, 1, 2),
        axb(1, 1, 2, order_id="1"),
        axb(1, 1, 2, tenant="other"),
        NumberBinding("", "default", "", Model.AXYB, masked(1), masked(2), (real(1),), real(2)),
    ],
)
def test_what_makes_a_binding_another_one(tmp_path: Path, other: NumberBinding) -> None:
    load(tmp_path, written(tmp_path / "t", [axb(1, 1, 2)]))
    assert counts(load(tmp_path, written(tmp_path / "t", [other]))) == (1, 1, 0, 1)


def test_one_problem_and_nothing_is_loaded(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "t", [axb(1, 1, 2)]))
    before = files(tmp_path)
    with pytest.raises(TableRejected, match="the table has 2 problems") as rejected:
        build_table(
            tmp_path,
            written(tmp_path / "t", [axb(2, 1, 2), axb(2, 2, 3), axb(2, 3, 3)]),
            SEALER,
            TOKENS,
            NOW,
            ours,
        )
    assert [(problem.line, problem.column) for problem in rejected.value.problems] == [(3, "a"), (4, "b")]
    with pytest.raises(TableRejected, match=r"the table has 1 problem$"):
        build_table(tmp_path, tmp_path / "missing.csv", SEALER, TOKENS, NOW, ours)
    assert files(tmp_path) == before
    assert content(tmp_path) == [axb(1, 1, 2)]


def test_a_built_table_is_not_in_force_before_the_switch(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "t", [axb(1, 1, 2)]))
    result = build_table(tmp_path, written(tmp_path / "t", [axb(2, 1, 2)]), SEALER, TOKENS, NOW, ours)
    assert content(tmp_path) == [axb(1, 1, 2)]
    generations.switch_current(tmp_path, result.generation)
    assert content(tmp_path) == [axb(2, 1, 2)]


def test_a_full_disk_is_told_and_the_old_table_stays(tmp_path: Path) -> None:
    load(tmp_path, written(tmp_path / "t", [axb(1, 1, 2)]))
    before = files(tmp_path)
    many = written(tmp_path / "t", [axb(index, 1, 2) for index in range(2000)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(TableNotBuilt, match=r"the table cannot be written: .* \([0-9]+ MiB free\)"):
            build_table(tmp_path, many, SEALER, TOKENS, NOW, ours)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(tmp_path) == before
    assert content(tmp_path) == [axb(1, 1, 2)]
    assert counts(load(tmp_path, many)) == (2000, 1999, 0, 0)


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "bindings").write_text("in the way")
    with pytest.raises(TableNotBuilt, match=r"the table cannot be written: .*File exists"):
        build_table(tmp_path, written(tmp_path / "t", [axb(1, 1, 2)]), SEALER, TOKENS, NOW, ours)


def test_two_builds_do_not_meet(tmp_path: Path) -> None:
    table = written(tmp_path / "t", [axb(1, 1, 2)])
    with generations.build_lock(tmp_path), pytest.raises(TableNotBuilt, match="another table is being built"):
        build_table(tmp_path, table, SEALER, TOKENS, NOW, ours)
    assert counts(load(tmp_path, table)) == (1, 1, 0, 0)


@pytest.mark.parametrize("damage", ["cut", "garbage", "missing", "key"])
def test_a_table_in_force_that_cannot_be_read_stops_no_load(tmp_path: Path, damage: str) -> None:
    table = written(tmp_path / "t", [axb(1, 1, 2), axb(1, 3, 4)])
    path = generations.bindings_dir(tmp_path) / load(tmp_path, table).generation
    sealer = SEALER
    if damage == "cut":
        path.write_bytes(b"")
    elif damage == "garbage":
        path.write_bytes(b"\xa5" * 20_000)
    elif damage == "missing":
        path.unlink()
    else:
        sealer = Sealer(KeyRing({9: b"9" * 32}, 9, b""))
    result = build_table(tmp_path, table, sealer, TOKENS, NOW, ours)
    assert counts(result) == (2, 2, 0, 0)
    assert result.previous != ""
    assert result.generation != path.name
    generations.switch_current(tmp_path, result.generation)
    assert [bare(row) for row in BindingTable.open(tmp_path, sealer, TOKENS).rows()] != []


def test_the_report_is_one_value_of_json(tmp_path: Path) -> None:
    good = written(tmp_path / "good", [axb(1, 1, 2), axb(1, 3, 4, expires_at=NOW - 1)])
    bad = written(tmp_path / "bad", [axb(1, 1, 2), axb(1, 1, 3)])
    assert build_report(tmp_path, good, SEALER, TOKENS, NOW, ours) == {
        "ok": True,
        "result": {
            "generation": "table-1.mdb",
            "rows": 2,
            "expired": 1,
            "added": 2,
            "changed": 0,
            "removed": 0,
            "previous": "",
        },
    }
    report = build_report(tmp_path, bad, SEALER, TOKENS, NOW, ours)
    assert json.loads(json.dumps(report)) == report
    assert report == {
        "ok": False,
        "problems": [
            {
                "line": 3,
                "column": "a",
                "reason": "may dial 700000000000001 already by line 2: one number, one live binding",
            }
        ],
    }
    with generations.build_lock(tmp_path):
        assert build_report(tmp_path, good, SEALER, TOKENS, NOW, ours) == {
            "ok": False,
            "error": "another table is being built",
        }


def test_the_command_builds_in_a_process_of_its_own(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path / "keys", {})
    table = written(tmp_path / "t", [axb(1, 1, 2)])
    line = command(tmp_path, tmp_path / "keys", table, NumberPlan(["700"], [("7009", "carrier")]))
    done = subprocess.run(line, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["result"]["added"] == 1
    generations.switch_current(tmp_path, report["result"]["generation"])
    assert [bare(row) for row in BindingTable.open(tmp_path, Sealer(ring), TOKENS).rows()] == [axb(1, 1, 2)]
    table.unlink()
    refused = subprocess.run(line, stdout=subprocess.PIPE, check=False)
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["problems"][0]["line"] == 0
    written(tmp_path / "t", [axb(1, 1, 2), axb(900_000_000_000, 1, 2)])
    refused = subprocess.run(line, stdout=subprocess.PIPE, check=False)
    assert json.loads(refused.stdout)["problems"] == [
        {"line": 3, "column": "x", "reason": "belongs to trunk carrier (trunks.carrier.prefixes)"}
    ]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(drawn=st.lists(bindings(), max_size=10))
def test_each_pair_finds_its_own_binding_and_nobody_elses(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[NumberBinding]
) -> None:
    data_dir = tmp_path_factory.mktemp("drawn")
    kept: list[NumberBinding] = []
    for binding in drawn:
        live = not binding.expired(NOW)
        if not (live and any(may_not_both_live(binding, one) for one in kept if not one.expired(NOW))):
            kept.append(binding)
    load(data_dir, written(data_dir / "t", kept))
    table = BindingTable.open(data_dir, SEALER, TOKENS)
    for number in [masked(last) for last in range(5)]:
        standing = [one for one in kept if number in (one.x, one.y)]
        for caller in [real(last) for last in range(8)]:
            found = table.look_up(number, caller)
            expected = expected_binding(standing, number, caller)
            assert (None if found.binding is None else bare(found.binding)) == expected
            if expected is None:
                assert found.number_bound == bool(standing)
    table.close()


def expected_binding(
    standing: list[NumberBinding], number: MaskedNumber, caller: RealNumber
) -> NumberBinding | None:
    """The live binding on which the caller may dial the number; else the last to end, his own before an AX."""
    live = [one for one in standing if not one.expired(NOW)]
    may_dial = [one for one in live if {(number, caller), (number, None)} & set(one.dialling_pairs())]
    if may_dial:
        assert len(may_dial) == 1
        return may_dial[0]
    ended = sorted((one for one in standing if one.expired(NOW)), key=lambda one: -(one.expires_at or 0))
    orders = {binding_codec.identity(one) for one in live}
    known: list[NumberBinding] = []  # of one order that stands there twice, the row that ends last
    for one in ended:
        if binding_codec.identity(one) not in orders:
            orders.add(binding_codec.identity(one))
            known.append(one)
    for who in (caller, None):
        for one in known:
            if (number, who) in one.dialling_pairs():
                return one
    return None
