"""The compiled polynomial and the portable one give the same values, each fast enough for its links."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkdbus_qbackend.distil import verify
from qkdbus_qbackend.distil.field import evaluate, evaluator, power, times
from qkdbus_qbackend.protocols.talk import converse

element = st.integers(0, (1 << 64) - 1)


@given(st.integers(0, 3000), element, st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_the_compiled_kernel_gives_the_same_values(count: int, point: int, seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 1 << 64, count, np.uint64)
    assert evaluator(fast=True)(words, point) == evaluate(words, point)


def test_it_does_so_for_the_extremes() -> None:
    for point in (0, 1, 2, (1 << 64) - 1):
        for word in (0, 1, (1 << 64) - 1):
            for count in (1, 15, 16, 17, 64):
                words = np.full(count, word, np.uint64)
                assert evaluator(fast=True)(words, point) == evaluate(words, point)


def test_a_machine_without_the_instruction_gives_the_same_values() -> None:
    code = (
        "import numpy as np; from qkdbus_qbackend.distil import carryless, field; assert not carryless.available(); "
        "print(carryless.evaluate(np.arange(99, dtype=np.uint64), 12345))"
    )
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(said.stdout) == evaluate(np.arange(99, dtype=np.uint64), 12345)


@given(element, st.integers(0, 300))
def test_a_power_is_a_product_of_equals(one: int, exponent: int) -> None:
    product = 1
    for _ in range(exponent):
        product = times(product, one)
    assert power(one, exponent) == product


@pytest.mark.parametrize("pair", [(True, False), (False, True), (True, True)])
def test_ends_with_and_without_the_kernel_understand_each_other(pair: tuple[bool, bool], lab: Any) -> None:
    source, sink = lab.in_memory(fast=pair)
    lab.say(source, sink, [(3, 1, os.urandom(300_000)), (3, 2, os.urandom(77))])
    lab.say(sink, source, [(3, 2, os.urandom(3))])
    converse(source.talk(), sink.talk())
    kept = np.frombuffer(os.urandom(1000), np.uint8)
    converse(verify.source(kept, os.urandom, fast=pair[0]), verify.sink(kept.copy(), fast=pair[1]))


def test_a_transcript_is_no_burden(lab: Any) -> None:
    """50 MB/s are asked of the portable way and 1 GB/s of the kernel; half of it passes on a busy machine."""
    body = os.urandom(1 << 20)
    for fast, least in ((False, 25e6), (True, 0.5e9)):
        best = 0.0
        for _ in range(7):
            source, _ = lab.in_memory(fast=(fast, fast))
            began = time.perf_counter()
            for _ in range(4):
                source.transcript.told(3, 0, body)
            source.transcript.hashed()
            best = max(best, 4 * len(body) / (time.perf_counter() - began))
        print(f"\n{'kernel' if fast else 'portable'}: {best / 1e6:.0f} MB/s")
        assert best > least
