"""Whatever stands in the file: a network, or BadFile; nothing else, and never for long."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from qkdbus.errors import BadFile
from qkdbus.network.load import load
from qkdbus.network.model import Network

THREE_SITES = (Path(__file__).parents[2] / "examples" / "three-sites.yaml").read_bytes()
FIELDS = [*Network.model_fields, "node_name", "node_ip", "neighbour_nodes", "neighbor_nodes", "between", "protocol"]
FIELDS += ["qmts_version", "quditto_version", "noise", "x", "jobs", "qbackend", "run", "replicas", "<<", "A", "Bob"]
words = some.sampled_from(FIELDS) | some.text(max_size=8)
scalars = some.none() | some.booleans() | some.integers() | some.floats() | words
values = some.recursive(
    scalars,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(words, inner, max_size=6),
    max_leaves=25,
)
pieces = some.sampled_from(
    ["- ", ": ", "\n", "  ", "[", "]", "{", "}", "&a ", "*a", "!!int ", "!x ", "'", '"', "|", "<<: *a", "\t"]
)
gently = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def outcome(file: Path, octets: bytes) -> None:
    file.write_bytes(octets)
    try:
        assert isinstance(load(file), Network)
        return
    except BadFile as error:
        said = str(error)
    assert said.startswith(str(file))
    assert all(line.isprintable() for line in said.splitlines())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "city.yaml"


@gently
@given(some.binary(max_size=200))
def test_any_octets(file: Path, octets: bytes) -> None:
    outcome(file, octets)


@gently
@given(some.lists(pieces | words, max_size=40))
def test_any_yaml_like_text(file: Path, parts: list[str]) -> None:
    outcome(file, "".join(parts).encode(errors="surrogatepass"))


@gently
@given(some.dictionaries(words, values, max_size=8))
def test_any_fields(file: Path, fields: dict[str, object]) -> None:
    outcome(file, yaml.dump(fields).encode(errors="surrogatepass"))


@gently
@given(values, values, some.lists(values, max_size=3))
def test_any_values_in_the_right_places(file: Path, name: object, neighbours: object, links: list[object]) -> None:
    nodes = [{"node_name": name, "neighbour_nodes": neighbours}, {"node_name": "A", "layers": neighbours}]
    said = {"nodes": nodes, "links": [{"between": links}, *links], "layers": {"qbackend": name}, "buffers": neighbours}
    outcome(file, yaml.dump(said).encode(errors="surrogatepass"))


def test_a_good_file_with_octets_changed(file: Path) -> None:
    dice = random.Random(7)
    for _ in range(150):
        octets = bytearray(THREE_SITES)
        for _ in range(dice.randint(1, 6)):
            octets[dice.randrange(len(octets))] = dice.choice(b" \t\n:-[]{}#&*!|>'\"%@`,?x0\x00\xff")
        outcome(file, bytes(octets))
