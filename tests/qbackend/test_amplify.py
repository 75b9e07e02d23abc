"""Privacy amplification as a talk: both ends get the same key, by a seed of this block's own."""

from __future__ import annotations

import os

import numpy as np
import pytest

from qkdbus_qbackend.distil import amplify, toeplitz
from qkdbus_qbackend.failure import Broken
from qkdbus_qbackend.protocols.talk import Hear, Tell, Work, converse

COUNT, LENGTH = 3001, 1000


def block() -> amplify.Octets:
    return np.random.default_rng(1).integers(0, 256, 376, np.uint8)


@pytest.mark.parametrize(("one", "other"), [(False, False), (True, True), (True, False)])
def test_both_ends_get_the_same_key_whatever_path_they_take(one: bool, other: bool) -> None:
    octets = block()
    alice, bob = converse(
        amplify.source(octets, COUNT, LENGTH, os.urandom, fast=one),
        amplify.sink(octets.copy(), COUNT, LENGTH, fast=other),
    )
    assert len(alice) == LENGTH // 8 and np.array_equal(alice, bob)


def test_the_key_is_the_hash_by_the_seed_that_was_told() -> None:
    octets, seed = block(), os.urandom(500)
    alice, _ = converse(amplify.source(octets, COUNT, LENGTH, lambda count: seed), amplify.sink(octets, COUNT, LENGTH))
    assert np.array_equal(alice, toeplitz.hash_bits(seed, octets, COUNT, LENGTH, fast=False))


def test_a_block_that_differs_in_one_bit_gives_another_key() -> None:
    octets = block()
    changed = octets.copy()
    changed[200] ^= 4
    alice, bob = converse(amplify.source(octets, COUNT, LENGTH, os.urandom), amplify.sink(changed, COUNT, LENGTH))
    differing = int(np.unpackbits(alice ^ bob).sum())
    assert abs(differing - LENGTH / 2) < 5 * (LENGTH / 4) ** 0.5


def test_each_block_gets_a_seed_of_its_own() -> None:
    seeds = [next(amplify.source(block(), COUNT, LENGTH, os.urandom)) for _ in range(2)]
    assert seeds[0] != seeds[1] and all(isinstance(wish, Tell) and len(wish.body) == 500 for wish in seeds)


@pytest.mark.parametrize("size", [0, 499, 501])
def test_a_seed_of_another_size_is_refused(size: int) -> None:
    talk = amplify.sink(block(), COUNT, LENGTH)
    assert isinstance(next(talk), Hear)
    with pytest.raises(Broken):
        talk.send(bytes(size))


def test_the_arithmetic_is_left_to_the_driver() -> None:
    talk = amplify.sink(block(), COUNT, LENGTH)
    next(talk)
    wish = talk.send(bytes(500))
    assert isinstance(wish, Work) and not wish.work().any()
    assert "work" not in repr(wish)
