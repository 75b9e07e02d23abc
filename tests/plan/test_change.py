"""A plan held against what is deployed: what differs, what that means for each node, and never a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qkdbus.bus.curve import KeyPair
from qkdbus.network.addresses import allocate
from qkdbus.network.model import Network
from qkdbus_deploy.bundles import Plan
from qkdbus_deploy.certs import gather
from qkdbus_deploy.change import Change, NodeChange, Placed, compare
from qkdbus_deploy.place import generation
from qkdbus_deploy.plan import Target, plan

PlanIt = Callable[[Network], Plan]


@pytest.fixture
def again(target: Target, pairs: Callable[[], KeyPair], three_sites: Network) -> PlanIt:
    """Plan a network with the keys, ports and secrets that three-sites has."""
    from qkdbus.presharing import LinkSecret

    made = gather(three_sites, target.here.home / "net", pairs)
    ports = allocate(three_sites)

    def of(network: Network) -> Plan:
        fresh = gather(network, target.here.home / "net", pairs, LinkSecret.new)
        certs = replace(
            fresh,
            nodes={**fresh.nodes, **{name: made.nodes[name] for name in network.names if name in made.nodes}},
            users={**fresh.users, **{name: made.users[name] for name in network.names if name in made.users}},
            apps={**fresh.apps, **{name: made.apps[name] for name in network.names if name in made.apps}},
            links={**fresh.links, **{ends: made.links[ends] for ends in fresh.links if ends in made.links}},
        )
        return plan(network, allocate(network, range(30_000, 31_000), ports), certs, target)

    return of


def placed(found: Plan, host: str = "") -> dict[str, Placed]:
    return {
        bundle.name: Placed(bundle.settings, {file.path: file.text for file in bundle.files}, host)
        for bundle in found.bundles
    }


def changed(network: Network, **fields: Any) -> Network:
    return Network.model_validate({**network.model_dump(exclude_unset=True), **fields})


def by_name(change: Change) -> dict[str, NodeChange]:
    return {one.node: one for one in change.nodes}


def told(one: NodeChange) -> list[tuple[Any, ...]]:
    return [(d.what, d.name, d.setting, d.before, d.after) for d in one.differences]


def test_the_same_plan_changes_nothing(three_sites: Network, again: PlanIt) -> None:
    before = placed(again(three_sites))
    found = compare(before, again(three_sites))
    assert found.nothing
    assert {one.effect for one in found.nodes} == {"goes on"}


def test_a_setting_of_a_link_restarts_its_two_ends_only(three_sites: Network, again: PlanIt) -> None:
    links = [{"between": ["Alice", "Bob"], "block_bits": 4096, "noise": {"x": 0.01}}]
    found = by_name(compare(placed(again(three_sites)), again(changed(three_sites, links=links))))
    assert [(one.kind, one.effect) for one in found.values()] == [
        ("changed", "restarts"),
        ("changed", "restarts"),
        ("untouched", "goes on"),
    ]
    default = three_sites.link_defaults.block_bits
    assert ("link", "Bob", "block_bits", default, 4096) in told(found["Alice"])
    assert ("link", "Alice", "noise.x", 0.0, 0.01) in told(found["Bob"])


def test_a_node_that_joins_concerns_its_neighbours_only(three_sites: Network, again: PlanIt) -> None:
    nodes = [node.model_dump() for node in three_sites.nodes]
    [charlie] = [node for node in nodes if node["node_name"] == "Charlie"]
    charlie["neighbour_nodes"] = (*charlie["neighbour_nodes"], "Dora")
    nodes.append({"node_name": "Dora", "neighbour_nodes": ["Charlie"]})
    larger = again(changed(three_sites, nodes=nodes))
    found = by_name(compare(placed(again(three_sites)), larger))
    assert {name: one.kind for name, one in found.items()} == {
        "Alice": "untouched",
        "Bob": "untouched",
        "Charlie": "changed",
        "Dora": "added",
    }
    assert told(found["Charlie"]) == [("link", "Dora", "", None, "e91-same-bases over simulaqron")]
    # what is called untouched is just what is not restarted
    smaller = {bundle.name: generation(bundle) for bundle in again(three_sites).bundles}
    restarted = {b.name for b in larger.bundles if smaller.get(b.name) != generation(b)}
    assert restarted == {"Charlie", "Dora"}


def test_a_node_that_leaves_is_removed_and_its_neighbour_loses_the_link(three_sites: Network, again: PlanIt) -> None:
    nodes = [node.model_dump() for node in three_sites.nodes if node.node_name != "Charlie"]
    for node in nodes:
        node["neighbour_nodes"] = tuple(name for name in node["neighbour_nodes"] if name != "Charlie")
    found = by_name(compare(placed(again(three_sites)), again(changed(three_sites, nodes=nodes))))
    assert (found["Charlie"].kind, found["Charlie"].effect) == ("removed", "is removed")
    assert [(d.what, d.name, d.after) for d in found["Bob"].differences] == [("link", "Charlie", None)]
    assert found["Alice"].kind == "untouched"


def test_layers_and_what_holds_for_the_whole_network(three_sites: Network, again: PlanIt) -> None:
    more = {"layers": {"qbackend": {"replicas": 2}}, "buffers": {"window_bytes": 8192}, "log_level": "debug"}
    found = told(by_name(compare(placed(again(three_sites)), again(changed(three_sites, **more))))["Alice"])
    assert ("layer", "qbackend", "replicas", 1, 2) in found
    assert ("buffers", "", "window_bytes", 4096, 8192) in found
    assert ("settings", "", "log_level", "info", "debug") in found
    assert {"ports", "peer"} <= {one[0] for one in found}  # another worker has a port of its own
    assert ("program", "qbackend_1", "command", None) in [one[:4] for one in found]


def test_another_host_is_a_move(three_sites: Network, again: PlanIt) -> None:
    before = placed(again(three_sites), "h1")
    hosts = {"Alice": "h1", "Bob": "h2", "Charlie": "h1"}
    found = by_name(compare(before, again(three_sites), hosts))
    assert (found["Bob"].kind, found["Bob"].was_on, found["Bob"].host) == ("moved", "h1", "h2")
    assert found["Alice"].kind == "untouched"


def test_applications_and_keys_are_read_again_without_a_restart(three_sites: Network, again: PlanIt) -> None:
    before = placed(again(three_sites))
    node = before["Alice"]

    def without(path: str) -> Mapping[str, Placed]:
        return {**before, "Alice": replace(node, files={**node.files, path: "{}"})}

    assert by_name(compare(without("certs/apps.json"), again(three_sites)))["Alice"].effect == "reads again"
    found = by_name(compare(without("certs/node.json"), again(three_sites)))["Alice"]
    assert (found.effect, found.differences[0].what) == ("reads again", "key")


def test_a_damaged_node_is_written_anew(three_sites: Network, again: PlanIt) -> None:
    before = {**placed(again(three_sites)), "Bob": Placed(None, {})}
    found = by_name(compare(before, again(three_sites)))["Bob"]
    assert (found.kind, found.effect, found.differences[0].what) == ("changed", "restarts", "file")


def test_no_secret_comes_out(three_sites: Network, planned: PlanIt) -> None:
    one, other = planned(three_sites), planned(three_sites)  # other keys everywhere
    found = compare(placed(one), other)
    assert all(change.effect == "reads again" for change in found.nodes)
    secrets = [
        secret
        for each in (one, other)
        for file in [*each.files, *(file for bundle in each.bundles for file in bundle.files)]
        for secret in file.secrets
    ]
    said = repr(found) + str(found.plain()) + repr(placed(one))
    assert secrets and not [secret for secret in secrets if secret in said]


def test_what_differs_only_on_this_machine_is_told_as_such(
    three_sites: Network, again: PlanIt, target: Target, tmp_path: Path
) -> None:
    before = placed(again(three_sites))
    node = before["Alice"]
    text = node.files["supervisord.conf"].replace("/opt/python", "/usr/bin/python3")
    old = {**before, "Alice": replace(node, files={**node.files, "supervisord.conf": text})}
    found = by_name(compare(old, again(three_sites)))["Alice"]
    assert {one.what for one in found.differences} == {"program"}
    assert found.effect == "restarts"
