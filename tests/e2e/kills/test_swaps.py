"""Each layer is swapped for another program and taken back, live, while keys are read at both ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Load

BEYOND = 13  # keys from now on, of which the last was surely not agreed yet (conftest)
# As if it were somebody else's: an interpreter of its own, no fork of a warm parent.
FOREIGN = """
import runpy
runpy.run_module("qkdbus_LAYER", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("load", ["ideal"], indirect=True)
@pytest.mark.parametrize("layer", ["keymanager", "keysync", "dispatcher", "qbackend"])
def test_a_layer_is_swapped_and_taken_back_under_load(load: Load, layer: str, tmp_path: Path) -> None:
    program = tmp_path / f"my_{layer}.py"
    program.write_text(FOREIGN.replace("LAYER", layer))
    load.add("Alice", "Bob", 1, 3)
    load.add("Bob", "Alice", 1, 0)
    load.add("Bob", "Charlie", 1, 1)
    load.wait_for([2] * 6, 60)
    for node in ("Alice", "Bob"):  # Alice is the arbiter of their link; Bob the follower, and arbiter of the other
        for command in ([sys.executable, str(program)], None):
            before, counts = load.net.pids(), load.counts()
            swapped = load.net.local.swap(load.net.name, node, layer, command, 60.0)
            assert not swapped.unready, swapped.unready
            after = load.net.pids()
            assert {who for who, pid in after.items() if before[who] != pid} == {(node, layer)}
            words = Path(f"/proc/{after[node, layer]}/cmdline").read_bytes().decode().split("\0")
            assert (str(program) in words) == (command is not None)
            load.wait_for([count + BEYOND for count in counts], 120)
    assert load.finish() > 6 * 4 * BEYOND
