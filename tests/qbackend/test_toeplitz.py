"""The Toeplitz hash: what the definition says, by either path, and universal."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkdbus_qbackend.distil import toeplitz
from qkdbus_qbackend.distil.toeplitz import portable
from qkdbus_qbackend.distil.toeplitz.memory import memory

Octets = npt.NDArray[np.uint8]
CPU = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
paths = pytest.mark.parametrize("fast", [False, True], ids=["portable", "fast"])
octet_lengths = st.integers(1, 400).map(lambda octets: 8 * octets)


def draw(bits: int, seed: int) -> Octets:
    return np.random.default_rng(seed).integers(0, 256, -(-bits // 8), np.uint8)


def case(count: int, length: int, seed: int) -> tuple[Octets, Octets]:
    return draw(count + length - 1, seed), draw(count, seed + 1)


def matrix_rows(seed: Octets, count: int, rows: list[int], length: int) -> npt.NDArray[np.uint8]:
    """Return rows of T straight from T[i, j] = seed bit (i - j + count - 1)."""
    bits = np.unpackbits(seed, count=count + length - 1, bitorder="little")
    return np.array([bits[i : i + count][::-1] for i in rows])


def by_definition(seed: Octets, octets: Octets, count: int, length: int, rows: list[int]) -> list[int]:
    bits = np.unpackbits(octets, count=count, bitorder="little").astype(np.int64)
    return [int(one) for one in matrix_rows(seed, count, rows, length).astype(np.int64) @ bits % 2]


def test_this_machine_tests_the_fast_path_if_it_can() -> None:
    pytest.importorskip("numba")
    if not CPU:
        pytest.skip("no list of the processor's features here")
    assert toeplitz.has_fast_path() == ("pclmulqdq" in CPU or "pmull" in CPU)


@paths
def test_a_small_matrix_multiplies_as_on_paper(fast: bool) -> None:
    """Three columns, eight rows; seed s0 .. s9, row i of T is s(i+2) s(i+1) s(i); x = 1 0 1, so y_i = s(i+2) + s(i)."""
    seed_bits = [1, 1, 0, 1, 0, 0, 1, 0, 1, 1]
    seed = np.packbits(seed_bits, bitorder="little")
    wanted = [1, 0, 0, 1, 1, 0, 0, 1]
    hashed = toeplitz.hash_bits(seed, np.array([0b101], np.uint8), 3, 8, fast=fast)
    assert list(np.unpackbits(hashed, bitorder="little")) == wanted


@paths
@pytest.mark.parametrize("count", [1, 2, 7, 8, 31, 32, 33, 64, 255, 1000, 4097])
@pytest.mark.parametrize("length", [8, 16, 24, 200, 1024])
def test_every_bit_is_the_one_of_the_definition(fast: bool, count: int, length: int) -> None:
    seed, octets = case(count, length, count + length)
    hashed = np.unpackbits(toeplitz.hash_bits(seed, octets, count, length, fast=fast), bitorder="little")
    assert list(hashed) == by_definition(seed, octets, count, length, list(range(length)))


@paths
def test_bits_of_a_large_block_are_those_of_the_definition(fast: bool) -> None:
    count, length = 200_003, 120_008
    seed, octets = case(count, length, 5)
    hashed = np.unpackbits(toeplitz.hash_bits(seed, octets, count, length, fast=fast), bitorder="little")
    rows = [0, 1, 63, 64, 8191, 60_000, length - 2, length - 1]
    assert [int(hashed[row]) for row in rows] == by_definition(seed, octets, count, length, rows)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60_000), octet_lengths, st.integers(0, 2**32))
def test_both_paths_give_the_same_bits(count: int, length: int, seed: int) -> None:
    given_ = case(count, length, seed)
    fast = toeplitz.hash_bits(*given_, count, length, fast=True)
    assert np.array_equal(fast, toeplitz.hash_bits(*given_, count, length, fast=False))


SHAPES = [  # one part and two, with each ratio; an even and an odd number of levels; below and above 2^16 coefficients
    *[(32 * (size - 300) - 5, 32 * 300) for size in (1024, 1025, 2048, 2304, 3072, 3073, 4096, 4500, 5120, 6144, 8192)],
    (1 << 18, 100_000),
    (700_001, 400_000),
    (1 << 20, 1 << 20),
    (1_000_000, 2_000_000),
]


@pytest.mark.parametrize(("count", "length"), SHAPES)
def test_both_paths_give_the_same_bits_at_every_shape_of_transform(count: int, length: int) -> None:
    given_ = case(count, length, count)
    fast = toeplitz.hash_bits(*given_, count, length, fast=True)
    assert np.array_equal(fast, toeplitz.hash_bits(*given_, count, length, fast=False))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1 << 22, (1 << 23) - 3, 1 << 23])
def test_both_paths_give_the_same_bits_for_the_largest_blocks(count: int) -> None:
    for length in (count // 3 // 8 * 8, count // 10 * 9 // 8 * 8):
        given_ = case(count, length, count)
        fast = toeplitz.hash_bits(*given_, count, length, fast=True)
        assert np.array_equal(fast, toeplitz.hash_bits(*given_, count, length, fast=False))


@paths
@pytest.mark.parametrize(("count", "length"), [(500, 128), (50_001, 20_000)])
def test_the_hash_of_a_sum_is_the_sum_of_the_hashes(fast: bool, count: int, length: int) -> None:
    seed, one = case(count, length, 1)
    other, more = draw(count, 7), draw(count + length - 1, 8)
    first, second = (toeplitz.hash_bits(seed, x, count, length, fast=fast) for x in (one, other))
    assert np.array_equal(toeplitz.hash_bits(seed, one ^ other, count, length, fast=fast), first ^ second)
    third = toeplitz.hash_bits(more, one, count, length, fast=fast)
    assert np.array_equal(toeplitz.hash_bits(seed ^ more, one, count, length, fast=fast), first ^ third)


@paths
def test_what_comes_after_the_last_bit_does_not_matter(fast: bool) -> None:
    count, length = 1003, 400
    seed, octets = case(count, length, 2)
    wanted = toeplitz.hash_bits(seed, octets, count, length, fast=fast)
    octets[-1] ^= 0b11111000
    seed[-1] ^= 0b11000000  # 1402 bits
    longer = np.append(octets, np.uint8(255))
    assert np.array_equal(toeplitz.hash_bits(seed.tobytes(), longer, count, length, fast=fast), wanted)


@paths
def test_the_input_stays_as_it_was(fast: bool) -> None:
    seed, octets = case(3001, 800, 3)
    before = seed.copy(), octets.copy()
    octets.setflags(write=False)
    toeplitz.hash_bits(seed, octets, 3001, 800, fast=fast)
    assert np.array_equal(seed, before[0]) and np.array_equal(octets, before[1])


def test_threads_do_not_disturb_each_other() -> None:
    cases = [(count, 8000, *case(count, 8000, count)) for count in range(30_000, 60_000, 1500)]
    wanted = [toeplitz.hash_bits(seed, x, count, length, fast=False) for count, length, seed, x in cases]
    with ThreadPoolExecutor(4) as threads:
        hashed = threads.map(lambda one: toeplitz.hash_bits(one[2], one[3], one[0], one[1], fast=True), cases * 5)
        assert all(np.array_equal(mine, theirs) for mine, theirs in zip(hashed, wanted * 5, strict=True))


def test_lent_memory_is_wiped_and_begins_with_a_line_of_the_cache() -> None:
    with memory(2, 1000) as (one, other):
        one[:], other[:] = 1, 2
        assert one.ctypes.data % 64 == 0
    assert not one.any() and not other.any()
    with memory(1, 500) as (again,):
        assert again.ctypes.data == one.ctypes.data


@paths
def test_each_value_of_a_short_hash_comes_up_equally_often_for_a_difference(fast: bool) -> None:
    """All 2^10 seeds of a 8 x 3 matrix: T x takes each of its 2^8 values for exactly 4 of them, for every x != 0."""
    for x in range(1, 8):
        seeds = (np.array([seed & 255, seed >> 8], np.uint8) for seed in range(1024))
        values = [int(toeplitz.hash_bits(seed, np.array([x], np.uint8), 3, 8, fast=fast)[0]) for seed in seeds]
        assert list(np.bincount(values, minlength=256)) == [4] * 256


def test_inputs_collide_as_often_as_a_universal_hash_lets_them() -> None:
    """24 inputs give 276 pairs; over 256 seeds 276 collisions of 8 bits are expected, with a deviation of 17."""
    count, inputs = 777, [draw(777, 1000 + i) for i in range(24)]
    collisions = 0
    for seed in range(256):
        hashes = [int(toeplitz.hash_bits(draw(count + 7, seed), x, count, 8, fast=False)[0]) for x in inputs]
        collisions += sum(one == other for one, other in combinations(hashes, 2))
    assert abs(collisions - 276) < 4.5 * 17


def test_rounding_stays_far_from_the_middle_between_whole_numbers() -> None:
    """Ones throughout are the worst for rounding: the largest norms and the largest sums."""
    count, length = 1 << 20, 1 << 19
    octets, seed = np.full(count // 8, 255, np.uint8), np.full((count + length) // 8, 255, np.uint8)
    sums = portable.convolve(seed, octets, count, length)
    assert np.abs(sums - count).max() < 1e-5


@pytest.mark.parametrize("least", [1, 2, 3, 7, 1000, 1025, 4095, 4097, 100_000, 1_468_007])
def test_a_transform_is_little_longer_than_it_has_to_be(least: int) -> None:
    size = portable.smooth(least)
    assert least <= size <= max(2, 1.13 * least + 1) and size % 2 == 0
    for prime in (2, 3, 5):
        while size % prime == 0:
            size //= prime
    assert size == 1


def test_sizes_that_fit_are_taken() -> None:
    assert len(toeplitz.hash_bits(bytes(13), np.zeros(10, np.uint8), 80, 24, fast=False)) == 3


@pytest.mark.parametrize(
    ("seed", "octets", "count", "length"),
    [(12, 10, 80, 24), (14, 10, 80, 24), (13, 9, 80, 24), (13, 10, 80, 20), (1, 1, 0, 8), (10, 10, 80, 0)],
)
def test_sizes_that_do_not_fit_are_refused(seed: int, octets: int, count: int, length: int) -> None:
    with pytest.raises(ValueError, match=r"\d bits"):
        toeplitz.hash_bits(bytes(seed), np.zeros(octets, np.uint8), count, length, fast=False)


def test_the_portable_path_imports_no_numba() -> None:
    program = (
        "import sys, numpy as np; from qkdbus_qbackend.distil import amplify, toeplitz;"
        "toeplitz.hash_bits(bytes(2), np.zeros(1, np.uint8), 8, 8, fast=False); assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def _elsewhere(program: str, cache: object, **settings: str) -> str:
    environment = {**os.environ, **settings, "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, timeout=110, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


PROGRAM = """
from qkdbus_qbackend.distil import toeplitz
from qkdbus_qbackend.distil.toeplitz.product import kind
print(kind().value, toeplitz.has_fast_path())
"""


def test_without_carry_less_multiplication_the_portable_path_takes_its_place(tmp_path: object) -> None:
    pytest.importorskip("numba")
    assert _elsewhere(PROGRAM, tmp_path, NUMBA_CPU_NAME="generic") == "none False"
    assert _elsewhere(PROGRAM, tmp_path, NUMBA_DISABLE_JIT="1") == "none False"


def test_for_arm_the_product_is_four_of_its_instructions() -> None:
    """Emitted here for a processor that we do not have; what it computes there is tried at the first use."""
    pytest.importorskip("numba")
    import llvmlite.binding as llvm
    from llvmlite import ir

    from qkdbus_qbackend.distil.toeplitz import product

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = ir.Module()
    module.triple = "aarch64-linux-gnu"
    function = ir.Function(module, ir.FunctionType(product.VECTOR, [product.VECTOR] * 2), "times")
    builder = ir.IRBuilder(function.append_basic_block())
    one, other = function.args
    halves = [product.emit_product(builder, lane, one, other, product.Kind.ARM) for lane in (0, 1)]
    builder.ret(product.emit_fold(builder, *halves))
    machine = llvm.Target.from_triple(module.triple).create_target_machine(features="+neon,+aes", opt=3)
    assert machine.emit_assembly(llvm.parse_assembly(str(module))).count("\tpmull") == 4


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif("pclmulqdq" not in CPU, reason="no such instruction")
def test_the_narrow_instruction_gives_the_same_bits(tmp_path: object) -> None:
    features = "+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+pclmul"
    said = _elsewhere(PROGRAM, tmp_path, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES=features)
    assert said == "pclmulqdq True"
