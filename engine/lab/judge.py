"""Did a flow go as it says? What SIPp saw on both sides and what the engine recorded, compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.lab.flow import RECORD_FIELDS, Flow, Value
from engine.lab.sipp import SippResult
from engine.records.query import Record

_SAW = re.compile(r"^saw shown=(\S*) callee=(\S*)")
_OF_FLOW = re.compile(r"leak-caller-(.+)-(\d+)-\d+@")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_TIMES = ("setup_time", "ringing_time", "answer_time", "release_time")
_REAL_NUMBERS = ("caller", "callee")
_MOST_PROBLEMS = 12
_REMARKS = ("Continuing call on unexpected message", "Dead call")


@dataclass(slots=True)
class Verdict:
    """`passed`: calls that went right on both sides and in the records. `saw`: how often the callee was shown
    what. `reasons`: of the records. `problems`: what did not fit; none means that the flow passed."""

    calls: int
    passed: int = 0
    saw: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def call_id_pattern(flow: Flow) -> str:
    """The Call-IDs of the flow's calls, as SIPp's -cid_str: %u is the number of the call, %p the process, %s
    the caller's host. The word in front is a canary too."""
    return f"leak-caller-{flow.name}-%u-%p@%s"


def is_of_flow(record: Record, flow: Flow) -> bool:
    """True for records of calls that this flow's caller made."""
    match = _OF_FLOW.match(str(record.get("a_call_id")))
    return match is not None and match.group(1) == flow.name


def is_sum(record: Record) -> bool:
    """True for a record of what was refused unseen: it has no call, and comes within a second."""
    return record.get("a_call_id") is None


def attempts_of(record: Record) -> int:
    """How many attempts the record stands for."""
    attempts = record.get("attempts")
    return attempts if isinstance(attempts, int) else 0


def judge(
    flow: Flow,
    caller: SippResult,
    callees: Mapping[str, SippResult],
    stray: Sequence[bytes],
    records: Sequence[Record],
) -> Verdict:
    """Everything that is known about one run of a flow. `callees` by name, none where nobody should be called;
    `stray`: what arrived there."""
    verdict = Verdict(calls=flow.calls)
    problems = verdict.problems
    _look_at_side(problems, "caller", caller, flow.calls)
    passed = caller.passed
    silent = flow.calls - flow.ringing
    for role, callee in callees.items():
        _look_at_side(problems, role, callee, flow.ringing)
        verdict.saw.update(shown for shown, _ in _sightings(callee))
        passed = min(passed, callee.passed + silent)
        problems.extend(f"{role}: {wrong}" for wrong in _wrong_sightings(flow, callee))
    if stray:
        start_line = stray[0].split(b"\r\n")[0].decode(errors="replace")
        problems.append(f"{len(stray)} messages reached the callee's side, first: {start_line}")
        passed = 0
    of_calls = [record for record in records if not is_sum(record)]
    if flow.file.recorded:
        passed = min(passed, _look_at_records(verdict, flow, of_calls))
    elif of_calls:
        problems.append(f"there are {len(of_calls)} records of calls that leave none")
        passed = 0
    summed: Counter[str] = Counter()
    for record in records:
        if is_sum(record):
            summed[str(record.get("reason"))] += attempts_of(record)
    verdict.reasons.update(summed)
    if summed != Counter(flow.file.summed):
        problems.append(f"summed up are {dict(summed)}, not {flow.file.summed}")
        passed = 0
    verdict.passed = passed
    if len(problems) > _MOST_PROBLEMS:
        left = len(problems) - _MOST_PROBLEMS
        verdict.problems = [*problems[:_MOST_PROBLEMS], f"and {left} more like these"]
    if verdict.passed < flow.calls and not verdict.problems:
        verdict.problems.append(f"only {verdict.passed} of {flow.calls} calls passed")
    return verdict


def record_faults(flow: Flow, number: int, record: Record) -> list[str]:
    """What is wrong with the record of the flow's `number`-th call (from 1)."""
    faults = [f"field {name} is missing" for name in RECORD_FIELDS if name not in record]
    faults += [f"field {name} is unknown" for name in record if name not in RECORD_FIELDS]
    expected: dict[str, Value] = {"type": "call", "attempts": 1, **flow.file.record}
    columns = flow.table.row_of(number)
    expected.update({name: value for name, value in columns.items() if name in RECORD_FIELDS})
    for name, value in expected.items():
        wanted = _as_recorded(name, value)
        found = record.get(name)
        if found != wanted and not (
            isinstance(found, int) and str(found) == wanted
        ):  # a CSV file has texts only
            faults.append(f"{name} is {found!r}, not {wanted!r}")
    faults += _time_faults(record)
    called = record.get("callee") is not None
    if called and record.get("b_call_id") in (None, record.get("a_call_id")):
        faults.append(f"b_call_id is {record.get('b_call_id')!r}: the callee's leg has a Call-ID of its own")
    return faults


