"""Tokens: equal for equals, different for everything else, and nothing without the key."""

from hypothesis import given
from hypothesis import strategies as st

from engine.sealing.tokens import BINDING_ID_BYTES, TOKEN_BYTES, LookupTokens

TOKENS = LookupTokens(b"k" * 32)
DIGITS = st.text("0123456789", max_size=15)
PAIRS = st.tuples(DIGITS, DIGITS)


@given(st.sets(PAIRS, max_size=50))
def test_every_pair_has_a_token_of_its_own_and_keeps_it(pairs: set[tuple[str, str]]) -> None:
    tokens = {TOKENS.pair(number, real) for number, real in pairs}
    assert len(tokens) == len(pairs)
    assert tokens == {LookupTokens(b"k" * 32).pair(number, real) for number, real in pairs}
    assert {len(token) for token in tokens} <= {TOKEN_BYTES}


@given(DIGITS)
def test_one_index_tells_nothing_in_another(digits: str) -> None:
    tokens = [
        TOKENS.real(digits),
        TOKENS.number(digits),
        TOKENS.pair(digits, ""),
        TOKENS.pair("", digits + "x"),
        TOKENS.binding(digits.encode()),
    ]
    assert len({token[:BINDING_ID_BYTES] for token in tokens}) == len(tokens)


@given(DIGITS)
def test_another_key_makes_other_tokens(digits: str) -> None:
    other = LookupTokens(b"j" * 32)
    assert other.real(digits) != TOKENS.real(digits)
    assert other.number(digits) != TOKENS.number(digits)
    assert other.pair(digits, digits) != TOKENS.pair(digits, digits)
    assert other.binding(digits.encode()) != TOKENS.binding(digits.encode())


def test_a_binding_id_is_twelve_bytes() -> None:
    assert len(TOKENS.binding(b"anything")) == BINDING_ID_BYTES == 12
