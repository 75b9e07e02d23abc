"""Which node goes to which host, at which address and ports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qkdbus.errors import Refused
from qkdbus.network.addresses import FIRST_PORT, Ports, numbers
from qkdbus.network.model import Network
from qkdbus_deploy.fleet import seating, there
from qkdbus_deploy.fleet.facts import Facts
from qkdbus_deploy.fleet.looking import clock_apart

FACTS = Facts(
    python="/usr/bin/python3",
    python_version="3.11",
    machine="x86_64",
    libc="glibc 2.36",
    user="qkd",
    home="/home/qkd",
    run_root="/run/user/1000/qkdbus",
    addresses=("10.0.0.1",),
    listening=(FIRST_PORT + 1,),
    free_disk=10**9,
    systemd=False,
    hostname="one",
)


def network(*nodes: tuple[str, str]) -> Network:
    sites = [{"node_name": name, "node_ip": address} for name, address in nodes]
    return Network.model_validate({"name": "net", "nodes": sites})


def test_a_host_is_found_by_the_nodes_name_and_else_by_its_address() -> None:
    hosts = {
        "A": {"ansible_host": "10.0.0.1"},
        "machine-2": {"ansible_host": "10.0.0.2"},
        "10.0.0.3": {},
        "machine-4": {"ansible_host": "floating.example", "qkdbus_address": "10.0.0.4"},
    }
    wanted = network(("A", "10.9.9.9"), ("B", "10.0.0.2"), ("C", "10.0.0.3"), ("D", "10.0.0.4"))
    assert seating.match(wanted, hosts) == {"A": "A", "B": "machine-2", "C": "10.0.0.3", "D": "machine-4"}


def test_several_nodes_may_share_a_host() -> None:
    found = seating.match(network(("A", "10.0.0.1"), ("B", "10.0.0.1")), {"big": {"ansible_host": "10.0.0.1"}})
    assert found == {"A": "big", "B": "big"}


@pytest.mark.parametrize(
    ("nodes", "hosts", "words"),
    [
        ([("A", "")], {"B": {}}, r"no host in the inventory for A: .*it has B"),
        ([("A", "10.0.0.1"), ("Z", "10.0.0.9")], {"A": {}}, r"for Z \(10.0.0.9\)"),
        (
            [("A", "10.0.0.1")],
            {"x": {"ansible_host": "10.0.0.1"}, "y": {"ansible_host": "10.0.0.1"}},
            "x and y are both",
        ),
    ],
)
def test_a_node_without_a_host_is_refused(nodes: list[tuple[str, str]], hosts: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        seating.match(network(*nodes), hosts)


@pytest.mark.parametrize(
    ("node_ip", "variables", "host", "bind"),
    [
        ("10.0.0.1", {"ansible_host": "10.0.0.1"}, "10.0.0.1", ""),
        ("", {"ansible_host": "10.0.0.1"}, "10.0.0.1", ""),
        ("192.0.2.7", {"ansible_host": "192.0.2.7"}, "192.0.2.7", "0.0.0.0"),  # a floating address
        ("10.0.0.1", {"qkdbus_address": "one.lab"}, "one.lab", "0.0.0.0"),
        ("", {}, "one", "0.0.0.0"),
        ("", {"ansible_connection": "local"}, "10.0.0.1", ""),
        ("127.0.0.1", {"ansible_connection": "local"}, "127.0.0.1", ""),
    ],
)
def test_a_node_binds_its_address_where_the_host_has_it(
    node_ip: str, variables: dict[str, str], host: str, bind: str
) -> None:
    place = seating.place(node_ip, "one", variables, FACTS)
    assert (place.host, place.bind, place.home) == (host, bind, Path("/home/qkd/.qkdbus/.nodes"))


def test_a_home_of_the_inventory_is_used() -> None:
    assert seating.place("", "one", {"qkdbus_home": "/srv/qkd"}, FACTS).home == Path("/srv/qkd")


def test_ports_begin_anew_on_each_host_and_are_never_shared_on_one() -> None:
    wanted = network(("A", ""), ("B", ""), ("C", ""))
    given = seating.allot(wanted, {"A": "one", "B": "one", "C": "two"}, {}, {"one": FACTS.listening})
    on_one = [*numbers(given["A"]), *numbers(given["B"])]
    assert len(set(on_one)) == len(on_one)
    assert FIRST_PORT + 1 not in on_one
    assert min(on_one) == min(numbers(given["C"])) == FIRST_PORT


def test_ports_stay() -> None:
    wanted = network(("A", ""), ("B", ""))
    kept = Ports(north=30_000, keymanager=30_001, keysync=30_002, qbackend=(30_003,), emulator=30_004)
    given = seating.allot(wanted, {"A": "one", "B": "one"}, {"A": kept}, {"one": (30_000,)})
    assert given["A"] == kept
    assert not set(numbers(given["B"])) & set(numbers(kept))


def test_what_is_there_is_read() -> None:
    assert there.read("A 0123abcd\nB\n") == {"A": "0123abcd", "B": ""}


@pytest.mark.parametrize(("offset", "round_trip", "told"), [(0.9, 0.0, ""), (-2.0, 0.1, "-2.0 s"), (1.5, 2.0, "")])
def test_a_clock_that_is_surely_off_is_told(offset: float, round_trip: float, told: str) -> None:
    said = clock_apart(replace(FACTS, clock_offset=offset, round_trip=round_trip))
    assert told in said and bool(said) == bool(told)
