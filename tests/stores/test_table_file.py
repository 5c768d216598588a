"""The CSV table: what it may look like, and that every problem in it is named in one reading."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.numbering.binding import Direction, Model, NumberBinding
from engine.routing.number_plan import NumberPlan
from engine.stores.table_file import COLUMNS, LONGEST_LINE, Problem, read_table
from tests.stores.tables import (
    HEADER,
    NOW,
    as_csv,
    axb,
    bare,
    bindings,
    masked,
    may_not_both_live,
    ours,
    real,
)

GOOD = "AXB,700000000000001,,13800000001,13800000002,,,,,"
X = "700000000000001"


def problems_of(path: Path, text: str | bytes) -> list[tuple[int, str, str]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [
        (problem.line, problem.column, problem.reason) for problem in read_table(path, NOW, ours).problems
    ]


def row(**columns: str) -> str:
    good = dict(zip(COLUMNS, GOOD.split(","), strict=True))
    return ",".join((good | columns)[name] for name in COLUMNS)


def says_something(raw: bytes) -> bool:
    try:
        text = raw.decode().strip()
    except UnicodeDecodeError:
        return True
    return bool(text) and not text.startswith("#")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "bindings.csv"


def test_a_row_says_everything_about_a_binding(table: Path) -> None:
    table.write_text(
        f"{HEADER}\nGXYB,+86700000000000001,86700000000000002,13800000001|+8613800000002,01012345678,"
        "2026-12-31T23:59:59+08:00,a_to_b,3600,courier.cn,order-7\n"
    )
    read = read_table(table, NOW - 9e7, ours)
    assert read.problems == []
    assert [(row.line, row.binding) for row in read.rows] == [
        (
            2,
            NumberBinding(
                "",
                "courier.cn",
                "order-7",
                Model.GXYB,
                masked(1),
                masked(2),
                (real(1), real(2)),
                replace(real(1), digits="861012345678"),
                1_798_732_799.0,
                Direction.A_TO_B,
                3600,
            ),
        )
    ]


def test_what_is_empty_has_its_default(table: Path) -> None:
    table.write_text(f"{HEADER}\n{GOOD}\n")
    binding = read_table(table, NOW, ours).rows[0].binding
    assert binding == NumberBinding("", "default", "", Model.AXB, masked(1), None, (real(1),), real(2))
    assert (binding.expires_at, binding.direction, binding.max_duration_s) == (None, Direction.BOTH, 0)


def test_comments_blanks_marks_and_line_ends_are_tolerated(table: Path) -> None:
    text = f'\ufeff# lab, "quoted\r\n\r\n   \r\n{HEADER}\r\n  # 13800000001,x\r\n{GOOD}\r\n#\r\n'
    assert problems_of(table, text) == []
    assert [row.line for row in read_table(table, NOW, ours).rows] == [6]


def test_columns_come_in_any_order_and_fields_may_be_quoted(table: Path) -> None:
    turned = ",".join(reversed(COLUMNS))
    assert problems_of(table, f'{turned}\n"a ""1"", b",,,, , 13800000002 ,13800000001,,"{X}", "AXB"\n') == []
    binding = read_table(table, NOW, ours).rows[0].binding
    assert binding == axb(1, 1, 2, order_id='a "1", b')


def test_a_table_without_rows_is_good_and_one_without_a_header_is_not(table: Path) -> None:
    assert problems_of(table, HEADER) == []
    assert problems_of(table, "# nothing\n\n") == [(0, "", f"there is no header row ({HEADER})")]
    assert problems_of(table, "") == [(0, "", f"there is no header row ({HEADER})")]


def test_every_fault_of_the_header_is_named_and_no_row_is_judged_by_it(table: Path) -> None:
    header = HEADER.replace("tenant", "tennant").replace("y,", "x,")
    assert problems_of(table, f"# first\n{header}\nnonsense\n") == [
        (2, "x", "stands in the header twice"),
        (2, "tennant", "is no column of this table"),
        (2, "y", "is missing in the header"),
        (2, "tenant", "is missing in the header"),
    ]


@pytest.mark.parametrize(
    ("columns", "column", "reason"),
    [
        ({"model": "AXE"}, "model", "must be one of AXB, AXYB, AX, GXB, GXYB"),
        ({"model": ""}, "model", "must be one of AXB, AXYB, AX, GXB, GXYB"),
        ({"model": "axb"}, "model", "must be one of AXB, AXYB, AX, GXB, GXYB"),
        ({"x": ""}, "x", "needs a 700 number"),
        ({"x": "70000000000001"}, "x", "is a 700 number of 14 digits instead of 15"),
        ({"x": "7000000000000001"}, "x", "is no 700 number"),
        ({"x": "13800000009"}, "x", "is no 700 number"),
        ({"x": "７00000000000001"}, "x", "is no 700 number"),
        ({"y": "700000000000002"}, "y", "AXB has no y"),
        ({"y": "nonsense"}, "y", "is no 700 number"),
        ({"model": "AXYB"}, "y", "AXYB needs a second 700 number"),
        ({"model": "AXYB", "y": X}, "y", "is the same 700 number as x"),
        ({"a": ""}, "a", "AXB needs a real number"),
        ({"a": "1380000000"}, "a", "is no real number (mainland mobile or fixed line)"),
        ({"a": "95588"}, "a", "is no real number (mainland mobile or fixed line)"),
        ({"a": "110"}, "a", "is no real number (mainland mobile or fixed line)"),
        ({"a": "+14155550100"}, "a", "is no real number (mainland mobile or fixed line)"),
        ({"a": "700000000000009"}, "a", "is a 700 number, not a real one"),
        ({"a": "13800000001|13800000003"}, "a", "AXB takes one real number, not a group"),
        ({"model": "GXB", "a": "13800000001|+8613800000001"}, "a", "a number stands twice in the group"),
        ({"model": "GXB", "a": "13800000001||13800000003"}, "a", "number 2 of the group is empty"),
        ({"model": "GXB", "a": "|".join(["13800000001"] * 1001)}, "a", "a group has at most 1000 numbers"),
        ({"b": ""}, "b", "AXB needs a real number"),
        ({"b": "12345"}, "b", "is no real number (mainland mobile or fixed line)"),
        ({"b": "+8613800000001"}, "b", "is on the a side too: nobody is connected to himself"),
        ({"model": "AX", "b": "13800000001"}, "b", "is on the a side too: nobody is connected to himself"),
        *(
            (
                {"expires_at": text},
                "expires_at",
                "must be a time with its zone, like 2026-12-31T23:59:59+08:00",
            )
            for text in ["2026-12-31T23:59:59", "2026-12-31", "1767225599", "2026-02-30T00:00:00Z", "never"]
        ),
        ({"direction": "a-to-b"}, "direction", "must be both, a_to_b or b_to_a"),
        *(
            ({"max_duration_s": text}, "max_duration_s", "must be 1 to 99999999 seconds")
            for text in ["0", "000", "-1", "1.5", "1h", "٣", "100000000"]
        ),
        *(
            (
                {"tenant": text},
                "tenant",
                "must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit",
            )
            for text in ["a b", "-a", "快递", "t" * 65]
        ),
        ({"order_id": "o" * 129}, "order_id", "must be at most 128 printable characters"),
        ({"order_id": "a\tb"}, "order_id", "must be at most 128 printable characters"),
        ({"order_id": "a\0b"}, "order_id", "must be at most 128 printable characters"),
    ],
)
def test_a_bad_field_is_named_with_line_column_and_reason(
    table: Path, columns: dict[str, str], column: str, reason: str
) -> None:
    good = row(x="700000000000009")
    assert problems_of(table, f"{HEADER}\n{good}\n{row(**columns)}\n") == [(3, column, reason)]


def test_all_problems_of_all_rows_are_named_at_once(table: Path) -> None:
    bad = row(model="AXYB", x="1", a="2|3", expires_at="x", direction="x", max_duration_s="x", tenant="?")
    assert [
        (line, column) for line, column, _ in problems_of(table, f"{HEADER}\n{bad}\nA,B\n{GOOD},\n{GOOD}\n")
    ] == [
        (2, "x"),
        (2, "a"),
        (2, "a"),
        (2, "expires_at"),
        (2, "direction"),
        (2, "max_duration_s"),
        (2, "tenant"),
        (2, "y"),
        (3, ""),
        (4, ""),
    ]


def test_a_stray_quote_costs_its_line_and_not_the_rest(table: Path) -> None:
    broken = GOOD + '"order'
    found = problems_of(table, f"{HEADER}\n{broken}\n{row(x='1')}\n")
    assert [(line, column) for line, column, _ in found] == [(2, ""), (3, "x")]
    assert found[0][2].startswith("the quotes are wrong")


def test_bytes_that_are_no_utf8_are_named(table: Path) -> None:
    text = HEADER.encode() + b"\n" + GOOD.encode() + "外卖".encode("gb18030") + b"\n" + row(x="1").encode()
    assert [(line, reason) for line, _, reason in problems_of(table, text)] == [
        (2, f"byte {len(GOOD) + 1} of the line is not UTF-8"),
        (3, "is no 700 number"),
    ]
    assert problems_of(table, HEADER.encode("utf-16")) == [(1, "", "byte 1 of the line is not UTF-8")]


def test_an_endless_line_is_not_taken_in(table: Path) -> None:
    text = f"{HEADER}\n{GOOD}{'o' * 3 * LONGEST_LINE}\n{row(x='1')}\n"
    assert [(line, reason) for line, _, reason in problems_of(table, text)] == [
        (2, f"is longer than {LONGEST_LINE} bytes"),
        (3, "is no 700 number"),
    ]
    exact = GOOD + "o" * (LONGEST_LINE - len(GOOD) - 1)
    assert problems_of(table, f"{HEADER}\n{exact}\n") == [
        (2, "order_id", "must be at most 128 printable characters")
    ]


def test_a_table_that_cannot_be_read_is_a_problem_of_the_file(table: Path) -> None:
    assert read_table(table, NOW, ours).problems == [
        Problem(0, "", "the table cannot be read: No such file or directory")
    ]
    table.mkdir()
    assert read_table(table, NOW, ours).problems == [
        Problem(0, "", "the table cannot be read: Is a directory")
    ]
    assert read_table(Path("/dev/zero"), NOW, ours).problems == [
        Problem(0, "", "the table must be a regular file")
    ]


def test_no_reason_repeats_a_real_number(table: Path) -> None:
    texts = [
        row(a="13800000001|13800000001"),
        row(a="1380000000112"),
        row(),
        row(),
        row(model="AX", a="13800000001", b=""),
        row(b="13800000001"),
    ]
    found = problems_of(table, "\n".join([HEADER, *texts]))
    assert len(found) >= 6
    assert not [problem for problem in found if "1380000000" in problem[2]]


def test_a_number_that_no_call_would_be_looked_up_on_is_no_number_to_bind(table: Path) -> None:
    plan = NumberPlan(["7001", "7003"], [("70033", "carrier2")])
    good, taken, nobodys = "700100000000001", "700330000000001", "700400000000001"
    rows = [
        row(x=good),
        row(x=taken),
        row(model="AXYB", x=good, y=nobodys),
        row(model="AXYB", x=nobodys, y=taken, expires_at="2020-01-01T00:00:00Z"),
        row(x=f"+86{taken}"),
    ]
    table.write_text("\n".join([HEADER, *rows]))
    read = read_table(table, NOW, plan.fault)
    assert [(problem.line, problem.column, problem.reason) for problem in read.problems] == [
        (3, "x", "belongs to trunk carrier2 (trunks.carrier2.prefixes)"),
        (4, "y", "is outside numbering.own_prefixes"),
        (5, "x", "is outside numbering.own_prefixes"),
        (5, "y", "belongs to trunk carrier2 (trunks.carrier2.prefixes)"),
        (6, "x", "belongs to trunk carrier2 (trunks.carrier2.prefixes)"),
    ]
    assert [row.line for row in read.rows] == [2]


def test_a_problem_reads_well() -> None:
    assert str(Problem(12, "a", "is empty")) == "line 12: a: is empty"
    assert str(Problem(12, "", "is too long")) == "line 12: is too long"
    assert str(Problem(0, "", "is missing")) == "is missing"


def test_a_conflict_names_both_lines(table: Path) -> None:
    text = as_csv([axb(1, 1, 2), axb(1, 3, 4), axb(1, 5, 2)])
    assert problems_of(table, text) == [
        (4, "b", "may dial 700000000000001 already by line 2: one number, one live binding")
    ]
    ax = NumberBinding("", "default", "", Model.AX, masked(1), None, (real(8),), None)
    assert problems_of(table, as_csv([axb(1, 1, 2), ax, ax, axb(1, 3, 4)])) == [
        (3, "x", "AX takes 700000000000001 alone, but line 2 stands on it too"),
        (4, "x", "AX takes 700000000000001 alone, but line 2 stands on it too"),
        (5, "x", "the AX of line 3 takes 700000000000001 alone"),
    ]
    group = NumberBinding("", "default", "", Model.GXB, masked(1), None, (real(8), real(1)), real(9))
    assert problems_of(table, as_csv([axb(1, 1, 2), group])) == [
        (
            3,
            "a",
            "number 2 of the group may dial 700000000000001 already by line 2: one number, one live binding",
        )
    ]


def test_a_bad_row_does_not_hide_a_conflict_of_others(table: Path) -> None:
    rows = [row(), row(a="x"), row(b="13800000003"), row(a="13800000004", b="13800000005")]
    assert [(line, column) for line, column, _ in problems_of(table, "\n".join([HEADER, *rows]))] == [
        (3, "a"),
        (4, "a"),
    ]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(bindings(), max_size=8))
def test_conflicts_are_those_of_the_naive_rule(table: Path, drawn: list[NumberBinding]) -> None:
    table.write_text(as_csv(drawn))
    read = read_table(table, NOW, ours)
    assert [bare(row.binding) for row in read.rows] == drawn
    live = [(line, binding) for line, binding in enumerate(drawn, 2) if not binding.expired(NOW)]
    expected = {
        line
        for place, (line, binding) in enumerate(live)
        if any(may_not_both_live(binding, earlier) for _, earlier in live[:place])
    }
    assert {problem.line for problem in read.problems} == expected


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_rows_or_problems_and_never_an_error(table: Path, noise: bytes) -> None:
    table.write_bytes(HEADER.encode() + b"\n" + noise)
    read = read_table(table, NOW, ours)
    assert {row.line for row in read.rows} | {problem.line for problem in read.problems} == {
        line for line, raw in enumerate(noise.split(b"\n"), 2) if says_something(raw)
    }
    assert all(problem.reason for problem in read.problems)
