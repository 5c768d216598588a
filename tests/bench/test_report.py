"""What the bench's table says of its samples."""

from __future__ import annotations

import pytest

from bench.measure import Run, Sample
from bench.report import as_json, lines_of, notes_of


def sample(server: str, round_: int, cpu_us: float, **rest: object) -> Sample:
    given: dict[str, object] = {
        "server": server,
        "rate": 300,
        "round": round_,
        "user_us": cpu_us * 0.75,
        "system_us": cpu_us * 0.25,
        "calls": 1000,
        "failed": 0,
        "retransmissions": 0,
        "calls_per_s": 300.0,
        "delays_ms": [1.0, 2.0, 3.0],
        "memory_mib": 50.0,
        "others_percent": 4.0,
    }
    return Sample(**(given | rest))  # type: ignore[arg-type]


RUN = Run(
    [
        *(sample("kamailio", round_, cpu) for round_, cpu in ((1, 500.0), (2, 1000.0), (3, 400.0))),
        *(sample("engine", round_, cpu) for round_, cpu in ((1, 300.0), (2, 500.0), (3, 300.0))),
        sample("relay", 1, 100.0, retransmissions=5, failed=2),
    ]
)


def test_lines_stand_by_rate_and_then_in_the_order_of_the_servers() -> None:
    later = Run([sample("engine", 1, 1.0, rate=1000), *RUN.samples])
    assert [(line.rate, line.server) for line in lines_of(later)] == [
        (300, "relay"),
        (300, "kamailio"),
        (300, "engine"),
        (1000, "engine"),
    ]


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_medians() -> None:
    engine = next(line for line in lines_of(RUN) if line.server == "engine")
    assert engine.to_kamailio == pytest.approx(0.6)  # of 0.6, 0.5 and 0.75
    assert engine.cpu_us == pytest.approx(300.0)
    assert engine.spread_percent == pytest.approx(100 * 200 / 300)


def test_a_round_without_the_other_server_counts_for_no_ratio() -> None:
    engine = next(line for line in lines_of(RUN) if line.server == "engine")
    assert engine.to_floor == pytest.approx(3.0)
    assert lines_of(Run([sample("engine", 1, 300.0)]))[0].to_floor is None


def test_delays_of_all_rounds_count_together() -> None:
    run = Run(
        [sample("engine", 1, 1.0, delays_ms=[1.0] * 98), sample("engine", 2, 1.0, delays_ms=[9.0, 8.0])]
    )
    line = lines_of(run)[0]
    assert (line.pdd_p50_ms, line.pdd_p99_ms) == (1.0, 9.0)
    assert lines_of(Run([sample("engine", 1, 1.0, delays_ms=[])]))[0].pdd_p50_ms is None


def test_failures_and_retransmissions_are_not_averaged_away() -> None:
    relay = lines_of(RUN)[0]
    assert relay.failed == 2
    assert relay.retransmissions_percent == pytest.approx(0.5)


def test_notes_name_what_makes_the_numbers_doubtful() -> None:
    slow = Run([sample("engine", 1, 1.0, calls_per_s=250.0, others_percent=120.0)])
    notes = " ".join(notes_of(slow, {"engine": "engine"}, {"compiled": "there is no C compiler"}))
    assert "compiled: there is no C compiler" in notes
    assert "SIPp could make only 250 calls/s" in notes
    assert "at most 120 %" in notes


def test_json_holds_every_sample() -> None:
    said = as_json(RUN, {"engine": "engine"}, {}, {"rates": [300]})
    assert len(said["samples"]) == len(RUN.samples)  # type: ignore[arg-type]
