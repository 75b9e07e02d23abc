"""The baseline really is the loop it says it is."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PLACE = Path(__file__).parents[2] / "benchmarks" / "bare_loop.py"


@pytest.fixture(scope="module")
def bare_loop() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bare_loop", PLACE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bare_loop"] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_the_bare_loop_sifts_the_same_key_at_both_ends(bare_loop: ModuleType) -> None:
    result = bare_loop.measure(pairs=600, batch=100)  # raises when the keys differ
    assert result["pairs_per_second"] > 0
    assert abs(result["kept_share"] - 1 / 3) < 5 * (2 / 9 / 600) ** 0.5


def test_bases_are_drawn_evenly(bare_loop: ModuleType) -> None:
    drawn = bare_loop.draw_bases(30_000)
    assert len(drawn) == 30_000
    for basis in range(3):
        assert abs(drawn.count(basis) / 30_000 - 1 / 3) < 5 * (2 / 9 / 30_000) ** 0.5
