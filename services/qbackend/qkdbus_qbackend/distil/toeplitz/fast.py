"""The fast path: the transpose of a multiplication of polynomials, by additive FFT with carry-less multiplication.

Multiplying a polynomial y of `length` bits by the polynomial x of `count` bits is linear in y; the transposed map takes
seeds of count + length - 1 bits to `length` bits, and is the product with a Toeplitz matrix (the middle product: G.
Hanrot, M. Quercia, P. Zimmermann, AAECC 14, 415 (2004)). So the steps of a fast multiplication, each transposed and in
the opposite order, give the hash, and no transform is longer than the seed:

    multiplication:  y, cut into coefficients of 32 bits -> C (novel basis) -> V (values) -> times V C x
                     -> V^-1 -> C^-1 -> coefficients of 63 bits, added at distances of 32 bits
    hash:            seed, windows of 64 bits at distances of 32 -> C^-T -> V^-T -> times V C x -> V^T -> C^T -> y

(32-bit coefficients have products below x^64, which is why no reduction is seen.) Over GF(2) a multiplication by a
constant of GF(2^64) is its own transpose in the dual basis. For the form "coefficient of x^63 of a b" that basis is
that of the powers of x in the opposite order, up to a correction of four bits (see `_windows`), and the opposite order
is met by reading the seed downwards.

The number of coefficients is rounded up to 2^k, or to 2^(k-1) + 2^j: then the points are two parts, and the second one
needs R, which says what the coefficients of the first part add to those of the second: X_b at the points of the second
part is X_low(b) times a constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .basis import Words, novel
from .convert import Halves, Way, distant, local
from .lanes import even, fold, kernel, load, odd, spread, store
from .memory import memory
from .product import Kind, kind
from .transform import Part, ascend, descend, enter, leave, make_part

Octets = npt.NDArray[np.uint8]
SMALLEST = 10  # a part has at least 2^10 coefficients: `convert.local` needs 2^8 vectors of 4
LEAD = 8  # octets of zeros before the seed


def usable() -> bool:
    """Tell whether numba compiles for a processor that multiplies without carries."""
    return kind() != Kind.NONE


def hash_bits(seed: Octets, octets: Octets, count: int, length: int) -> Octets:
    """See `toeplitz.hash_bits`."""
    plan = _plan(-(-count // 32) + -(-length // 32) - 1)
    with memory(3, plan.size) as (plain, values, sums):
        _values_of_bits(plan, octets, count, plain, values, sums)
        _values_of_seed(plan, seed, count + length - 1, plain, sums)
        _multiply(sums, values)
        halves = _transposed(plan, plain, sums, values)[: -(-length // 32)]
        return halves[::-1].copy().view(np.uint8)[4 * len(halves) - length // 8 :]


def _values_of_bits(plan: Plan, octets: Octets, count: int, plain: Words, values: Words, spare: Words) -> None:
    """Write V C x, as lanes, into `values`."""
    halves = _halves(spare, plan.size)
    bits = halves.view(np.uint8)
    bits[: len(octets)] = octets
    bits[len(octets) :] = 0
    if count % 8:
        bits[len(octets) - 1] &= (1 << count % 8) - 1
    distant(halves, plan.log, 1, Way.NOVEL)
    plain[:] = halves
    if plan.second:
        _couple(plain, plan.second.start, 1 << plan.second.log, plan.constants)
    for part in plan.parts:
        enter(plain, values, part, dual=False)
    local(values.view(np.uint32), Way.NOVEL)
    for part in plan.parts:
        descend(values, part, dual=False)


def _values_of_seed(plan: Plan, seed: Octets, bits: int, plain: Words, sums: Words) -> None:
    """Write V^-T C^-T of the seed's windows, as lanes, into `sums`."""
    padded = sums.view(np.uint8)[: 2 * LEAD + -(-len(seed) // 8) * 8]
    padded[:LEAD] = 0
    padded[LEAD : LEAD + len(seed)] = seed
    padded[LEAD + len(seed) :] = 0
    _windows(padded.view(np.uint32), plain, plan.wanted, 8 * LEAD + bits - 64)
    distant(plain.view(np.uint32), plan.log, 2, Way.DUAL)
    if plan.second:
        _couple_back(plain, plan.second.start, 1 << plan.second.log, plan.constants)
    for part in plan.parts:
        enter(plain, sums, part, dual=True)
    local(sums.view(np.uint32), Way.DUAL)
    for part in plan.parts:
        descend(sums, part, dual=True)


def _transposed(plan: Plan, plain: Words, sums: Words, spare: Words) -> Halves:
    """Return the upper halves of C^T V^T of `sums`, in `spare`."""
    for part in plan.parts:
        ascend(sums, part)
    local(sums.view(np.uint32), Way.BACK)
    for part in plan.parts:
        leave(sums, plain, part)
    if plan.second:
        _couple_back(plain, plan.second.start, 1 << plan.second.log, plan.constants)
    halves = _halves(spare, plan.size)
    halves[:] = plain.view(np.uint32)[1::2]
    distant(halves, plan.log, 1, Way.BACK)
    return halves


def _halves(spare: Words, size: int) -> Halves:
    return spare.view(np.uint32)[:size]


@dataclass(frozen=True, eq=False)
class Plan:
    """How to transform `wanted` coefficients.

    Attributes:
        wanted: coefficients of the seed.
        log: the parts together have at most 2^log coefficients.
        parts: one or two.
        constants: R, how the pieces of the first part count at the points of the second; shape (pieces,).
    """

    wanted: int
    log: int
    parts: tuple[Part, ...]
    constants: Words

    @property
    def size(self) -> int:
        """Coefficients of all parts."""
        return self.parts[-1].stop

    @property
    def second(self) -> Part | None:
        """The second part, if there is one."""
        return self.parts[1] if len(self.parts) > 1 else None


@lru_cache(8)
def _plan(wanted: int) -> Plan:
    """Round up to 2^log, or to 2^(log - 1) + 2^j with j >= log - 4."""
    log = max(SMALLEST, (wanted - 1).bit_length())
    half = 1 << log - 1
    extra = max(SMALLEST, log - 4, (wanted - half - 1).bit_length()) if wanted > half else log
    if extra >= log - 1:
        return Plan(wanted, log, (make_part(0, log),), np.zeros(0, np.uint64))
    constants = [novel(piece, half >> extra) for piece in range(half >> extra)]
    return Plan(wanted, log, (make_part(0, log - 1), make_part(half, extra)), np.array(constants, np.uint64))


@kernel
def _windows(padded: Halves, into: Words, count: int, first: int) -> None:
    """Write 64 bits of the seed from bit `first` on, from 32 bits before, and so on; then zeros.

    A window w is a functional: bit j says what x^(63-j) contributes to the coefficient of x^63. The element e of which
    that is true has w = e + (e >> 60) + (e >> 61) + (e >> 63), because x^63, x^123, x^124 and x^126 are the powers of x
    below x^127 that contain x^63 modulo the polynomial; and the same formula leads back.
    """
    shift = np.uint64(first & 31)
    at = (first >> 5) - count + 1  # slices, and an index that is never negative: else the loop is not vectorised
    one, two, three = padded[at : at + count], padded[at + 1 : at + 1 + count], padded[at + 2 : at + 2 + count]
    last, windows = np.uintp(count - 1), into[:count]
    for i in range(np.uintp(count)):
        low = np.uint64(one[last - i]) | np.uint64(two[last - i]) << np.uint64(32)
        window = low >> shift | np.uint64(three[last - i]) << np.uint64(1) << (np.uint64(63) - shift)
        windows[i] = window ^ window >> np.uint64(60) ^ window >> np.uint64(61) ^ window >> np.uint64(63)
    into[count:] = 0


@kernel
def _multiply(lanes: Words, factors: Words) -> None:
    for i in range(0, len(lanes), 4):
        one, other = load(lanes, i), load(factors, i)
        store(lanes, i, fold(even(one, other), odd(one, other)))


@kernel
def _couple(plain: Words, start: int, size: int, constants: Words) -> None:
    """Add to the second part, `size` coefficients from `start` on, R times those of the first."""
    for i in range(0, size, 4):
        evens = odds = load(plain, i) ^ load(plain, i)
        for piece in range(len(constants)):
            one, other = load(plain, piece * size + i), spread(constants[piece])
            evens ^= even(one, other)
            odds ^= odd(one, other)
        store(plain, start + i, load(plain, start + i) ^ fold(evens, odds))


@kernel
def _couple_back(plain: Words, start: int, size: int, constants: Words) -> None:
    """Add to the first part R transposed times the second."""
    for piece in range(len(constants)):
        constant = spread(constants[piece])
        for i in range(0, size, 4):
            other = load(plain, start + i)
            at = piece * size + i
            store(plain, at, load(plain, at) ^ fold(even(constant, other), odd(constant, other)))
