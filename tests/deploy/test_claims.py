"""Two homes that deploy at the same moment: neither gets a port that the other is about to use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qkdbus.network.addresses import numbers
from qkdbus.network.load import load
from qkdbus_deploy import ports
from qkdbus_deploy.claims import STRETCH, Claims

FILE = """\
qkdbus_version: 1
name: net
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice]}
link_defaults: {emulator: ideal}
"""
# Reserves from the same place on as the test, says what it has, and lives until its input ends.
OTHER = """
import sys
from pathlib import Path
from qkdbus.network.addresses import numbers
from qkdbus.network.load import load
from qkdbus_deploy import ports
ports.zlib.crc32 = lambda text: 4321
given = ports.reserve(Path(sys.argv[2]), load(Path(sys.argv[1])))
print(*(port for one in given.values() for port in numbers(one)), flush=True)
sys.stdin.read()
"""


def test_homes_that_reserve_at_once_get_different_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qkdbus_deploy.ports.zlib.crc32", lambda text: 4321)
    file = tmp_path / "net.yaml"
    file.write_text(FILE)
    command = [sys.executable, "-c", OTHER, str(file), str(tmp_path / "theirs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdin is not None
        theirs = {int(port) for port in other.stdout.readline().split()}
        assert theirs, "the other could not reserve"
        home = tmp_path / "ours"
        ours = {port for one in ports.reserve(home, load(file)).values() for port in numbers(one)}
        assert ours.isdisjoint(theirs)
        ports.release(home, "net")
        other.stdin.close()
    # What the other claimed is free when it has ended; unless a third one, which deploys just now, was sooner.
    for _ in range(600):
        again = {port for one in ports.reserve(home, load(file)).values() for port in numbers(one)}
        ports.release(home, "net")
        if min(again) <= max(theirs):
            return
        time.sleep(0.1)
    pytest.fail("what the other claimed is still claimed")


def test_a_claim_holds_until_all_have_dropped_it() -> None:
    one, other, port = Claims(), Claims(), STRETCH * (1 << 20) + STRETCH * os.getpid()  # ports that nobody deploys at
    assert one.may_use(port + 1, "a") and one.may_use(port + 2, "b")
    assert not other.may_use(port, "c")
    assert other.may_use(port + STRETCH * (1 << 23), "c")
    one.drop("a")
    assert not other.may_use(port, "c")
    one.drop("b")
    assert other.may_use(port, "c")
    other.drop("c")
