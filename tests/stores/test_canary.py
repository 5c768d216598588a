"""Whatever lies on disk, no real number lies there in clear."""

from pathlib import Path

from engine.numbering.binding import Model, NumberBinding
from engine.numbering.numbers import RealNumber
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens
from engine.stores import generations
from engine.stores.callers import LastCallers
from engine.stores.table_build import build_table
from tests.stores.tables import NOW, masked, ours, written


def test_no_real_number_is_found_below_the_data_directory(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    ring = KeyRing.open(data_dir / "keys", {})
    sealer = Sealer(ring)
    tokens = LookupTokens(ring.lookup)
    reals = [RealNumber(f"861{prefix}7{index:07d}") for prefix in (39, 58, 86) for index in range(700)]
    reals += [RealNumber(f"8610{index:08d}") for index in range(62_000_000, 62_000_200)]
    bindings: list[NumberBinding] = []
    for index, model in enumerate(list(Model) * 60):
        a, b, c = reals[index * 3], reals[index * 3 + 1], reals[index * 3 + 2]
        bindings.append(
            NumberBinding(
                "",
                "default",
                f"order of {a.national}" if index % 7 == 0 else "",  # people do write such things
                model,
                masked(index),
                masked(100_000 + index) if model.has_y else None,
                (a, c) if model.has_group else (a,),
                b,
            )
        )
    table = written(tmp_path / "bindings.csv", bindings)
    callers = LastCallers.open(data_dir, sealer, 3600)
    for round_ in range(2):
        generations.switch_current(
            data_dir, build_table(data_dir, table, sealer, tokens, NOW, ours).generation
        )
        for index, number in enumerate(reals):
            callers.remember(f"{index:024x}", number, NOW + round_)
        callers.flush(NOW + round_)
    callers.close(NOW)

    files = [path for path in data_dir.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"table-1.mdb", "table-2.mdb", "callers.mdb", "current"}
    for path in files:
        on_disk = path.read_bytes()
        found = [number.masked for number in reals if number.digits[2:].encode() in on_disk]
        assert not found, path
    # the search would find them: they stand in the table that was read
    in_clear = table.read_bytes()
    assert reals[0].national.encode() in in_clear
