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
from qkdbus.presharing import LinkSecret
from qkdbus_deploy.bundles import File
from qkdbus_deploy.certs import Certs, gather, preview, preview_link
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
LINK_FILE = "Alice/certs/link-Bob.psk"


@pytest.fixture
def directory(target: Target) -> Path:
    return target.here.home / "three-sites"


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
        *((LINK_FILE, text) for text in ("", "[]", '{"name": "00", "secret": "00"}')),
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
    assert not [link for link in certs.links.values() if link.secret in repr(certs)]


def test_a_preview_makes_no_keys(three_sites: Network, directory: Path) -> None:
    certs = gather(three_sites, directory, preview, preview_link)
    assert {pair.public for pair in certs.nodes.values()} == {"(made at deploy)"}
    assert {link.secret for link in certs.links.values()} == {"(made at deploy)"}


# -- the secrets of links


def linked(network: Network, *links: tuple[str, str]) -> Network:
    """Return the network with these links instead of its own."""
    far = {name: {*(b for a, b in links if a == name), *(a for a, b in links if b == name)} for name in network.names}
    nodes = [node.model_copy(update={"neighbour_nodes": tuple(far[node.node_name])}) for node in network.nodes]
    return network.model_copy(update={"nodes": tuple(nodes)})


def shared(directory: Path) -> dict[str, LinkSecret]:
    """Return every secret of a link that is on the disk: file -> secret."""
    found = sorted(directory.glob("*/certs/link-*.psk"))
    return {str(file.relative_to(directory)): LinkSecret.read(file) for file in found}


AB, BA, BC, CB = (
    f"{node}/certs/link-{peer}.psk"
    for node, peer in (("Alice", "Bob"), ("Bob", "Alice"), ("Bob", "Charlie"), ("Charlie", "Bob"))
)


def test_the_two_ends_of_each_link_share_a_secret_that_no_other_link_has(
    three_sites: Network, directory: Path, target: Target
) -> None:
    place(three_sites, gather(three_sites, directory), target)
    found = shared(directory)
    assert set(found) == {AB, BA, BC, CB}
    assert found[AB] == found[BA] and found[BC] == found[CB]
    assert len({secret.secret for secret in found.values()}) == len({secret.name for secret in found.values()}) == 2
    assert {len(bytes.fromhex(secret.secret)) for secret in found.values()} == {8 + 64 * 16}
    assert len({*found[AB].pads, *found[BC].pads}) == 128


def test_a_link_that_is_added_later_gets_a_secret_and_the_others_keep_theirs(
    three_sites: Network, directory: Path, target: Target
) -> None:
    before = linked(three_sites, ("Alice", "Bob"))
    place(before, gather(before, directory), target)
    first = shared(directory)
    place(three_sites, gather(three_sites, directory), target)
    second = shared(directory)
    assert set(first) == {AB, BA} and set(second) == {AB, BA, BC, CB}
    assert first[AB] == second[AB] == second[BA] != second[BC]


@pytest.mark.parametrize("other", [None, LinkSecret.new()])
@pytest.mark.parametrize("end", ["Alice/certs/link-Bob.psk", "Bob/certs/link-Alice.psk"])
def test_an_end_that_lost_its_secret_gives_both_a_new_one(
    end: str, other: LinkSecret | None, three_sites: Network, directory: Path, target: Target
) -> None:
    """With the old one it would use pads again that it has used before."""
    place(three_sites, gather(three_sites, directory), target)
    first = shared(directory)
    if other:
        (directory / end).write_text(other.text)
    else:
        (directory / end).unlink()
    place(three_sites, gather(three_sites, directory), target)
    second = shared(directory)
    assert second[AB] == second[BA] not in (first[AB], other)
    assert second[BC] == second[CB] == first[BC]


def test_a_new_secret_is_read_again_by_the_two_nodes_that_it_concerns(
    three_sites: Network, directory: Path, target: Target
) -> None:
    before = gather(three_sites, directory)
    place(three_sites, before, target)
    (directory / AB).unlink()
    after = gather(three_sites, directory)
    one, other = (plan(three_sites, allocate(three_sites), certs, target).bundles for certs in (before, after))
    assert [a.name for a, b in zip(one, other, strict=True) if a.files != b.files] == ["Alice", "Bob"]
    assert [a.digest for a in one] == [b.digest for b in other], "none is restarted for it"
