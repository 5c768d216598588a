"""Header names: RFC 3261 sections 7.3.1 and 7.3.3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.grammar import COMPACT_FORMS, FIELD_NAMES, METHODS, field_name, is_token, number_up_to


@pytest.mark.parametrize("spelling", sorted(FIELD_NAMES))
def test_the_table_says_what_the_rule_says(spelling: str) -> None:
    assert field_name(spelling) == FIELD_NAMES[spelling]


@pytest.mark.parametrize("letter", sorted(COMPACT_FORMS))
def test_compact_forms_stand_for_full_names(letter: str) -> None:
    assert (
        field_name(f"{letter.upper()} \t")
        == field_name(COMPACT_FORMS[letter].title())
        == COMPACT_FORMS[letter]
    )


@pytest.mark.parametrize(
    "name", ["", " ", " Via", "Vi a", "Via:", "Vía", "\u212a", "Via\x00", "Via\x1f", "(a)"]
)
def test_no_token_is_no_name(name: str) -> None:
    assert field_name(name) == ""
    assert not is_token(name)


def test_known_methods_are_tokens() -> None:
    assert all(is_token(method) for method in METHODS)


@given(st.integers(0, 10**19), st.integers(0, 10**19))
def test_numbers_up_to_a_limit(number: int, limit: int) -> None:
    assert number_up_to(f"{number}", limit) == (number if number <= limit else -1)


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1 ", "1_0", "٣", "²", "0x1", "1" * 21])
def test_what_is_no_number(text: str) -> None:
    assert number_up_to(text, 10**30) == -1
