"""The benchmark of photonic links: what it counts, that it notices different keys, and that its page tells of all."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from benchmarks import photonic_kernels, photonic_run
from benchmarks.key_reader import Got
from benchmarks.photonic_stack import setup_for

from qkdbus.network.attacks import WORDS
from qkdbus.network.model import Protocol
from qkdbus.network.presets import PRESETS
from qkdbus.wire.record_pb2 import BlockRecord
from qkdbus_deploy.blocks import Heard

PAGE = (Path(__file__).parents[2] / "docs/photonic.md").read_text()


def got(arrivals: list[tuple[float, int]], digests: list[str] | None = None) -> Got:
    return {"arrivals": arrivals, "digests": digests or [], "cpu_s": 0.0}


def test_a_rate_runs_from_the_first_to_the_last_arrival_in_the_time_that_counts() -> None:
    came = got([(0.5, 1000), (1.0, 3000), (3.0, 5000), (9.0, 9000)])
    assert photonic_run._rate(came, 0.9, 4.0) == 8 * 2000 / 2.0
    assert photonic_run._rate(came, 3.5, 8.0) == 0.0


def test_a_pace_does_not_count_the_block_that_started_the_clock() -> None:
    blocks = [Heard(BlockRecord(kept=kept, finished_at=at), "") for kept, at in ((500, 13.0), (900, 10.0), (700, 12.0))]
    assert photonic_run._pace(blocks, "kept") == (500 + 700) / 3.0


def test_keys_are_equal_as_far_as_both_ends_have_them() -> None:
    assert photonic_run._equal(got([], ["a", "b", "c"]), got([], ["a", "b"])) == 2
    with pytest.raises(AssertionError, match="different keys"):
        photonic_run._equal(got([], ["a", "b", "c"]), got([], ["a", "x", "c2"]))


@pytest.mark.slow
def test_the_kernels_alone_make_a_key_at_the_qber_that_was_set() -> None:
    block = photonic_kernels.Bench(setup_for(0.01), "bb84-decoy").block(1 << 19)
    assert block.kept == 1 << 19
    assert block.corrected / block.kept == pytest.approx(0.0102, abs=5 * 0.00014)  # dark counts and 5 sigma
    assert 1.0 < block.efficiency < 1.2
    assert 0 < block.length < 0.52 * block.kept
    assert block.cpu_s > 0 and set(block.stages) >= {"source", "receiver", "sifting", "reconciliation", "amplification"}


def test_the_page_names_every_preset_protocol_and_attack() -> None:
    for name in (*PRESETS, *get_args(Protocol)):
        assert f"`{name}`" in PAGE
    for preset in PRESETS.values():
        assert preset.source.split(" et al.")[0].split(",")[0] in PAGE
    for words in WORDS.values():
        assert words.split()[0] in PAGE.lower()
