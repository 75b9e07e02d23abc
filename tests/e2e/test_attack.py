"""`qkdbus attack` as a laboratory would see it: errors, an alarm, no key; and keys again when she has left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from qkdbus_client import QoS, Status

if TYPE_CHECKING:
    from .conftest import Ends, Net

# A third of the sifted bits is published: some 150 a block, so that a QBER of 1/4 is surely seen as above 0.11.
TAPPED = """\
qkdbus_version: 1
name: tapped
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice]}
link_defaults: {protocol: bbm92, block_bits: 256, disclose: 0.33}
buffers: {window_bytes: 64}
"""
PULSES = """\
qkdbus_version: 1
name: pulses
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice]}
link_defaults: {emulator: photonic, protocol: bbm92, security: asymptotic,
  photonic: {clock: as-fast-as-possible, block: 16384}}
buffers: {window_bytes: 64}
"""
ENTANGLED = """\
qkdbus_version: 1
name: entangled
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice]}
link_defaults: {emulator: photonic, protocol: e91, security: asymptotic,
  photonic: {clock: as-fast-as-possible, block: 16384}}
buffers: {window_bytes: 256}
"""
QUBITS = """\
qkdbus_version: 1
name: qubits
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice]}
link_defaults: {protocol: e91, engine: qutip, block_bits: 256, jobs: 1}
buffers: {window_bytes: 64}
"""


def in_alarm(net: Net, reason: str) -> bool:
    ends = [net.link("Alice", "Bob"), net.link("Bob", "Alice")]
    return all(end.state == "alarm" and end.alarm.startswith(reason) for end in ends)


def emptied(ends: Ends, patience: float = 60.0) -> None:
    """Fetch what was agreed before, at both ends alike, until there is no more."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        got = ends.here.get_key(ends.ksid)
        if got.status == Status.NO_QKD_CONNECTION:
            return
        if got.status == Status.SUCCESSFUL:
            assert ends.there.get_key(ends.ksid, got.index).key == got.key
    raise AssertionError("keys go on, or nobody says why there are none")


def attack(net: Net, *words: str) -> Any:
    said = net.command("attack", *words, "--json")
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("text", [PULSES, TAPPED], ids=["photonic", "simulaqron"])
def test_she_is_seen_and_keys_flow_again_when_she_leaves(
    text: str, network: Callable[[str], Net], wait_until: Callable[..., float]
) -> None:
    net = network(text)
    ends = net.open("Alice", "Bob", QoS(key_chunk_size=8, timeout=300))
    ends.agree(2)
    assert attack(net, "Bob", "Alice", "--intercept-resend", "1")["there"]
    emptied(ends)
    wait_until(lambda: in_alarm(net, "qber 0."), 60)
    got = ends.there.get_key(ends.ksid)
    assert got.status == Status.NO_QKD_CONNECTION
    assert "in alarm: qber 0." in got.reason
    records = [net.link(*pair).last or {} for pair in (("Alice", "Bob"), ("Bob", "Alice"))]
    last = max(records, key=lambda record: record["finished_at"])
    assert 0.11 < last["qber"] < 0.45
    assert last["length"] == 0
    assert "qber 0." in net.command("status").stdout

    assert not attack(net, "Alice", "Bob", "--off")["there"]
    took = wait_until(lambda: _next(ends), 60)
    print(f"\nkeys flow again {took:.1f} s after she has left")
    ends.agree(2)
    assert net.link("Alice", "Bob").state == net.link("Bob", "Alice").state == "up"


def _next(ends: Ends) -> bool:
    got = ends.here.get_key(ends.ksid)
    return got.status == Status.SUCCESSFUL and ends.there.get_key(ends.ksid, got.index).key == got.key


@pytest.mark.slow
def test_a_cut_channel_is_dark(network: Callable[[str], Net], wait_until: Callable[..., float]) -> None:
    net = network(TAPPED)
    ends = net.open("Alice", "Bob", QoS(key_chunk_size=8, timeout=300))
    ends.agree(2)
    attack(net, "Alice", "Bob", "--cut")
    emptied(ends)
    wait_until(lambda: net.link("Alice", "Bob").alarm.startswith("dark: nothing arrives"), 60)
    attack(net, "Alice", "Bob", "--off")
    wait_until(lambda: _next(ends), 60)


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_real_qubits_pass_the_bell_test_and_betray_her_where_the_qber_might_not(
    network: Callable[[str], Net], wait_until: Callable[..., float]
) -> None:
    """E91 on SimulaQron: in the two key bases she costs 12.5 % of errors at most, and all of the violation."""
    net = network(QUBITS)
    ends = net.open("Alice", "Bob", QoS(key_chunk_size=8, timeout=300))
    wait_until(lambda: _next(ends), 150)
    before = net.link("Alice", "Bob").last or {}
    print(f"\nS = {before['s']:.3f} +- {before['s_error']:.3f}, QBER {before['qber']}")
    assert abs(before["s"] - 2.828) < 4.5 * before["s_error"]
    assert before["security"] == "asymptotic"
    attack(net, "Alice", "Bob", "--intercept-resend", "1", "--bases", "22.5,45")
    emptied(ends, 200)
    wait_until(lambda: "chsh S" in net.link("Alice", "Bob").alarm, 150)
    assert "is not above 2" in net.link("Alice", "Bob").alarm


@pytest.mark.slow
def test_she_ends_the_violation_of_the_bell_inequality(
    network: Callable[[str], Net], wait_until: Callable[..., float]
) -> None:
    net = network(ENTANGLED)
    ends = net.open("Alice", "Bob", QoS(key_chunk_size=8, timeout=300))
    ends.agree(1)
    before = net.link("Alice", "Bob").last or {}
    assert before["s"] - 3 * before["s_error"] > 2
    attack(net, "Alice", "Bob", "--intercept-resend", "1")
    emptied(ends)
    wait_until(lambda: net.link("Alice", "Bob").state == "alarm", 60)
    tapped = net.link("Alice", "Bob").last or {}
    assert tapped["s"] < 2
    assert " +- " in net.command("status").stdout
    attack(net, "Alice", "Bob", "--off")
    wait_until(lambda: _next(ends), 120)
    ends.agree(1)
