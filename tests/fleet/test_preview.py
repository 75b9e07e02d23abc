"""What a deploy to hosts would make of a network, told without connecting to any."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qkdbus.errors import Refused
from qkdbus.network.addresses import FIRST_PORT, allocate
from qkdbus.network.model import Network
from qkdbus_deploy.certs import gather
from qkdbus_deploy.change import compare
from qkdbus_deploy.deployed import placed
from qkdbus_deploy.fleet import copies
from qkdbus_deploy.fleet.preview import foresee
from qkdbus_deploy.fleet.record import Record, Seat
from qkdbus_deploy.plan import Place, Target, plan

NETWORK = Network.model_validate(
    {
        "name": "net",
        "nodes": [{"node_name": "A", "neighbour_nodes": ["B"]}, {"node_name": "B", "neighbour_nodes": ["A"]}],
    }
)
HOSTS = {"A": {"ansible_host": "192.0.2.1"}, "B": {"ansible_host": "192.0.2.2"}}


@pytest.fixture
def known(tmp_path: Path) -> Record:
    """The record of a network that is on hosts, with copies of what was sent there."""
    places = {
        name: Place(Path("/srv") / name, Path("/run/q"), "/py", f"192.0.2.{n}") for n, name in ((1, "A"), (2, "B"))
    }
    ports = allocate(NETWORK, range(25_000, 26_000))
    copies.write(
        plan(NETWORK, ports, gather(NETWORK, tmp_path / "net"), Target(Place(tmp_path, Path("/r"), "/p"), places))
    )
    return Record("hosts.yaml", {name: Seat(name, f"/srv/{name}", "/py", ("digest",), "made") for name in "AB"})


def test_nodes_that_were_never_deployed_are_where_the_inventory_says(tmp_path: Path) -> None:
    found = foresee(tmp_path, NETWORK, Record(""), HOSTS)
    assert found.seats == {"A": "A", "B": "B"} and found.pythons == {"A": "", "B": ""}
    assert [bundle.settings.host for bundle in found.plan.bundles] == ["192.0.2.1", "192.0.2.2"]
    assert {bundle.settings.ports.north for bundle in found.plan.bundles} == {FIRST_PORT}  # each on its own host


def test_nodes_that_stay_are_foreseen_as_they_are(tmp_path: Path, known: Record) -> None:
    found = foresee(tmp_path, NETWORK, known, HOSTS)
    assert found.pythons == {"A": "/py", "B": "/py"}
    assert compare(placed(tmp_path / "net", found.seats), found.plan, found.seats).nothing


def test_a_node_that_moves_is_told_with_its_neighbour(tmp_path: Path, known: Record) -> None:
    nodes = [NETWORK.nodes[0], NETWORK.nodes[1].model_copy(update={"node_ip": "192.0.2.9"})]
    hosts = {"A": HOSTS["A"], "spare": {"ansible_host": "192.0.2.9"}}
    found = foresee(tmp_path, NETWORK.model_copy(update={"nodes": tuple(nodes)}), known, hosts)
    change = compare(placed(tmp_path / "net", {"A": "A", "B": "B"}), found.plan, found.seats)
    one, other = change.nodes
    assert (one.kind, one.effect) == ("changed", "restarts")
    assert {(d.what, d.name) for d in one.differences} == {("peer", "B")}
    assert (other.kind, other.was_on, other.host) == ("moved", "B", "spare")
    assert found.pythons["B"] == ""


def test_machines_of_osm_are_at_the_addresses_that_it_gave(tmp_path: Path, known: Record) -> None:
    grown = NETWORK.model_copy(
        update={
            "nodes": (
                NETWORK.nodes[0],
                NETWORK.nodes[1].model_copy(update={"node_ip": "10.9.9.9"}),  # of the file: OSM says otherwise
                NETWORK.nodes[1].model_copy(update={"node_name": "C", "neighbour_nodes": ()}),
            )
        }
    )
    found = foresee(tmp_path, grown, replace(known, machines={"made": {}, "order": {}}), HOSTS)
    assert [bundle.settings.host for bundle in found.plan.bundles] == ["192.0.2.1", "192.0.2.2", "C"]  # C: to be made
    assert found.seats["C"] == "C"


def test_a_node_without_a_host_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no host in the inventory for B"):
        foresee(tmp_path, NETWORK, Record(""), {"A": HOSTS["A"]})
