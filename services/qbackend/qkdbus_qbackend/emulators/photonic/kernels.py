"""The loops of the emulator that numpy cannot do in whole arrays: dead time, and picking what clicked.

Compiled by numba where it is there, else run as they are: the same functions on the same integers, so the same bits.
numba is imported when the first of them is called, which only links with dead time do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Octets = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Draws = npt.NDArray[np.uint32]
Pixels = npt.NDArray[np.uint16]
DIGIT = 8  # bits
_ENTRIES = 1 << DIGIT


def digit_loop(draws: Draws, table: Draws, shift: int, gaps: Numbers) -> None:
    """Add to each gap a digit times 2^shift, drawn by the alias method from a table of `alias_table`."""
    for event in range(len(gaps)):
        drawn = draws[event]
        entry = table[drawn & np.uint32(255)]
        column, alias = np.int64(drawn & np.uint32(255)), np.int64(entry & np.uint32(255))
        # Without a branch, which the processor would guess wrong.
        gaps[event] += (alias ^ ((alias ^ column) & -np.int64(drawn < entry))) << shift


def blind_loop(
    gaps: Numbers,
    pixels: Pixels,
    many: int,
    dead: int,
    ready: Numbers,
    seen: Octets,
    clicked: Octets,
    start: int,
    place: int,
) -> tuple[int, int]:
    """Let candidates click whose detector is ready: those from `start` on, as many as there are gaps.

    Args:
        gaps: slots from each candidate to the one before it.
        pixels: drawn evenly; say on which of `many` detectors of its outcome a candidate falls.
        dead: slots from a click to the first one in which that detector can click again.
        ready: the first slot in which each detector can click, changed.
        seen: what all candidates would be seen as, the outcome in the lowest bit; what clicks moves to `place` and on,
            which is at most where it was.
        clicked: filled with 0 or 1.

    Returns:
        The slot of the last candidate, and the place after the last click.
    """
    slot = 0
    for event in range(len(gaps)):
        slot += gaps[event]
        here, there = np.uintp(start + event), np.uintp(place)  # unsigned: no look whether an index is from the end
        value = seen[here]
        cell = np.uintp(2 * (np.int64(pixels[event]) * many >> 16) + (value & 1))
        free = ready[cell]
        live = slot >= free
        ready[cell] = slot + dead if live else free
        clicked[here], seen[there] = live, value
        place += live
    return slot, place


def kept_loop(values: Octets, chosen: Octets) -> int:
    """Move the values whose `chosen` is 1 (else 0) to the front; return how many those are."""
    place = 0
    for event in range(len(chosen)):
        values[np.uintp(place)] = values[event]
        place += chosen[event]
    return place


@cache
def compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    """Return the loop, fast if possible."""
    try:
        from numba import njit
    except ImportError:
        return loop
    try:
        fast: Callable[..., Any] = njit(nogil=True, cache=True)(loop)
    except RuntimeError:  # there is no folder that it may keep compiled code in
        fast = njit(nogil=True)(loop)
    return fast


def warm() -> None:
    """Compile all loops, as they are called later on, or take them from numba's cache."""
    gaps, drawn, octets = np.ones(1, np.int64), np.zeros(1, np.uint32), np.zeros(1, np.uint8)
    compiled(digit_loop)(drawn, np.zeros(_ENTRIES, np.uint32), 0, gaps)
    compiled(blind_loop)(gaps, drawn.view(np.uint16), 1, 1, np.zeros(2, np.int64), octets, octets.copy(), 0, 0)
    compiled(kept_loop)(octets, octets.copy())


def join(first: Octets, *columns: Octets) -> None:
    """Put columns of values 0 and 1 (the last one: 0 to 63) into the bits of `first`, above its own; wipe them.

    It is one column then that a loop moves: several cost more than this, for they lie where they hinder each other.
    """
    for place, column in enumerate(columns, 1):
        first |= np.left_shift(column, np.uint8(place), out=column)
        column.fill(0)


def part(first: Octets, *columns: Octets) -> None:
    """Undo `join`: take the bits above the lowest out of `first`, into columns of the same length."""
    for place, column in enumerate(columns, 1):
        np.right_shift(first, np.uint8(place), out=column)
        if place < len(columns):
            column &= np.uint8(1)
    first &= np.uint8(1)


def gap_tables(density: float) -> list[Draws]:
    """Return a table for each digit of base 256, lowest first, of a geometric number with P(0) = `density`.

    The digits of a geometric number are independent; those left out are 0 but for e^-20.
    """
    decay = -np.log1p(-min(density, 1 - 1e-12))
    tables: list[Draws] = []
    while not tables or decay < 20:
        weights = np.exp(-decay * np.arange(_ENTRIES))
        tables.append(alias_table(weights / weights.sum()))
        decay *= _ENTRIES
    return tables


def alias_table(probabilities: npt.NDArray[np.float64]) -> Draws:
    """Return a table to draw from 256 `probabilities` with one number of 32 bits (Walker; Vose, IEEE TSE 17, 972).

    Its low octet chooses an entry. A number below the entry means its own column, else the alias in its low octet.
    """
    heights = (probabilities * _ENTRIES).tolist()
    table = [0] * _ENTRIES
    low = [column for column, height in enumerate(heights) if height < 1]
    high = [column for column, height in enumerate(heights) if height >= 1]
    while low and high:
        column, alias = low.pop(), high[-1]
        table[column] = int(heights[column] * 2**24) << DIGIT | alias
        heights[alias] -= 1 - heights[column]
        if heights[alias] < 1:
            low.append(high.pop())
    for column in low + high:
        table[column] = (2**24 - 1) << DIGIT | column
    return np.array(table, np.uint32)
