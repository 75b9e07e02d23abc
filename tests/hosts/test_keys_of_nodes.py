"""Nodes on hosts of their own get new keys while they run, and one that was captured is shut out."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]
IDEAL = {"link_defaults": {"emulator": "ideal"}, "buffers": {"window_bytes": 256}}


def test_nodes_on_hosts_get_new_keys_while_streams_go_on(site: Any) -> None:
    net = site("A", "B", "C")
    net.run("deploy", net.file("ABC", **IDEAL), net.inventory("password"))
    ksid = opened(net, "A", "B")
    pids, before = net.pids(), {node: secret(net, node) for node in "ABC"}
    early = net.keys("A", ksid, 3)

    net.run("rotate", "--grace", 2)
    assert net.keys("B", ksid, 3) == early
    for _ in range(5):  # in all more than was there before: these were formed with the new keys
        late = net.keys("A", ksid, 5)
        assert net.keys("B", ksid, 5) == late
        early += late
    assert len(set(early)) == 28
    after = {node: secret(net, node) for node in "ABC"}
    assert all(after[node] != before[node] for node in "ABC")
    assert after == {node: secret_here(net, node) for node in "ABC"}
    assert net.pids() == pids
    assert net.json("deploy", net.file("ABC", **IDEAL))["changed"] == []


def test_a_host_that_cannot_be_reached_keeps_all_keys_as_they_are(site: Any) -> None:
    net = site("A", "B", "C")
    net.run("deploy", net.file("ABC", **IDEAL), net.inventory("password"))
    before = {node: secret(net, node) for node in "ABC"}
    net.lab.cut("C")
    said = net.run("rotate", "B", "--connect-timeout", 3, code=1)
    assert "qkdbus: C: " in said and "does not answer" in said, said
    net.lab.heal("C")
    assert {node: secret(net, node) for node in "ABC"} == before
    net.run("rotate", "B", "--grace", 0)
    assert secret(net, "B") != before["B"]
    net.keys_are_equal()


def test_a_captured_node_on_a_host_is_shut_out_and_let_in_again(site: Any) -> None:
    net = site("A", "B", "C")
    net.run("deploy", net.file("ABC", **IDEAL), net.inventory("password"))
    ksid = opened(net, "B", "C")
    assert net.keys("B", ksid, 3) == net.keys("C", ksid, 3)
    net.lab.cut("C")  # nothing is sent to the node itself, so it need not be there
    net.run("expel", "C", "--why", "stolen on Monday")
    net.lab.heal("C")
    ends = time.monotonic() + 30
    while not (refused := net.lab.run(["qkdbus", "key", "get", "B", ksid], timeout=60)).returncode:
        assert time.monotonic() < ends, "services look at their files once a second"
    assert "stolen on Monday" in refused.stdout + refused.stderr, refused
    assert "stolen on Monday" in net.run("key", "open", "B", "late@B", "late@C", code=1)
    net.keys_are_equal("--link", "A-B")
    net.run("readmit", "C")
    net.keys_are_equal()


def opened(net: Any, one: str, other: str) -> str:
    ksid: str = net.run("key", "open", one, f"app@{one}", f"app@{other}").strip()
    net.run("key", "open", other, f"app@{one}", f"app@{other}", "--ksid", ksid)
    return ksid


def secret(net: Any, node: str) -> str:
    """The node's secret key on its host."""
    file = net.lab.files(node, f"/home/qkd/.qkdbus/.nodes/net/{node}/certs/node.json")
    return str(json.loads(file.read_text())["secret_key"])


def secret_here(net: Any, node: str) -> str:
    return str(json.loads((net.lab.home / ".qkdbus" / "net" / node / "certs/node.json").read_text())["secret_key"])
