"""A hundred thousand rows: seconds, and not much memory."""

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.stores.tables import HEADER

ROOT = Path(__file__).parents[2]
ROWS = 100_000

BUILD = """
import json, sys, time
from pathlib import Path
from engine.stores import generations
from engine.stores.table_build import be_modest, build_table
from tests.stores.tables import NOW, SEALER, TOKENS, ours
be_modest()
data_dir, table = Path(sys.argv[1]), Path(sys.argv[2])
taken = []
for _ in range(2):
    used = time.process_time()
    result = build_table(data_dir, table, SEALER, TOKENS, NOW, ours)
    taken.append(time.process_time() - used)
    generations.switch_current(data_dir, result.generation)
# not ru_maxrss, which begins with what the process that forked this one had
memory = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps([taken, [result.rows, result.added, result.changed, result.removed], memory]))
"""


def test_a_hundred_thousand_rows_are_built_in_seconds(tmp_path: Path) -> None:
    table = tmp_path / "bindings.csv"
    with table.open("w", encoding="utf-8") as file:
        file.write(HEADER + "\n")
        for index in range(ROWS):
            file.write(
                f"AXYB,700{index % 5000:012d},700{5000 + index % 7000:012d},138{index:08d},139{index:08d},"
                f"2036-01-01T00:00:00+08:00,,,courier,order-{index}\n"
            )
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path), str(table)], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    assert time.perf_counter() - begun < 60
    taken, counts, memory = json.loads(done.stdout)
    assert max(taken) < 10  # seconds of processor time; 2.3 on a quiet machine
    assert counts == [ROWS, 0, 0, 0]
    assert memory < 300  # MiB
