"""Bitmaps in which each bit is 1 with a given probability."""

from __future__ import annotations

import numpy as np
import pytest

from qkdbus_qbackend.emulators.photonic.chance import LEVELS, Dice, Keystream

WORDS = 4096
PROBABILITIES = [1e-5, 0.004, 0.0157, 0.1, 1 / 3, 0.5, 0.625, 0.9, 0.99, 1 - 1e-4]


def ones(bitmap: np.typing.NDArray[np.uint64]) -> np.typing.NDArray[np.uint8]:
    return np.unpackbits(bitmap.view(np.uint8), bitorder="little")


def keystream(seed: int = 1) -> Keystream:
    return Keystream(np.random.default_rng(seed).bytes)


@pytest.mark.parametrize("probability", PROBABILITIES)
@pytest.mark.parametrize("way", ["key", "noise"])
def test_a_bit_is_1_with_its_probability(probability: float, way: str) -> None:
    draw = keystream().biased if way == "key" else Dice(1, "test").noise
    seen = np.concatenate([ones(draw(WORDS, probability)) for _ in range(8)])
    deviation = (len(seen) * probability * (1 - probability)) ** 0.5
    assert abs(int(seen.sum()) - len(seen) * probability) < 4.5 * deviation + 1
    # Neighbours know nothing of each other.
    both, pairs = int((seen[1:] & seen[:-1]).sum()), len(seen) - 1
    assert abs(both - pairs * probability**2) < 4.5 * (pairs * probability**2 * (1 + 2 * probability)) ** 0.5 + 2


@pytest.mark.parametrize(("probability", "value"), [(0.0, 0), (1.0, 1), (-1e-18, 0), (1 + 1e-16, 1)])
def test_what_is_certain_is_not_drawn(probability: float, value: int) -> None:
    for draw in (keystream().biased, Dice(1, "test").noise):
        assert (ones(draw(3, probability)) == value).all()


def test_a_lane_that_the_first_bits_leave_open_is_settled_by_the_others() -> None:
    """Of two probabilities that differ in later bits only, the lanes between them are as many as they should be."""
    step = 2.0**-LEVELS
    below, above = (ones(keystream(3).biased(16 * WORDS, 0.375 + side * step / 2)) for side in (-1, 1))
    assert not (below > above).any()
    between = int((above > below).sum())
    assert abs(between - len(above) * step) < 4.5 * (len(above) * step) ** 0.5


def test_keystreams_differ_and_seeds_repeat() -> None:
    stream = keystream()
    first = stream.words(100)
    stream.renew()
    assert not np.intersect1d(first, stream.words(100)).size
    assert np.array_equal(Dice(1, "one").numbers32(9), Dice(1, "one").numbers32(9))
    for other in (Dice(2, "one"), Dice(1, "two")):
        assert not np.array_equal(Dice(1, "one").numbers32(9), other.numbers32(9))


def test_a_keystream_is_the_same_in_one_piece_or_in_many() -> None:
    one, other = keystream(), keystream()
    whole = one.words(300_000)
    assert np.array_equal(whole, np.concatenate([other.words(count) for count in (0, 2, 131_072, 168_926)]))
    assert one.words(0).shape == (0,)


def test_numbers_between_0_and_1_are_even() -> None:
    numbers = keystream().uniform(100_000)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 4.5 / (12 * 100_000) ** 0.5
