"""Every form in which numbers arrive, and what must never pass for one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.numbering.numbers import Dialled, DialledKind, MaskedNumber, RealNumber, parse_dialled, parse_real
from tests.numbering.numbers_of_china import (
    WRITTEN_FORMS,
    fixed_lines,
    masked_numbers,
    mobiles,
    near_misses,
    real_numbers,
    written,
)

MASKED = "700123456789012"


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("13800000001", "8613800000001"),
        ("+8613800000001", "8613800000001"),
        ("8613800000001", "8613800000001"),
        ("008613800000001", "8613800000001"),
        ("013800000001", "8613800000001"),
        ("+86 138-0000-0001", "8613800000001"),
        ("(+86)13800000001", "8613800000001"),
        ("138.0000.0001", "8613800000001"),
        ("13800000001;npdi;rn=+8613900000009", "8613800000001"),
        ("13800000001;phone-context=+86", "8613800000001"),
        ("013800000001;phone-context=+86", "8613800000001"),
        ("008613800000001;phone-context=+86", "8613800000001"),
        ("13800000001;npdi;Phone-Context=+86", "8613800000001"),
        ("13800000001;phone-context=ims.mnc000.mcc460.3gppnetwork.org", "8613800000001"),
        ("+8613800000001;phone-context=+1", "8613800000001"),  # a global number needs no context
        ("19900000001", "8619900000001"),
        ("01012345678", "861012345678"),
        ("+861012345678", "861012345678"),
        ("861012345678", "861012345678"),
        ("00861012345678", "861012345678"),
        ("1012345678;phone-context=+86", "861012345678"),
        ("12345678;phone-context=+8610", "861012345678"),
        ("010-1234567", "86101234567"),
        ("0311-1234567", "863111234567"),
        ("0755-88888888", "8675588888888"),
        ("+8670112345678", "8670112345678"),  # 0701 is an area
        ("+869511234567", "869511234567"),  # 0951 too
    ],
)
def test_real_numbers(text: str, digits: str) -> None:
    assert parse_real(text) == RealNumber(digits)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "-",
        ";phone-context=+86",
        "anonymous",
        "1380000000",  # too short
        "138000000012",  # too long
        "12800000001",  # no mobile
        "11012345678",
        "１３８00000001",  # full-width digits
        "١٣٨00000001",
        "1380000000²",
        "13800000001\n",
        "\t13800000001",
        "13800000001#",
        "*13800000001",
        "1380000000a",
        "13800000001,1",
        "+13800000001",  # country code 1
        "+85213800000001",
        "0085213800000001",
        "++8613800000001",
        "86+13800000001",
        "+868613800000001",
        "+86013800000001",  # a trunk prefix does not follow a country code
        "8686 13800000001",
        "0013800000001",
        "00013800000001",
        "13800000001;phone-context=+1",
        "13800000001;phone-context=+",
        "13800000001;phone-context=+8６",
        "1012345678",  # a fixed line without its 0
        "12345678",
        "010123456",  # seven digits at least
        "010123456789",
        "01102345678",  # 011 is no area
        "01001234567",  # no subscriber number begins with 0
        "0000-1234567",
        "086-10-1234567",  # one 0 short of 0086
        *[
            "110",
            "119",
            "120",
            "122",
            "12306",
            "10086",
            "114",
            "+86110",
            "86120",
            "0086119",
            "010110",
            "0311122",
        ],
        *["95588", "+8695588", "01095588", "950131234567", "+8695013123456", "869588123456"],
        *["4001234567", "+864001234567", "864001234567", "04001234567", "8001234567", "+868001234567"],
        *[MASKED, "+86" + MASKED, "86" + MASKED, "0086" + MASKED, "0" + MASKED],
        *["70012345678", "+867001234567", "07001234567", "867001234567"],
    ],
)
def test_no_real_numbers(text: str) -> None:
    assert parse_real(text) is None


@pytest.mark.parametrize("form", WRITTEN_FORMS)
@given(data=st.data(), number=real_numbers)
def test_every_written_form_of_a_number_is_that_number(
    form: str, data: st.DataObject, number: RealNumber
) -> None:
    assert parse_real(data.draw(written(WRITTEN_FORMS[form](number)))) == number


@given(one=real_numbers, data=st.data())
def test_two_numbers_are_never_read_as_one(one: RealNumber, data: st.DataObject) -> None:
    other = data.draw(st.one_of(near_misses(one), real_numbers))
    forms = st.sampled_from(list(WRITTEN_FORMS.values()))
    read, read_other = parse_real(data.draw(forms)(one)), parse_real(data.draw(forms)(other))
    assert (read == read_other) == (one == other)
    assert one != other or hash(read) == hash(read_other)


@given(data=st.data(), number=st.one_of(real_numbers, masked_numbers))
def test_what_is_accepted_is_canonical(data: st.DataObject, number: RealNumber | MaskedNumber) -> None:
    """However a text was mistyped: what is bound from it, written out in either format, is the same party."""
    text = data.draw(st.sampled_from(["", "+", "+86", "86", "0086", "0"])) + number.digits[2:]
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + data.draw(st.sampled_from("0123456789+-;p １"))
            + text[at + data.draw(st.booleans()) :]
        )
    real, dialled = parse_real(text), parse_dialled(text)
    assert real is None or dialled.kind is DialledKind.OTHER
    if real is not None:
        assert re.fullmatch(r"86(1[3-9]\d{9}|(10|2\d|[3-9]\d\d)[1-9]\d{6,7})", real.digits, re.ASCII)
        assert parse_real(real.on_wire("national")) == real
        assert parse_real(real.on_wire("e164")) == real
    if dialled.number is not None:
        assert re.fullmatch(r"700\d{12}", dialled.number.digits, re.ASCII)
        assert parse_dialled(dialled.number.on_wire("national")).number == dialled.number
        assert parse_dialled(dialled.number.on_wire("e164")).number == dialled.number


@given(st.text(max_size=40))
def test_any_text_is_read(text: str) -> None:
    dialled = parse_dialled(text)
    assert (dialled.number is not None) == (dialled.kind is DialledKind.MASKED)
    assert dialled.digits == "" or (dialled.digits.isascii() and dialled.digits.isdigit())
    assert parse_real(text) is None or dialled.number is None


@given(mobiles)
def test_mobiles(number: RealNumber) -> None:
    assert number.is_mobile
    assert number.e164 == "+" + number.digits
    assert number.national == number.digits[2:]
    assert number.masked == number.national[:3] + "****" + number.national[-4:]


@given(fixed_lines)
def test_fixed_lines(number: RealNumber) -> None:
    assert not number.is_mobile
    assert number.national == "0" + number.digits[2:]


@given(real_numbers)
def test_printing_a_real_number_does_not_tell_it(number: RealNumber) -> None:
    for printed in (str(number), repr(number), f"{number}", repr(parse_dialled(number.national))):
        assert number.digits[2:] not in printed
        assert number.national[3:7] + number.national[7:] not in printed
    assert len(number.masked) == len(number.national)


@pytest.mark.parametrize(
    ("number", "masked"),
    [("13800000001", "138****0001"), ("01012345678", "010****5678"), ("0101234567", "010****567")],
)
def test_masked_for_logs(number: str, masked: str) -> None:
    real = parse_real(number)
    assert real is not None
    assert real.masked == masked


def test_on_wire() -> None:
    assert RealNumber("8613800000001").on_wire("national") == "13800000001"
    assert RealNumber("8613800000001").on_wire("e164") == "+8613800000001"
    assert RealNumber("861012345678").on_wire("national") == "01012345678"
    assert MaskedNumber(MASKED).on_wire("national") == MASKED
    assert MaskedNumber(MASKED).on_wire("e164") == "+86" + MASKED


@pytest.mark.parametrize(
    "text",
    [
        MASKED,
        "+86" + MASKED,
        "86" + MASKED,
        "0086" + MASKED,
        "700-1234-5678-9012",
        "+86 (700) 1234.5678.9012",
        MASKED + ";npdi;rn=+8613900000009",
        MASKED + ";phone-context=+86",
        "0086" + MASKED + ";phone-context=+86",
        MASKED + ";phone-context=example.cn",
        "123456789012;phone-context=+86700",
    ],
)
def test_dialled_700_numbers(text: str) -> None:
    assert parse_dialled(text) == Dialled(DialledKind.MASKED, MaskedNumber(MASKED), MASKED)


@given(masked_numbers, st.sampled_from(["", "+86", "86", "0086"]), st.data())
def test_every_written_form_of_a_700_number(number: MaskedNumber, code: str, data: st.DataObject) -> None:
    assert parse_dialled(data.draw(written(code + number.digits))).number == number


@pytest.mark.parametrize("code", ["", "+86", "86", "0086"])
@pytest.mark.parametrize("length", range(3, 15))
def test_incomplete(code: str, length: int) -> None:
    assert parse_dialled(code + MASKED[:length]) == Dialled(DialledKind.INCOMPLETE, None, MASKED[:length])


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        (MASKED + "3", MASKED + "3"),
        ("+86" + MASKED + "3", "86" + MASKED + "3"),
        ("0" + MASKED, "0" + MASKED),
        ("+" + MASKED, MASKED),  # country code 7
        ("00" + MASKED, "00" + MASKED),
        (MASKED + ";phone-context=+1", "1" + MASKED),
        ("13800000001", "13800000001"),
        ("+8613800000001", "8613800000001"),
        ("110", "110"),
        ("", ""),
        ("70", "70"),
        ("86", "86"),
        ("alice", ""),
        ("700abc", ""),
        (MASKED + "#", ""),
        ("７００123456789012", ""),
        ("9" * 500, "9" * 32),
    ],
)
def test_other_dialled_texts(text: str, digits: str) -> None:
    assert parse_dialled(text) == Dialled(DialledKind.OTHER, None, digits)
