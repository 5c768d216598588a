"""Real numbers never leave the logger in clear; 700 numbers, addresses and times do."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.observe.masking import masked, masked_value

SEPARATORS = ["", "-", " ", ".", "(", ") ", " - ", "\u00a0"]


@pytest.mark.parametrize(
    "text",
    [
        "13800000001",
        "+8613800000001",
        "8613800000001",
        "008613800000001",
        "013800000001",
        "+86 138 0000 0001",
        "138-0000-0001",
        "0086-138-0000-0001",
        "+86.138.0000.0001",
        "+86 (0)138 0000 0001",
        "1795113800000001",
        "913800000001",
        "70013800000001",
    ],
)
def test_forms_of_a_mobile_number(text: str) -> None:
    for around in ("{}", "sip:{}@127.0.0.1:5060", "tel:{};x=1", "'{}'", "<{}>", "a {} b", "x{}y", "{}|{}"):
        whole = around.format(text, text)
        assert masked(whole) == around.format("138****0001", "138****0001"), whole


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("01012345678", "010****5678"),
        ("010-1234 5678", "010****5678"),
        ("(010)12345678", "(010****5678"),
        ("+861012345678", "010****5678"),
        ("861012345678", "010****5678"),
        ("+86 (0)10 1234 5678", "010****5678"),
        ("0086 10 12345678", "010****5678"),
        ("075581234567", "075****34567"),
        ("+8675581234567", "075****34567"),
        ("03168123456", "031****3456"),
        ("+49 30 1234567", "+49****67"),
        ("+14155550100", "+14****00"),
    ],
)
def test_fixed_lines_and_other_countries(text: str, expected: str) -> None:
    assert masked(text) == expected
    assert masked(f"from {text}, gone") == f"from {expected}, gone"


@pytest.mark.parametrize(
    "escaped", ["%2B8613800000001", "%2b13800000001", "%2013800000001", "\\u002b13800000001"]
)
def test_escapes_do_not_hide_a_number(escaped: str) -> None:
    assert "138****0001" in masked(escaped)
    assert "13800000001" not in masked(escaped)


@pytest.mark.parametrize(
    "text",
    [
        "700123456789012",
        "+86700123456789012",
        "0086700123456789012",
        "86 700 1234 5678 9012",
        "sip:700123456789012@127.0.0.1:5060",
        "127.0.0.1:5060",
        "192.168.100.20",
        "139.138.137.136",
        "2026-11-23T20:19:04.072537Z",
        "2026-01-02 03:04:05.123456",
        "1795465706",
        "1795465706123",
        "95588",
        "110",
        "10086",
        "400-123-4567",
        "z9hG4bK-65f0a1b2c3d4e5f6",
        "table-12.mdb",
        "port 8700, 33 rows, 57344 bytes",
        "",
    ],
)
def test_what_is_no_real_number_stays(text: str) -> None:
    assert masked(text) == text


def test_neighbours_do_not_shield_a_number() -> None:
    assert masked("13800000001 5060") == "138****0001 5060"
    assert masked("5060 13800000001") == "5060 138****0001"
    assert masked("13800000001 13900000002") == "138****0001 139****0002"
    assert masked("700123456789012 13800000001") == "700123456789012 138****0001"
    assert masked("192.168.100.20 13800000001") == "192.168.100.20 138****0001"


@given(
    st.sampled_from(["", "+86", "86", "0086", "0"]),
    st.integers(3, 9),
    st.lists(st.tuples(st.sampled_from(SEPARATORS), st.integers(0, 9)), min_size=9, max_size=9),
    st.text("abc:;@<>=,\n '\"", max_size=10),
    st.text("abc:;@<>=,\n '\"", max_size=10),
)
def test_any_writing_of_any_mobile_number(
    prefix: str, second: int, rest: list[tuple[str, int]], before: str, after: str
) -> None:
    number = f"1{second}" + "".join(f"{gap}{digit}" for gap, digit in rest)
    digits = re.sub(r"\D", "", number)
    text = masked(f"{before}{prefix}{number}{after}")
    assert digits not in re.sub(r"\D", "", text)
    assert digits[3:7] not in re.sub(r"\D", "", text.replace(digits[:3] + "****" + digits[7:], ""))


@given(st.text("0123456789+-. ()%86", max_size=400))
def test_no_mobile_number_is_left_in_any_text(text: str) -> None:
    assert re.search(r"(?<!\d)(?<!\.)1[3-9]\d{9}(?!\d)(?!\.)", masked(text)) is None


def test_values_of_every_kind() -> None:
    class Party:
        def __repr__(self) -> str:
            return "Party(13800000001)"

    assert masked_value(
        {
            "text": "a 13800000001",
            "13800000001": None,
            "number": 8613800000001,
            "count": 42,
            "share": 0.5,
            "yes": True,
            "list": ["13800000001", ("13800000001", {"deep": "13800000001"})],
            "bytes": b"INVITE sip:13800000001@x \xff",
            "object": Party(),
            "set": {"13800000001"},
        }
    ) == {
        "text": "a 138****0001",
        "138****0001": None,
        "number": "138****0001",
        "count": 42,
        "share": 0.5,
        "yes": True,
        "list": ["138****0001", ["138****0001", {"deep": "138****0001"}]],
        "bytes": "INVITE sip:138****0001@x \\xff",
        "object": "Party(138****0001)",
        "set": ["138****0001"],
    }


def test_a_value_that_holds_itself_ends() -> None:
    endless: list[object] = ["13800000001"]
    endless.append(endless)
    assert "13800000001" not in str(masked_value(endless))