def _look_at_side(problems: list[str], role: str, result: SippResult, calls: int) -> None:
    if result.status is None:
        problems.append(
            f"{role}: SIPp had to be ended after {result.passed + result.failed} of {calls} calls"
        )
    elif result.status != 0:
        problems.append(f"{role}: SIPp's exit status is {result.status}, {result.failed} calls failed")
    if result.passed < calls and result.status == 0:
        problems.append(f"{role}: {result.passed} of {calls} calls passed")
    if result.status != 0 or result.passed < calls:  # else they are remarks, on a repetition that came late
        problems.extend(f"{role}: {error}" for error in _distinct(result.errors))


def _sightings(callee: SippResult) -> list[tuple[str, str]]:
    """What the callee's phones showed, and which phone it was: the scenario logs it."""
    found = (_SAW.match(line) for line in callee.log)
    return [(match.group(1), match.group(2)) for match in found if match]


def _wrong_sightings(flow: Flow, callee: SippResult) -> list[str]:
    """Every phone that rang must be one that should, and have shown what it should, as often as it should."""
    if not {"callee", "shown"} <= set(flow.table.columns):
        return []
    rows = [flow.table.row_of(number) for number in range(1, flow.calls + 1)]
    wanted = Counter((row["shown"], row["callee"]) for row in rows if row["callee"])
    seen = Counter(_sightings(callee))
    problems = [
        f"{number} rang {times} times too often, showing {shown}"
        for (shown, number), times in sorted((seen - wanted).items())
    ]
    problems += [
        f"{number} should have rung {times} times more, showing {shown}"
        for (shown, number), times in sorted((wanted - seen).items())
    ]
    return problems


def _look_at_records(verdict: Verdict, flow: Flow, records: Sequence[Record]) -> int:
    """Notes every fault; the number of calls whose one record is right."""
    of_call: dict[int, list[Record]] = {}
    for record in records:
        verdict.reasons[str(record.get("reason"))] += 1
        match = _OF_FLOW.match(str(record.get("a_call_id")))
        of_call.setdefault(int(match.group(2)) if match else 0, []).append(record)
    good = 0
    for number in range(1, flow.calls + 1):
        mine = of_call.pop(number, [])
        if len(mine) != 1:
            verdict.problems.append(f"record of call {number}: there are {len(mine)}, not one")
            continue
        faults = record_faults(flow, number, mine[0])
        verdict.problems.extend(f"record of call {number}: {fault}" for fault in faults)
        good += not faults
    if of_call:
        verdict.problems.append(f"records of calls that were never made: {sorted(of_call)}")
    return good


def _as_recorded(name: str, value: Value) -> Value | None:
    """A value of flow.toml or calls.csv as the record has it: "" is null, real numbers are E.164."""
    if value == "":
        return None
    if name in _REAL_NUMBERS and isinstance(value, str):
        return f"+86{value}"
    return value


def _time_faults(record: Record) -> list[str]:
    faults: list[str] = []
    known = [(name, record[name]) for name in _TIMES if record.get(name) is not None]
    for name, value in known:
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            faults.append(f"{name} is {value!r}, no RFC 3339 time with milliseconds, UTC")
    values = [str(value) for _, value in known]
    if values != sorted(values):
        faults.append(f"times are out of order: {', '.join(values)}")
    for name in ("setup_time", "release_time"):
        if record.get(name) is None:
            faults.append(f"{name} is null")
    answered = record.get("disposition") == "answered"
    for name in ("answer_time", "talk_ms"):
        if (record.get(name) is not None) != answered:
            faults.append(f"{name} is {record.get(name)!r} in a call that is {record.get('disposition')}")
    return faults


def _distinct(errors: Sequence[str]) -> list[str]:
    """Each once; what only says that a message was ignored comes last."""
    counted = Counter(sorted(errors, key=lambda error: error.startswith(_REMARKS)))
    return [error if times == 1 else f"{error} ({times} times)" for error, times in counted.items()]
