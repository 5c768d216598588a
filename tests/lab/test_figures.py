"""What is made of SIPp's files and of the engine's usage, while a flow runs and at its end."""

from pathlib import Path

import pytest

from engine.lab.engine_process import Usage
from engine.lab.figures import Figures, Meter, quantiles
from engine.lab.sipp import SippJob, Standing

HEAD = "StartTime;TotalCallCreated;SuccessfulCall(C);FailedCall(C);Retransmissions(C);\n"


class Machine:
    """An engine that has used what one says."""

    def __init__(self) -> None:
        self.used = Usage(0.0, 0)

    def usage(self) -> Usage:
        return self.used


def standing(folder: Path, role: str, counts: str) -> Standing:
    (folder / f"{role}_statistics.csv").write_text(f"{HEAD}now;{counts};\n")
    return Standing(SippJob(role=role, folder=folder, local=("127.0.0.11", 0)))


def test_a_flow_is_measured_as_it_runs(tmp_path: Path) -> None:
    machine = Machine()
    caller, callee = standing(tmp_path, "uac", "6;2;1;3"), standing(tmp_path, "uas", "5;2;0;4")
    times = tmp_path / "uac_7_rtt.csv"
    times.write_text("Date_ms;response_time_ms;rtd_no\n1;30;pdd\n2;10;pdd\n3;99;setup\n4;99;setup\n")
    meter = Meter(caller, [callee], machine, begun=100.0, before=Usage(1.0, 0))
    machine.used = Usage(1.5, 4096)
    figures = meter.read(102.0, sent_again=9)
    assert (figures.made, figures.answered, figures.ended, figures.failed, figures.up) == (6, 2, 3, 1, 3)
    assert (figures.retransmissions, figures.sent_again) == (7, 9)
    assert figures.pdd_ms == (10.0, 30.0)
    assert figures.asr == pytest.approx(2 / 3)
    assert figures.cpu_us_per_call == pytest.approx(0.5e6 / 4.5)
    assert (figures.cpu_share, figures.memory, figures.seconds) == (0.25, 4096, 2.0)
    with times.open("a") as more:
        more.write("5;20;pdd\n6;99;setup\n")
    assert meter.read(103.0).pdd_ms == (10.0, 20.0, 30.0)
    assert meter.read(103.0).answered == 3


@pytest.mark.parametrize(
    ("figures", "asr"),
    [
        (Figures(), None),
        (Figures(made=5), None),
        (Figures(made=10, answered=4, ended=1, failed=1), 0.8),
        (Figures(made=10, answered=10, ended=10, failed=2), 1.0),  # two failed after their answer
        (Figures(made=10, answered=0, ended=10, failed=10), 0.0),
    ],
)
def test_answers_are_counted_among_the_calls_whose_setup_has_ended(
    figures: Figures, asr: float | None
) -> None:
    assert figures.asr == asr


def test_quantiles_of_few_and_of_many() -> None:
    assert quantiles(()) == {"median": 0, "p95": 0, "p99": 0, "max": 0}
    assert quantiles((5.0,)) == {"median": 5, "p95": 5, "p99": 5, "max": 5}
    many = [float(time) for time in range(1000)]
    assert quantiles(many) == {"median": 500, "p95": 950, "p99": 990, "max": 999}
