"""Nodes that know each other by different addresses: what is between them goes over TCP, SimulaQron included."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from qkdbus.network.load import load
from qkdbus.runtime.settings import load as load_settings
from qkdbus_client import Client, QoS, Status
from qkdbus_deploy import ports
from qkdbus_deploy.bundles import Plan
from qkdbus_deploy.certs import gather
from qkdbus_deploy.drivers.local import Local
from qkdbus_deploy.paths import run_root
from qkdbus_deploy.plan import Place, Target, plan
from qkdbus_deploy.programs import installed

TWO = """\
qkdbus_version: 1
name: two-hosts
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice]}
link_defaults: {block_bits: 512}
buffers: {window_bytes: 128}
"""
HOSTS = {"Alice": "127.0.0.1", "Bob": "127.0.0.2"}


@pytest.fixture
def two_hosts(tmp_path: Path) -> Iterator[Local]:
    """Alice and Bob, each at an address of its own."""
    file, home = tmp_path / "network.yaml", tmp_path / "home"
    file.write_text(TWO)
    network, local = load(file), Local(home)

    def make(running: Mapping[str, str]) -> Plan:
        here = Place(home, run_root(), sys.executable)
        target = Target(here, {name: replace(here, host=host) for name, host in HOSTS.items()}, installed(network))
        given = ports.reserve(home, network, running)
        return plan(network, given, gather(network, home / network.name), target)

    try:
        deployed = local.apply(network.name, make, patience=90.0)
        assert not deployed.unready
        yield local
    finally:
        local.destroy(network.name, None)


@pytest.mark.slow
def test_two_hosts_form_the_same_keys_over_simulaqron(two_hosts: Local, key_of: Callable[..., Any]) -> None:
    home = two_hosts.home
    with (
        Client("Alice", network="two-hosts", home=home) as alice,
        Client("Bob", network="two-hosts", home=home) as bob,
    ):
        names = "app@Alice", "app@Bob"
        opened = alice.open_connect(*names, QoS(key_chunk_size=8, timeout=2000))
        assert bob.open_connect(*names, ksid=opened.ksid).status == Status.SUCCESSFUL
        for index in range(1, 5):
            ours, theirs = key_of(alice, opened.ksid), key_of(bob, opened.ksid)
            assert ours.index == theirs.index
            assert ours.key == theirs.key != b"", f"index {index} has two keys"
    doors = _doors(two_hosts)
    bob_says = load_settings(home / "two-hosts" / "Bob")
    assert doors["Bob"] == {("127.0.0.2", bob_says.ports.emulator)}  # Alice dials, and has no door
    assert doors["Alice"] == set()
    assert {neighbour.emulator_socket for neighbour in bob_says.neighbours} == {""}


def _doors(local: Local) -> dict[str, set[tuple[str, int]]]:
    """Where the emulator program of each node listens on TCP."""
    found: dict[str, set[tuple[str, int]]] = {}
    for node in local.status("two-hosts").nodes:
        [pid] = [layer.pid for layer in node.layers if layer.layer == "emulator"]
        there = psutil.Process(pid).net_connections(kind="inet")
        found[node.node] = {(one.laddr.ip, one.laddr.port) for one in there if one.status == psutil.CONN_LISTEN}
    return found
