"""The benchmark of `get_key` runs, and means what it says: keys really delivered, compared at both ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.get_key import Setting, _summary
from benchmarks.load import merge

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_quick_benchmark_delivers_keys_and_finds_them_equal(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks.get_key", "--quick", "--out", str(file)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=100, capture_output=True)
    results = json.loads(file.read_text())["results"]
    rows = results["rows"]
    assert [row["clients"] for row in rows] == [1, 2, 2]
    assert all(row["ours"]["calls"] > 0 and row["echo"]["calls"] > 0 for row in rows)
    delivered = sum(row["ours"]["keys"] * row["ours"]["seconds"] for row in rows)
    assert results["compared"] >= delivered - 1 > 0
    assert all(row["of_it_in_memory"] < row["stock_in_keysync"] for row in rows)


def told(bins: list[int], latency: float = 1e-3) -> dict[str, object]:
    return {"bins": bins, "latencies": [latency] * 10, "repeats": 0}


def test_a_round_counts_all_generators_over_the_whole_time() -> None:
    measured = _summary([told([5] * 10), told([15] * 10)], 1.0, 0)
    assert (measured.calls, measured.keys, measured.seconds) == (200, 200, 1.0)


def test_a_round_ends_where_the_first_stream_is_used_up() -> None:
    measured = _summary([told([10] * 20), told([10, 10, 10, 10, 3])], 2.0, 64)
    assert measured.seconds == 0.4
    assert measured.calls == pytest.approx(200) and measured.keys == pytest.approx(64 * 200)


def test_latencies_of_all_generators_are_taken_together() -> None:
    p50, p99 = merge([[1e-3] * 99, [9e-3]])
    assert (p50, p99) == (1e-3, 9e-3)


def test_a_setting_says_what_it_is() -> None:
    assert Setting(0, 1, 1).title == "get_key, 1 client, 1 in flight, tcp+CURVE"
    assert Setting(64, 8, 8, "ipc").title == "get_keys(64), 8 clients, 8 in flight each, ipc"
