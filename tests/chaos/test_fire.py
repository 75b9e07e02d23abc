"""A short run under fire: every kind of fault that needs no root, and nothing that must not be."""

from __future__ import annotations

import json
import sys

import pytest
from benchmarks.chaos import page, places
from benchmarks.chaos.run import Wanted, run

SEED = 20261


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_nothing_is_lost_doubled_or_mixed_up_under_fire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))  # for the applications, which are processes of their own
    assert not places.inside(), "this test harms nobody's network"
    outcome = run(Wanted(3, seconds=80.0, seed=SEED, faults=45, pace=0.1), lambda text: print(text))
    told = page.data(outcome)
    text = page.body([told], page.facts())
    print(json.dumps(told["recovery"], indent=1))
    assert outcome.violations == []
    assert len(outcome.landed) >= 30
    assert {hit.fault.kind for hit in outcome.landed} >= {
        "kill keysync",
        "kill supervisord",
        "disk full",
        "link silent",
    }
    for stream in outcome.streams:
        for end in stream.ends:
            assert len(end.deliveries) >= 5, f"{stream.name} at {end.node} hardly had a key"
    assert f"**{len(outcome.landed)} faults**" in text
    assert "0 violations" in text
