"""Other keys for nodes: what is written, in which order, and that the next deploy finds nothing to do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from qkdbus.bus.curve import KeyPair
from qkdbus.errors import Refused
from qkdbus.network.addresses import allocate
from qkdbus.network.load import load
from qkdbus.network.model import Network
from qkdbus.presharing import LinkSecret
from qkdbus.runtime.settings import load as load_settings
from qkdbus_client.access import read
from qkdbus_deploy import credentials, deployed, place
from qkdbus_deploy.bundles import Plan
from qkdbus_deploy.certs import NODE_FILE, NORTH_FILE, gather, link_file, read_doors
from qkdbus_deploy.change import compare
from qkdbus_deploy.plan import Place, Target, plan
from qkdbus_deploy.rekeying import Rekeying, readmit, rotate, shut_out

UNTIL = 2_000_000_000.0
TEXT = """\
qkdbus_version: 1
name: three
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice, Charlie]}
  - {node_name: Charlie, neighbour_nodes: [Bob]}
link_defaults: {emulator: ideal}
"""


class Placed:
    """A network whose files are on disk; nothing of it runs."""

    def __init__(self, home: Path) -> None:
        file = home / "three.yaml"
        file.write_text(TEXT)
        self.network: Network = load(file)
        self.home, self.folder = home, home / "three"
        self.ports = allocate(self.network)
        self.generations = place.place(self.plan())

    def plan(self) -> Plan:
        target = Target(Place(self.home, self.home, "python3"))
        return plan(self.network, self.ports, gather(self.network, self.folder), target)

    def write(self, change: Rekeying) -> None:
        for wave in change.waves:
            for node, files in wave.items():
                place.write_all(self.folder / node, files)
        for path, text in change.here.items():
            place.supersede(self.folder / path, text)

    def pair(self, node: str, file: str = NODE_FILE) -> KeyPair:
        return KeyPair.read(self.folder / node / file)

    def secret(self, node: str, peer: str) -> LinkSecret:
        return LinkSecret.read(self.folder / node / link_file(peer))


@pytest.fixture
def placed() -> Iterator[Placed]:
    with tempfile.TemporaryDirectory(prefix="qkdbus-") as folder:  # pytest's are too long for sockets
        yield Placed(Path(folder))


def test_a_rotated_node_is_no_drift_and_needs_no_restart(placed: Placed) -> None:
    placed.write(rotate(placed.folder, ["Bob"], UNTIL, north=False))
    again = placed.plan()
    assert compare(deployed.placed(placed.folder), again).nothing
    assert {bundle.name: place.generation(bundle) for bundle in again.bundles} == placed.generations
    assert {name: deployed.generation(placed.folder / name) for name in placed.generations} == placed.generations


def test_neighbours_know_the_new_key_and_let_the_former_in_for_a_while(placed: Placed) -> None:
    before = placed.pair("Bob")
    change = rotate(placed.folder, ["Bob"], UNTIL, north=False)
    assert set(change.waves[0]) == {"Alice", "Charlie"}, "neighbours first: they let both keys in before Bob has his"
    assert set(change.waves[1]) == {"Alice", "Bob", "Charlie"}
    placed.write(change)
    new = placed.pair("Bob")
    assert new != before
    for name in ("Alice", "Charlie"):
        assert load_settings(placed.folder / name).neighbour("Bob").public_key == new.public
        former = read_doors(placed.folder / name).former
        assert [(key, one.name, one.door, one.until) for key, one in former.items()] == [
            (before.public, "Bob", "peers", UNTIL)
        ]


def test_both_ends_of_its_links_get_the_same_new_secret(placed: Placed) -> None:
    before = placed.secret("Alice", "Bob"), placed.secret("Bob", "Charlie")
    placed.write(rotate(placed.folder, ["Alice"], UNTIL, north=False))
    assert placed.secret("Alice", "Bob") == placed.secret("Bob", "Alice") != before[0]
    assert placed.secret("Bob", "Charlie") == placed.secret("Charlie", "Bob") == before[1], "not a link of Alice's"


def test_two_neighbours_are_rotated_together(placed: Placed) -> None:
    placed.write(rotate(placed.folder, ["Alice", "Bob", "Charlie"], UNTIL, north=False))
    for name, peer in (("Alice", "Bob"), ("Bob", "Alice"), ("Bob", "Charlie"), ("Charlie", "Bob")):
        assert load_settings(placed.folder / name).neighbour(peer).public_key == placed.pair(peer).public
        assert placed.secret(name, peer) == placed.secret(peer, name)


def test_a_key_that_was_replaced_twice_is_good_no_more(placed: Placed) -> None:
    first = placed.pair("Bob").public
    placed.write(rotate(placed.folder, ["Bob"], UNTIL, north=False))
    second = placed.pair("Bob").public
    placed.write(rotate(placed.folder, ["Bob"], UNTIL, north=False))
    assert set(read_doors(placed.folder / "Alice").former) == {second} != {first}


def test_applications_know_the_node_by_the_same_key_unless_it_is_said(placed: Placed) -> None:
    app = credentials.add(placed.folder, "Bob", "app1")
    client, before = placed.folder / "client.json", placed.pair("Bob").public
    placed.write(rotate(placed.folder, ["Bob"], UNTIL, north=False))
    assert placed.pair("Bob", NORTH_FILE).public == before
    assert read("Bob", client).server_key == read("Bob", app).server_key == before
    change = rotate(placed.folder, ["Bob"], UNTIL, north=True)
    placed.write(change)
    new = placed.pair("Bob", NORTH_FILE).public
    assert new not in (before, placed.pair("Bob").public)
    assert sorted(change.here) == ["client.json", "clients/Bob.app1.json"]
    assert read("Bob", client).server_key == read("Bob", app).server_key == new
    assert read("Alice", client).server_key == placed.pair("Alice").public
    assert compare(deployed.placed(placed.folder), placed.plan()).nothing
    assert read("Bob", credentials.add(placed.folder, "Bob", "late")).server_key == new


def test_a_shut_out_node_stays_so_over_a_deploy_until_it_is_readmitted(placed: Placed) -> None:
    placed.write(shut_out(placed.folder, "Bob", "stolen"))
    assert read_doors(placed.folder / "Alice").shut_out == read_doors(placed.folder / "Charlie").shut_out
    assert read_doors(placed.folder / "Alice").shut_out == {"Bob": "stolen"}
    assert read_doors(placed.folder / "Bob").shut_out == {}, "nothing is sent to who was captured"
    again = placed.plan()
    assert compare(deployed.placed(placed.folder), again).nothing
    place.place(again)
    with pytest.raises(Refused, match="already"):
        shut_out(placed.folder, "Bob", "again")
    placed.write(readmit(placed.folder, "Bob"))
    assert read_doors(placed.folder / "Alice").shut_out == {}
    with pytest.raises(Refused, match="not shut out"):
        readmit(placed.folder, "Bob")


def test_what_a_secret_file_held_is_overwritten(placed: Placed) -> None:
    file = placed.folder / "Bob" / NODE_FILE
    with file.open("rb") as held:  # whoever holds the former file, as a disk that was not wiped would
        placed.write(rotate(placed.folder, ["Bob"], UNTIL, north=False))
        left = held.read()
    assert left and not left.strip(b"\0")
    assert placed.pair("Bob").secret


def test_no_secret_shows_in_what_is_written(placed: Placed) -> None:
    change = rotate(placed.folder, ["Bob"], UNTIL, north=True)
    shown = repr(change)
    for wave in change.waves:
        for files in wave.values():
            for file in files:
                assert all(secret not in shown and secret not in file.shown for secret in file.secrets)


def test_an_application_gets_a_new_key_while_the_former_is_good(placed: Placed) -> None:
    credentials.add(placed.folder, "Alice", "app1")
    before = credentials.known(placed.folder, "Alice")["app1"]
    file = credentials.rotate(placed.folder, "Alice", "app1", 60.0, lambda: 1000.0)
    new = credentials.known(placed.folder, "Alice")["app1"]
    assert read("Alice", file).public_key == new != before
    assert credentials.former(placed.folder, "Alice", 1059.0) == {"app1": 1060.0}
    assert credentials.former(placed.folder, "Alice", 1061.0) == {}
    assert list(read_doors(placed.folder / "Alice").former) == [before]
    credentials.revoke(placed.folder, "Alice", "app1")
    assert read_doors(placed.folder / "Alice").former == {}, "revoked is revoked: the former key, too"
    with pytest.raises(Refused, match="app1"):
        credentials.rotate(placed.folder, "Alice", "app1", 60.0)


def test_without_grace_the_former_key_is_gone_at_once(placed: Placed) -> None:
    credentials.add(placed.folder, "Alice", "app1")
    credentials.rotate(placed.folder, "Alice", "app1", 60.0)
    credentials.rotate(placed.folder, "Alice", "app1", 0.0)
    assert read_doors(placed.folder / "Alice").former == {}
