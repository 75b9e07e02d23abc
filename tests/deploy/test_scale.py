"""Sixty-four nodes on one machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_sixty_four_nodes_come_up_and_go(machine: Any, record_property: Any) -> None:
    began = time.monotonic()
    said = machine.deploy("large", 64)
    took = time.monotonic() - began
    assert "64 nodes started, 256 services ready" in said.stdout
    processes = machine.processes()
    memory = sum(_pss(process.pid) for process in processes) / 2**20
    record_property("seconds", took)
    record_property("pss_mb", memory)
    assert len(processes) == 1 + 64 * 5
    assert took < 20 and memory < 2500  # bounds on what is broken, not the figures: benchmarks measure those
    machine.run("destroy", "large")
    assert machine.processes() == [] and list(machine.home.rglob("*")) == []


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
