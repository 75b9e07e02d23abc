"""The verification hash: right, fast, and silent about the key."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkdbus_qbackend.distil import field, verify
from qkdbus_qbackend.failure import Broken, NoKey
from qkdbus_qbackend.protocols.talk import converse

POLYNOMIAL = (1 << 64) | 0b11011
element = st.integers(0, (1 << 64) - 1)


def slow_times(one: int, other: int, polynomial: int = POLYNOMIAL) -> int:
    """Multiply as one does on paper: all shifts, then the remainder."""
    product = 0
    for bit in range(other.bit_length()):
        if other >> bit & 1:
            product ^= one << bit
    degree = polynomial.bit_length() - 1
    for bit in range(product.bit_length() - 1, degree - 1, -1):
        if product >> bit & 1:
            product ^= polynomial << (bit - degree)
    return product


def slow_evaluate(words: list[int], point: int, polynomial: int = POLYNOMIAL) -> int:
    value = 0
    for word in words:  # Horner
        value = slow_times(value, point, polynomial) ^ word
    return value


@given(element, element)
def test_a_product_is_that_of_the_field(one: int, other: int) -> None:
    assert field.times(one, other) == slow_times(one, other)


@given(st.lists(element, min_size=1, max_size=40), element)
def test_an_array_is_multiplied_element_by_element(words: list[int], factor: int) -> None:
    product = field.times_all(np.array(words, np.uint64), factor)
    assert [int(word) for word in product] == [slow_times(word, factor) for word in words]


@given(st.lists(element, max_size=40), element)
def test_a_polynomial_has_the_value_that_horner_gives(words: list[int], point: int) -> None:
    assert field.evaluate(np.array(words, np.uint64), point) == slow_evaluate(words, point)


def test_the_modulus_is_irreducible() -> None:
    """Rabin: x^(2^64) = x, and x^(2^32) - x has no factor in common with it (64 has the one prime factor 2)."""
    power = 2
    for _ in range(32):
        power = field.times(power, power)
    assert _gcd(POLYNOMIAL, power ^ 2) == 1
    for _ in range(32):
        power = field.times(power, power)
    assert power == 2


def _gcd(one: int, other: int) -> int:
    while other:
        while one.bit_length() >= other.bit_length():
            one ^= other << (one.bit_length() - other.bit_length())
        one, other = other, one
    return one


@given(st.binary(min_size=8, max_size=120), st.integers(1, (1 << 64) - 1))
def test_the_tag_is_the_polynomial_that_the_docstring_says(kept: bytes, point: int) -> None:
    key, given_up = kept[:-8], kept[-8:]
    words = [int.from_bytes(key[i : i + 8], "little") for i in range(0, len(key), 8)]
    words.append(int.from_bytes(given_up, "little"))
    assert verify.tag(np.frombuffer(kept, np.uint8), point) == slow_evaluate(words, point)


def test_with_the_point_zero_the_tag_would_not_depend_on_the_key() -> None:
    assert verify.tag(np.arange(16, dtype=np.uint8), 0) == verify.tag(
        np.concatenate([np.zeros(8, np.uint8), np.arange(8, 16, dtype=np.uint8)]), 0
    )


@pytest.mark.parametrize("size", [9, 16, 17, 136, 1000])
def test_equal_blocks_pass(size: int) -> None:
    kept = np.frombuffer(os.urandom(size), np.uint8)
    assert converse(verify.source(kept, os.urandom), verify.sink(kept.copy())) == (None, None)


@pytest.mark.parametrize("where", [0, 7, 8, 90, -9, -8, -1])
@pytest.mark.parametrize("bit", [0, 7])
def test_blocks_that_differ_in_one_bit_do_not_pass(where: int, bit: int) -> None:
    kept = np.frombuffer(os.urandom(130), np.uint8)
    other = kept.copy()
    other[where] ^= 1 << bit
    with pytest.raises(NoKey, match="verification"):
        converse(verify.source(kept, os.urandom), verify.sink(other))


def test_both_ends_learn_that_the_blocks_differ() -> None:
    kept = np.zeros(20, np.uint8)
    source: Any = verify.source(kept, os.urandom)
    sink: Any = verify.sink(np.ones(20, np.uint8))
    challenge, _ = next(source), next(sink)
    verdict = sink.send(challenge.body)
    next(source)
    with pytest.raises(NoKey, match="verification"):
        source.send(verdict.body)


def test_blocks_of_different_length_do_not_pass() -> None:
    with pytest.raises(NoKey, match="verification"):
        converse(verify.source(np.zeros(24, np.uint8), os.urandom), verify.sink(np.zeros(16, np.uint8)))


def test_a_point_of_zero_is_refused() -> None:
    sink = verify.sink(np.zeros(16, np.uint8))
    next(sink)
    with pytest.raises(Broken, match="proves nothing"):
        sink.send((16).to_bytes(8, "little") + bytes(16))


def test_a_block_of_eight_megabit_takes_less_than_a_second() -> None:
    kept = np.frombuffer(os.urandom(1 << 20), np.uint8)
    start = time.perf_counter()
    verify.tag(kept, 0x123456789ABCDEF)
    assert time.perf_counter() - start < 1.0
