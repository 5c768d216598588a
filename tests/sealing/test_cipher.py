"""What is sealed opens in its place, unchanged, with its key; otherwise not at all."""

import os
import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sealing.cipher import OVERHEAD, SealBroken, Sealer
from engine.sealing.keys import KeyRing

KEY = bytes(range(32))
OTHER = bytes(range(100, 132))
RING = KeyRing({1: KEY}, 1, OTHER)
SEALER = Sealer(RING)


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_it_opens_in_its_place_and_costs_so_many_bytes(plain: bytes, context: bytes) -> None:
    sealed = SEALER.seal(plain, context)
    assert len(sealed) == len(plain) + OVERHEAD
    assert SEALER.open(sealed, context) == plain
    assert Sealer(RING).open(sealed, context) == plain  # another process


@given(st.binary(min_size=8, max_size=60))
def test_it_shows_nothing_of_what_is_inside_and_never_the_same_twice(plain: bytes) -> None:
    sealed = SEALER.seal(plain, b"here")
    assert plain not in sealed
    assert SEALER.seal(plain, b"here") != sealed


@given(st.binary(max_size=60), st.data())
def test_any_changed_bit_breaks_it(plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(plain, b"here"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealBroken):
        SEALER.open(bytes(sealed), b"here")


@given(st.binary(max_size=60), st.data())
def test_a_part_of_it_does_not_open(plain: bytes, data: st.DataObject) -> None:
    sealed = SEALER.seal(plain, b"here")
    with pytest.raises(SealBroken):
        SEALER.open(sealed[: data.draw(st.integers(0, len(sealed) - 1))], b"here")


def test_moved_elsewhere_it_does_not_open() -> None:
    with pytest.raises(SealBroken):
        SEALER.open(SEALER.seal(b"13800000001", b"binding 1"), b"binding 2")


def test_rotation_old_values_open_and_new_ones_take_the_new_key() -> None:
    old = SEALER.seal(b"before", b"")
    rotated = Sealer(KeyRing({1: KEY, 2: OTHER}, 2, KEY))
    new = rotated.seal(b"after", b"")
    assert rotated.open(old, b"") == b"before"
    assert (old[1], new[1]) == (1, 2)
    with pytest.raises(SealBroken, match="sealing key 2 is not among the keys"):
        SEALER.open(new, b"")


def test_a_key_of_the_same_id_that_is_another_does_not_open_it() -> None:
    with pytest.raises(SealBroken):
        Sealer(KeyRing({1: OTHER}, 1, KEY)).open(SEALER.seal(b"x", b""), b"")


def test_another_cipher_is_refused_by_its_id() -> None:
    sealed = SEALER.seal(b"x", b"")
    with pytest.raises(SealBroken, match="cipher 2 is not known here"):
        SEALER.open(b"\x02" + sealed[1:], b"")


def test_every_process_encrypts_under_a_key_of_its_own() -> None:
    salts = {Sealer(RING).seal(b"", b"")[2:14] for _ in range(100)}
    assert len(salts) == 100


def test_a_forked_process_draws_nonces_of_its_own() -> None:
    SEALER.seal(b"", b"")  # from here on there is a stock
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"".join([SEALER.seal(b"", b"")[14:26] for _ in range(300)]))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reader, 300 * 12)
    os.close(reader)
    os.close(writer)
    nonces = [theirs[start : start + 12] for start in range(0, len(theirs), 12)]
    nonces += [SEALER.seal(b"", b"")[14:26] for _ in range(300)]
    assert len(set(nonces)) == 600


def test_values_of_many_processes_open_in_one() -> None:
    values = [Sealer(RING).seal(b"%d" % index, b"") for index in range(2500)]  # more than stay cached
    opener = Sealer(RING)
    assert [opener.open(value, b"") for value in values] == [b"%d" % index for index in range(2500)]


def test_the_salt_is_renewed_long_before_nonces_could_meet() -> None:
    salts = {SEALER.seal(b"", b"")[2:14] for _ in range((1 << 20) + 1)}
    assert len(salts) == 2


def test_one_value_takes_microseconds() -> None:
    number = b"8613800000001"
    sealed = SEALER.seal(number, b"context")
    rounds = 5000
    seal = min(timeit.repeat(lambda: SEALER.seal(number, b"context"), number=rounds, repeat=5)) / rounds
    opened = min(timeit.repeat(lambda: SEALER.open(sealed, b"context"), number=rounds, repeat=5)) / rounds
    assert seal < 15e-6  # 1.4 µs on a quiet machine; the bound leaves room for a busy one
    assert opened < 15e-6
