"""Loading a table: all or nothing, by a process of its own, whatever that process does."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from engine.app.build_command import command
from engine.app.first_table import fault_of_current_table
from engine.app.link import LinkLost, Refused
from engine.app.table_loader import Loaded, TableLoader, TableRefused, problem_values
from engine.routing.number_plan import NumberPlan
from engine.sealing.keys import KeyRing
from engine.stores.generations import bindings_dir, current_generation
from tests.app.tables import row, write_table

PLAN = NumberPlan(["7001"], [("70019", "carrier")])


class Signalling:
    """What it was told to read; `refusal` is raised once for each `switch` while it is set."""

    def __init__(self) -> None:
        self.switched: list[str] = []
        self.refusal: Exception | None = None
        self.before_switch = asyncio.Event()
        self.may_switch = asyncio.Event()
        self.may_switch.set()

    async def switch(self, generation: str) -> None:
        self.before_switch.set()
        await self.may_switch.wait()
        self.switched.append(generation)
        if self.refusal is not None:
            raise self.refusal


class Loading:
    """A loader with all that it works with."""

    def __init__(self, directory: Path) -> None:
        self.data_dir = directory / "var"
        self.keys_dir = directory / "keys"
        self.csv = directory / "bindings.csv"
        self.signalling = Signalling()
        self.counted: list[str] = []
        self.builder = command
        self.build_seconds = 60.0
        KeyRing.open(self.keys_dir, {})

    def loader(self) -> TableLoader:
        return TableLoader(
            self.data_dir,
            self.keys_dir,
            PLAN,
            self.build_seconds,
            self.signalling.switch,
            self.counted.append,
            self.builder,
        )

    async def load(self, *rows: str) -> Loaded:
        return await self.loader().load(write_table(self.csv, *rows))

    def files(self) -> list[str]:
        return sorted(path.name for path in bindings_dir(self.data_dir).glob("*.mdb"))


@pytest.fixture
def loading(tmp_path: Path) -> Loading:
    return Loading(tmp_path)


async def test_a_table_is_built_put_in_force_and_shown(loading: Loading) -> None:
    loaded = await loading.load(row(1), row(2))
    assert (loaded.rows, loaded.added, loaded.changed, loaded.removed) == (2, 2, 0, 0)
    assert current_generation(loading.data_dir) == loaded.generation
    assert loading.signalling.switched == [loaded.generation]
    assert loading.counted == ["loaded"]


async def test_the_second_one_says_what_differs_and_the_first_goes(loading: Loading) -> None:
    await loading.load(row(1), row(2), row(3))
    loaded = await loading.load(row(1), row(2).replace("both", "a_to_b"), row(4))
    assert (loaded.added, loaded.changed, loaded.removed) == (1, 1, 1)
    assert loading.files() == [loaded.generation]


async def test_bad_rows_change_nothing(loading: Loading) -> None:
    before = await loading.load(row(1))
    with pytest.raises(TableRefused, match="has 2 problems") as caught:
        await loading.load(
            row(1),
            row(2).replace("AXB", "ABX"),
            "AXB,700100000010001,,1,2,,,,,\n".replace("2", "13900000009"),
        )
    assert [(problem.line, problem.column) for problem in caught.value.problems] == [(3, "model"), (4, "a")]
    assert problem_values(caught.value)["problem_count"] == 2
    assert current_generation(loading.data_dir) == before.generation
    assert loading.signalling.switched == [before.generation]
    assert loading.counted == ["loaded", "rejected"]


async def test_of_very_many_problems_the_first_are_told_and_all_counted(loading: Loading) -> None:
    with pytest.raises(TableRefused, match="has 1500 problems") as caught:
        await loading.load(*["AXB,,,,,,,,\n"] * 1500)
    assert (len(caught.value.problems), caught.value.count) == (1000, 1500)


async def test_a_missing_file(loading: Loading) -> None:
    with pytest.raises(TableRefused) as caught:
        await loading.loader().load(loading.csv)
    assert "No such file" in caught.value.problems[0].reason


async def test_a_signalling_process_that_does_not_take_it_keeps_the_one_before(loading: Loading) -> None:
    before = await loading.load(row(1))
    for refusal in (Refused("cannot be opened"), LinkLost("no answer")):
        loading.signalling.refusal = refusal
        with pytest.raises(TableRefused, match=f"did not take the table: {refusal}"):
            await loading.load(row(1), row(2))
        assert current_generation(loading.data_dir) == before.generation
        assert loading.signalling.switched[-1] == before.generation
        assert loading.files() == [before.generation]
    assert loading.counted == ["loaded", "failed", "failed"]
    loading.signalling.refusal = None
    assert (await loading.load(row(1), row(2))).added == 1


async def test_a_builder_that_hangs_is_ended(loading: Loading, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    loading.builder = lambda *_: ["/bin/sh", "-c", f"echo $$ > {pid_file}; exec sleep 600"]
    loading.build_seconds = 1.0
    with pytest.raises(TableRefused, match="was not built in 1 s"):
        await loading.load(row(1))
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
    assert loading.counted == ["failed"]


@pytest.mark.parametrize(
    "code",
    ["raise SystemExit('13800000001 is broken')", "print('nonsense')", "import os; os.kill(os.getpid(), 9)"],
)
async def test_a_builder_that_fails(loading: Loading, code: str) -> None:
    loading.builder = lambda *_: [sys.executable, "-c", code]
    with pytest.raises(TableRefused, match="ended with status"):
        await loading.load(row(1))
    assert current_generation(loading.data_dir) == ""


async def test_a_builder_that_cannot_be_started(loading: Loading) -> None:
    loading.builder = lambda *_: ["/nowhere/builder"]
    with pytest.raises(TableRefused, match="cannot be started"):
        await loading.load(row(1))


async def test_one_load_at_a_time(loading: Loading) -> None:
    loader = loading.loader()
    write_table(loading.csv, row(1))
    loading.signalling.may_switch.clear()
    first = asyncio.create_task(loader.load(loading.csv))
    await asyncio.wait_for(loading.signalling.before_switch.wait(), 30)
    with pytest.raises(TableRefused, match="being loaded already"):
        await loader.load(loading.csv)
    write_table(loading.csv, row(1), row(2))
    patient = asyncio.create_task(loader.load(loading.csv, wait=True))
    loading.signalling.may_switch.set()
    assert (await first).rows == 1
    assert (await patient).added == 1
    assert loading.counted == ["loaded", "loaded"]


async def test_a_load_that_is_cancelled_leaves_no_builder(loading: Loading, tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    code = f"import os,time; f = open({str(started)!r},'w'); f.write(str(os.getpid())); f.close(); time.sleep(600)"
    loading.builder = lambda *_: [sys.executable, "-c", code]
    task = asyncio.create_task(loading.load(row(1)))
    pid = int(await asyncio.to_thread(started.read_text))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    loading.builder = command
    assert (await loading.load(row(1))).rows == 1


async def test_the_table_in_force_is_looked_at_before_it_is_used(loading: Loading, tmp_path: Path) -> None:
    assert fault_of_current_table(loading.data_dir, loading.keys_dir, PLAN) == ""
    await loading.load()
    assert fault_of_current_table(loading.data_dir, loading.keys_dir, PLAN) is None
    loaded = await loading.load(row(1))
    assert fault_of_current_table(loading.data_dir, loading.keys_dir, PLAN) is None
    KeyRing.open(tmp_path / "others", {})
    assert "cannot be read" in (fault_of_current_table(loading.data_dir, tmp_path / "others", PLAN) or "")
    (tmp_path / "others" / "sealing-1.key").write_bytes((loading.keys_dir / "sealing-1.key").read_bytes())
    assert (
        fault_of_current_table(loading.data_dir, tmp_path / "others", PLAN)
        == "it was built with another look-up key"
    )
    (bindings_dir(loading.data_dir) / loaded.generation).write_bytes(b"no database")
    assert "cannot be opened" in (fault_of_current_table(loading.data_dir, loading.keys_dir, PLAN) or "")


async def test_a_row_on_a_number_that_is_not_ours_is_refused(loading: Loading) -> None:
    with pytest.raises(TableRefused, match="has 2 problems") as caught:
        await loading.load(
            row(1), row(2).replace("700100000010001", "700190000000001"), row(3).replace("7001000", "7002000")
        )
    assert [(problem.line, problem.column, problem.reason) for problem in caught.value.problems] == [
        (3, "x", "belongs to trunk carrier (trunks.carrier.prefixes)"),
        (4, "x", "is outside numbering.own_prefixes"),
    ]


async def test_a_table_in_force_whose_numbers_are_ours_no_longer_is_told(loading: Loading) -> None:
    await loading.load(row(1))
    for plan, fault in [
        (NumberPlan(["7002"], []), "is outside numbering.own_prefixes"),
        (NumberPlan(["700"], [("70010", "other")]), "belongs to trunk other (trunks.other.prefixes)"),
    ]:
        told = fault_of_current_table(loading.data_dir, loading.keys_dir, plan)
        assert told == f"its number 700100000010001 {fault}"
