"""What SIPp leaves is read as it is written by 3.6.1."""

from pathlib import Path

from engine.lab.sipp import Counts, SippJob, Standing, read_result

STATISTICS = (
    "StartTime;TotalCallCreated;SuccessfulCall(C);FailedCall(C);Retransmissions(C);\n"
    "2026-01-01 00:00:00;2;1;0;0;\n"
    "2026-01-01 00:00:00;3;2;1;4;\n"
)
ERRORS = (
    "The following events occurred:\n"
    "2026-01-01\t00:00:00.000001\t1767225600.000001: Regexp matched but should not: looking in '\n"
    "Call-ID: x\n"
    "', with regexp 'leak-caller'"
    "2026-01-01\t00:00:00.000002\t1767225600.000002: Aborting call, received 'SIP/2.0 404 Not Found\n"
    "Via: y\n'"
)


def job(folder: Path) -> SippJob:
    return SippJob(role="uac", folder=folder, local=("127.0.0.11", 0), remote="127.0.0.1:5060")


def test_a_run_is_read_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "uac_statistics.csv").write_text(STATISTICS, encoding="utf-8")
    (tmp_path / "uac_errors.log").write_text(ERRORS, encoding="utf-8")
    (tmp_path / "uac.log").write_text("saw one\nsaw two\n", encoding="utf-8")
    result = read_result(job(tmp_path))
    assert (result.created, result.passed, result.failed) == (3, 2, 1)
    assert result.errors == [
        "Regexp matched but should not: looking in ' … ', with regexp 'leak-caller'",
        "Aborting call, received 'SIP/2.0 404 Not Found",
    ]
    assert result.log == ["saw one", "saw two"]


def test_a_run_that_left_nothing_is_empty(tmp_path: Path) -> None:
    result = read_result(job(tmp_path))
    assert (result.status, result.created, result.errors) == (None, 0, [])
    standing = Standing(job(tmp_path))
    assert (standing.counts(), standing.new_times()) == (Counts(), [])


def test_a_running_job_is_read_as_far_as_it_has_written(tmp_path: Path) -> None:
    times = tmp_path / "uac_77_rtt.csv"
    (tmp_path / "uac_statistics.csv").write_text(STATISTICS, encoding="utf-8")
    times.write_text("Date_ms;response_time_ms;rtd_no\n1.0;2.5;pdd\n2;4;pd")
    standing = Standing(job(tmp_path))
    assert standing.counts() == Counts(created=3, passed=2, failed=1, retransmissions=4)
    assert standing.new_times() == [("pdd", 2.5)]
    with times.open("a") as more:
        more.write("d\n3;9;setup\n")
    assert standing.new_times() == [("pdd", 4.0), ("setup", 9.0)]
    assert standing.new_times() == []


def test_a_caller_is_told_its_rate_and_a_callee_its_port(tmp_path: Path) -> None:
    caller = job(tmp_path).arguments("sipp")
    assert caller[:2] == ["sipp", "127.0.0.1:5060"]
    assert "-r" in caller
    assert "-p" not in caller
    callee = SippJob(
        role="uas",
        folder=tmp_path,
        local=("127.0.0.1", 5090),
        transport="tcp",
        calls_file="calls.csv",
        index=2,
    ).arguments("sipp")
    assert "-r" not in callee
    assert callee[callee.index("-p") + 1] == "5090"
    assert callee[callee.index("-t") + 1] == "t1"
    assert callee[callee.index("-infindex") :][:3] == ["-infindex", "calls.csv", "2"]
