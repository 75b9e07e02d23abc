"""Keys are made once, and kept from one deploy to the next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zmq
from zmq.utils import z85

from qkdbus.errors import BadFile
from qkdbus.network.addresses import allocate
from qkdbus.network.model import Network
from qkdbus_deploy.bundles import File
from qkdbus_deploy.certs import Certs, gather, preview
from qkdbus_deploy.plan import Target, plan


def place(network: Network, certs: Certs, target: Target) -> None:
    """Write the files of a plan, as a deploy does."""
    found = plan(network, allocate(network), certs, target)
    for folder, files in [
        (found.directory, found.files),
        *((bundle.directory, bundle.files) for bundle in found.bundles),
    ]:
        for file in files:
            _write(folder, file)


def _write(folder: Path, file: File) -> None:
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(file.text)


NODE_FILE, APPS_FILE = "Alice/certs/node.json", "Alice/certs/apps.json"


@pytest.fixture
def directory(target: Target) -> Path:
    return target.home / "three-sites"


def test_new_keys_are_pairs_that_belong_together(three_sites: Network, directory: Path) -> None:
    certs = gather(three_sites, directory)
    pairs = [*certs.nodes.values(), *certs.users.values()]
    assert len({pair.public for pair in pairs}) == 6
    for pair in pairs:
        assert zmq.curve_public(pair.secret.encode()) == pair.public.encode()
        assert len(z85.decode(pair.public.encode())) == 32


def test_a_second_deploy_finds_the_keys_of_the_first(three_sites: Network, directory: Path, target: Target) -> None:
    first = gather(three_sites, directory)
    place(three_sites, first, target)
    assert gather(three_sites, directory) == first


def test_a_second_deploy_keeps_applications_that_were_let_in(
    three_sites: Network, directory: Path, target: Target
) -> None:
    place(three_sites, gather(three_sites, directory), target)
    apps = directory / "Bob" / "certs" / "apps.json"
    apps.write_text(json.dumps({**json.loads(apps.read_text()), "vpn": "a public key"}))
    second = gather(three_sites, directory)
    assert second.apps["Bob"] == {"vpn": "a public key", "*": second.users["Bob"].public}
    assert set(second.apps["Alice"]) == {"*"}


def test_a_lost_client_file_gives_the_user_a_new_key_and_the_node_lets_it_in(
    three_sites: Network, directory: Path, target: Target
) -> None:
    first = gather(three_sites, directory)
    place(three_sites, first, target)
    (directory / "client.json").unlink()
    second = gather(three_sites, directory)
    assert second.nodes == first.nodes
    assert second.users["Bob"] != first.users["Bob"]
    assert second.apps["Bob"]["*"] == second.users["Bob"].public


@pytest.mark.parametrize(
    ("file", "text"),
    [
        *((file, text) for file in ("client.json", NODE_FILE, APPS_FILE) for text in ("", "{", "[]")),
        ("client.json", '{"nodes": 3}'),
        ("client.json", '{"nodes": {"Alice": {}}}'),
        (NODE_FILE, '{"public_key": "x"}'),
    ],
)
def test_keys_that_cannot_be_read_are_not_replaced_silently(
    file: str, text: str, three_sites: Network, directory: Path, target: Target
) -> None:
    place(three_sites, gather(three_sites, directory), target)
    (directory / file).write_text(text)
    with pytest.raises(BadFile, match=file):
        gather(three_sites, directory)


def test_no_repr_shows_a_secret(three_sites: Network, directory: Path) -> None:
    certs = gather(three_sites, directory)
    assert not [pair for pair in [*certs.nodes.values(), *certs.users.values()] if pair.secret in repr(certs)]


def test_a_preview_makes_no_keys(three_sites: Network, directory: Path) -> None:
    certs = gather(three_sites, directory, preview)
    assert {pair.public for pair in certs.nodes.values()} == {"(made at deploy)"}
