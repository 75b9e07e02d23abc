"""Links and ports follow from the network file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from qkdbus.errors import Refused
from qkdbus.network.addresses import Ports, allocate, numbers
from qkdbus.network.model import Config, LayerChoice, Link, LinkSettings, Network, Node, Noise
from qkdbus.network.routes import routes


def ring(size: int, **more: object) -> Network:
    names = [f"N{place}" for place in range(size)]
    nodes = tuple(
        Node(node_name=name, neighbour_nodes=(names[place - 1], names[(place + 1) % size]))
        for place, name in enumerate(names)
    )
    return Network.model_validate({"name": "ring", "nodes": nodes, **more})


def test_each_link_is_there_once_and_the_smaller_name_is_its_arbiter() -> None:
    found = [(route.arbiter, route.follower) for route in routes(ring(4))]
    assert found == [("N0", "N1"), ("N0", "N3"), ("N1", "N2"), ("N2", "N3")]


def test_a_link_goes_before_the_defaults_and_they_before_the_protocol_of_the_network() -> None:
    network = ring(
        4,
        config=Config(qkd_protocol="bbm92"),
        link_defaults=LinkSettings(jobs=5, noise=Noise(x=0.1)),
        links=(Link(between=("N1", "N0"), jobs=7, protocol="e91-same-bases"),),
    )
    own, other, *_ = (route.settings for route in routes(network))
    assert (own.protocol, own.jobs, own.noise.x) == ("e91-same-bases", 7, 0.1)
    assert (other.protocol, other.jobs, other.noise.x) == ("bbm92", 5, 0.1)


@given(some.integers(3, 40), some.integers(1, 5), some.sets(some.integers(20_000, 20_100)))
def test_no_two_nodes_share_a_port(size: int, workers: int, busy: set[int]) -> None:
    network = ring(size, layers={"qbackend": LayerChoice(replicas=workers)})
    ports = allocate(network, (port for port in range(20_000, 30_000) if port not in busy))
    given_out = [port for one in ports.values() for port in numbers(one)]
    assert len(given_out) == len(set(given_out)) == size * (4 + workers)
    assert not busy & set(given_out)


def test_a_node_keeps_its_ports_and_nobody_else_gets_them() -> None:
    kept = {"N1": allocate(ring(3))["N0"]}
    ports = allocate(ring(3), kept=kept)
    assert ports["N1"] == kept["N1"]
    given_out = [port for one in ports.values() for port in numbers(one)]
    assert len(given_out) == len(set(given_out))


def test_a_node_with_more_workers_than_before_gets_new_ports() -> None:
    before = allocate(ring(3))
    after = allocate(ring(3, layers={"qbackend": LayerChoice(replicas=2)}), kept=before)
    assert all(len(ports.qbackend) == 2 for ports in after.values())


def test_ports_of_before_there_was_one_for_the_emulator_are_read_but_not_kept() -> None:
    before = Ports.model_validate({"north": 20_000, "keymanager": 20_001, "keysync": 20_002, "qbackend": [20_003]})
    after = allocate(ring(3), kept={"N1": before})
    assert 0 not in numbers(after["N1"])


def test_too_few_ports_are_refused() -> None:
    with pytest.raises(Refused, match="not enough free ports"):
        allocate(ring(3), range(20_000, 20_011))
