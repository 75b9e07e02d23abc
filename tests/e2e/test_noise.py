"""A link that is too noisy gives no key, says so, and comes back by itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import zmq

from qkdbus.bus.caller import Caller
from qkdbus.contracts.emulator import CONTRACT
from qkdbus.wire.emulator_pb2 import Disturb
from qkdbus.wire.head_pb2 import Event
from qkdbus_client import QoS, Status

if TYPE_CHECKING:
    from .conftest import Net

NOISY = """\
qkdbus_version: 1
name: noisy
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice]}
# Half of the sifted bits are published: with some 300 a block, the QBER (0.27) stays within the bounds below.
link_defaults: {noise: {x: 0.2, z: 0.2}, block_bits: 256, disclose: 0.5}
buffers: {window_bytes: 64}
"""


@contextmanager
def ear(net: Net, node: str) -> Iterator[Callable[[], list[Event]]]:
    """Hear the events of a node's keysync."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(net.settings(node).ipc("keysync.events"))

    def heard() -> list[Event]:
        found = []
        while socket.poll(0):
            found.append(Event.FromString(socket.recv_multipart()[1]))
        return found

    yield heard
    context.destroy(linger=0)


def disturb(net: Net, source: str, peer: str, x: float, z: float) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    caller = Caller(context, net.settings(source).ipc("emulator"), CONTRACT, os.urandom(16))
    caller.ask("disturb", Disturb(peer=peer, x=x, z=z), patience=30.0)
    caller.close()
    context.term()


@pytest.mark.slow
def test_noise_raises_an_alarm_and_keys_flow_again_when_it_ends(
    network: Callable[[str], Net], wait_until: Callable[..., float]
) -> None:
    net = network(NOISY)
    with ear(net, "Alice") as heard:
        names = net.names("Alice", "Bob")
        alice, bob = net.client("Alice"), net.client("Bob")
        opened = alice.open_connect(*names, QoS(key_chunk_size=8, timeout=300))
        assert opened.ksid is not None
        assert bob.open_connect(*names, ksid=opened.ksid).status == Status.SUCCESSFUL
        wait_until(lambda: {net.link(*ends).state for ends in (("Alice", "Bob"), ("Bob", "Alice"))} == {"alarm"}, 60)
        for client in (alice, bob):
            got = client.get_key(opened.ksid)
            assert (got.status, got.key) == (Status.NO_QKD_CONNECTION, b"")
            assert "alarm" in got.reason
            assert "qber" in got.reason
        wait_until(lambda: net.link("Alice", "Bob").qber > 0, 60)  # the peer may have told of the alarm before
        link = net.link("Alice", "Bob")
        assert 0.15 < link.qber < 0.45
        assert (link.blocks, link.key_rate, link.buffered_keys) == (0, 0, 0)
        alarms = [event for event in heard() if event.name == "alarm"]
        assert alarms
        assert {event.fields["peer"] for event in alarms} == {"Bob"}
        assert all(event.fields["reason"].startswith("qber 0.") for event in alarms)
        text = net.command("status").stdout
        assert "alarm" in text

        disturb(net, "Alice", "Bob", 0, 0)
        began = time.monotonic()
        wait_until(lambda: alice.get_key(opened.ksid, 0).status == Status.SUCCESSFUL, 60)
        print(f"\nkeys flow again {time.monotonic() - began:.1f} s after the noise has ended")
        assert bob.get_key(opened.ksid, 0).status == Status.SUCCESSFUL
        wait_until(lambda: bob.get_key(opened.ksid).status == Status.SUCCESSFUL, 60)
        assert net.link("Alice", "Bob").state == net.link("Bob", "Alice").state == "up"
        assert [event.name for event in heard() if event.name in ("clear", "alarm")][-1] == "clear"


@pytest.mark.slow
def test_noise_that_begins_later_stops_the_flow_and_what_was_agreed_is_still_served(
    sites: Net, wait_until: Callable[..., float]
) -> None:
    ends = sites.open("Bob", "Charlie", QoS(key_chunk_size=8, timeout=300))
    ends.agree(1)
    disturb(sites, "Bob", "Charlie", 0.25, 0.25)
    try:
        served = 0
        while (got := ends.here.get_key(ends.ksid)).status == Status.SUCCESSFUL:
            assert ends.there.get_key(ends.ksid, got.index).key == got.key
            served += 1
            assert served < 1000, "noise changes nothing"
        wait_until(lambda: ends.here.get_key(ends.ksid).status == Status.NO_QKD_CONNECTION, 60)
        assert sites.link("Alice", "Bob").state == "up", "another link is none the worse"
    finally:
        disturb(sites, "Bob", "Charlie", 0, 0)
    wait_until(lambda: ends.here.get_key(ends.ksid).status == Status.SUCCESSFUL, 60)
    ends.close()
