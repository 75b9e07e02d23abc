"""What a good network file means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qkdbus.network.load import beside, load, name_of
from qkdbus.network.routes import routes

EXAMPLES = Path(__file__).parents[2] / "examples"
ANCESTOR = """\
---
{version}
config:
  application_interface: etsi-gs-qkd-004
  qkd_protocol: e91
nodes:
  - node_name: munich
    node_ip: 10.4.16.115
    {neighbours}:
      - salzburg
      - nuremberg
  - node_name: nuremberg
    node_ip: {address}
    {neighbours}:
      - salzburg
      - munich
  - node_name: salzburg
    node_ip: 10.4.16.132
    {neighbours}:
      - munich
      - nuremberg
  """
Write = Callable[[str], Path]


@pytest.mark.parametrize("spelling", ["neighbour_nodes", "neighbor_nodes"])
@pytest.mark.parametrize(
    "version",
    ["quditto_version: 0.1.0", "quditto_version: 1", "qmts_version: 1.0", 'qmts_version: "v1"', "qdts_version: 0.1.0"],
)
def test_files_of_the_ancestor_are_read_as_they_are(write: Write, version: str, spelling: str) -> None:
    network = load(write(ANCESTOR.format(version=version, neighbours=spelling, address="10.4.16.74")))
    assert network.names == ("munich", "nuremberg", "salzburg")
    assert network.node("munich").neighbour_nodes == ("salzburg", "nuremberg")
    assert network.config.qkd_protocol == "e91-same-bases"
    assert {route.settings.protocol for route in routes(network)} == {"e91-same-bases"}
    [notice] = network.notices
    assert version.partition(":")[0] in notice
    assert "`e91-same-bases`" in notice


def test_an_address_may_be_empty_because_osm_finds_it(write: Write) -> None:
    text = ANCESTOR.format(version="quditto_version: 0.1.0", neighbours="neighbour_nodes", address="")
    assert load(write(text)).node("nuremberg").node_ip == ""


def test_both_spellings_in_one_node_are_refused(refusal: Callable[[str], list[str]]) -> None:
    text = "nodes:\n  - node_name: A\n    neighbor_nodes: []\n    neighbour_nodes: []\n"
    assert "are the same field; keep one" in refusal(text)[0]


def test_a_fault_in_an_ancestors_file_is_told_in_its_own_spelling(refusal: Callable[[str], list[str]]) -> None:
    text = ANCESTOR.format(version="quditto_version: 1", neighbours="neighbor_nodes", address="10.0.0.1")
    said = refusal(text.replace("      - salzburg\n      - nuremberg", "      - salzburg"))
    assert said[0].startswith("city.yaml:15:9: nodes[1].neighbor_nodes[1]: nuremberg names munich, and munich (line ")


@pytest.mark.parametrize(
    ("file", "nodes", "links"), [("three-sites", 3, 2), ("paper-figure-6", 3, 2), ("ring-8", 8, 8)]
)
def test_the_examples_are_good(file: str, nodes: int, links: int) -> None:
    network = load(EXAMPLES / f"{file}.yaml")
    assert (network.name, len(network.nodes), len(routes(network))) == (file, nodes, links)


def test_words_that_yaml_of_old_read_as_something_else_are_words(write: Write) -> None:
    text = "nodes:\n  - {node_name: NO, neighbour_nodes: [on]}\n  - {node_name: on, neighbour_nodes: [NO]}\n"
    network = load(write(text + "buffers: {window_bytes: 0100}\n"))
    assert network.names == ("NO", "on")
    assert network.buffers.window_bytes == 100


def test_small_numbers_may_be_written_with_an_exponent(write: Write) -> None:
    network = load(write("nodes: [{node_name: A}]\nlink_defaults: {noise: {x: 1e-3}}\n"))
    assert network.link_defaults.noise.x == 0.001


def test_anchors_and_merges_work(write: Write) -> None:
    text = """\
nodes:
  - {node_name: A, neighbour_nodes: [B, C]}
  - {node_name: B, neighbour_nodes: [A]}
  - {node_name: C, neighbour_nodes: [A]}
links:
  - &noisy {between: [A, B], noise: {x: 0.1}, jobs: 3}
  - {<<: *noisy, between: [A, C], jobs: 4}
"""
    first, second = routes(load(write(text)))
    assert (first.settings.noise.x, second.settings.noise.x) == (0.1, 0.1)
    assert (first.settings.jobs, second.settings.jobs) == (3, 4)


def test_a_field_without_a_value_is_as_good_as_not_written(write: Write) -> None:
    network = load(write("nodes:\n  - node_name: A\n    node_ip:\n    neighbour_nodes:\nlinks:\n"))
    assert network.nodes[0].neighbour_nodes == ()
    assert "A has no neighbours" in network.notices[0]


def test_a_node_overrides_a_layer_field_by_field(write: Write) -> None:
    text = "nodes:\n  - {node_name: A, layers: {qbackend: {replicas: 3}}}\n  - node_name: B\n"
    network = load(write(text + "layers: {qbackend: {run: mylab}}\n"))
    assert (network.choice("A", "qbackend").run, network.choice("A", "qbackend").replicas) == ("mylab", 3)
    assert (network.choice("B", "qbackend").run, network.choice("B", "qbackend").replicas) == ("mylab", 1)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a/three-sites.yaml", "three-sites"),
        ("my net (2).yml", "my-net-2"),
        ("net.json.yaml", "net-json"),
        ("...", "network"),
    ],
)
def test_a_network_is_named_after_its_file(file: str, name: str) -> None:
    assert name_of(Path(file)) == name


def test_the_name_in_the_file_wins(write: Write) -> None:
    assert load(write("name: metro\nnodes: [{node_name: A}]\n")).name == "metro"


def test_a_layer_may_be_a_file_beside_the_network_file(write: Write) -> None:
    file = write(
        """
        nodes:
          - node_name: Alice
            neighbour_nodes: [Bob]
            layers: {dispatcher: {run: "node ../js/dispatcher.js --wire ./wire plain/word"}}
          - {node_name: Bob, neighbour_nodes: [Alice]}
        layers: {qbackend: {run: "python './my own.py'", replicas: 2}, keysync: {run: mylab-keysync}}
        """
    )
    network, here = load(file), file.absolute().parent
    assert network.layers["qbackend"].run == f"python '{here}/my own.py'"
    assert network.layers["keysync"].run == "mylab-keysync"
    dispatcher = network.choice("Alice", "dispatcher").run
    assert dispatcher == f"node {here.parent}/js/dispatcher.js --wire {here}/wire plain/word"
    assert network.choice("Bob", "dispatcher").run is None


def test_words_of_a_command_are_paths_only_when_they_say_so() -> None:
    words = ["python", "./a.py", "../b", ".hidden", "c/d", "-x", "/e/./f"]
    assert beside(words, Path("/home/eve")) == ["python", "/home/eve/a.py", "/home/b", ".hidden", "c/d", "-x", "/e/./f"]
