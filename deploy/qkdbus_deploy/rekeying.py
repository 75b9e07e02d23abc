"""Other keys for nodes that run, and neighbours shut out: which files say so, in which order. Pure but for reading.

A change comes in waves; each node's files of one wave are in place before the next begins. First the neighbours learn a
node's new public key, and let it in with the former one for a while; then the node itself gets its new pair, and both
ends of its links a new secret. Services follow by themselves within seconds (qkdbus.runtime.doorway).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from qkdbus.bus.curve import KeyPair
from qkdbus.bus.known import Doors, Former
from qkdbus.errors import Refused
from qkdbus.presharing import LinkSecret
from qkdbus.runtime.settings import NodeSettings

from . import nodes
from .bundles import File
from .certs import CLIENT_FILE, DOORS, NODE_FILE, NORTH_FILE, link_file, read_doors
from .place import CLIENTS
from .render import pair_text, settings_text

BETWEEN_WAVES = 2.0  # s: services look once a second
Files = dict[str, tuple[File, ...]]  # node -> files below its folder


@dataclass(frozen=True)
class Rekeying:
    """What is to be written.

    Attributes:
        waves: one after the other, each whole.
        here: files of the network on the machine that deployed it, path -> text: who reaches which door by which key.
        nodes: whom it is about.
        whole: whether the first wave is taken back where it did not come to all.
    """

    waves: tuple[Files, ...]
    here: Mapping[str, str] = field(default_factory=dict, repr=False)
    nodes: tuple[str, ...] = ()
    whole: bool = False


def rotate(
    network: Path,
    names: Collection[str],
    until: float,
    *,
    north: bool,
    make: Callable[[], KeyPair] = KeyPair.new,
    share: Callable[[], LinkSecret] = LinkSecret.new,
) -> Rekeying:
    """Give these nodes new key pairs, and their links new secrets; the former keys let in until then (Unix time, s).

    `north`: their doors for applications get new pairs, too; else those stay as applications know them.
    """
    settings = {one.name: one.settings for one in nodes.read_all(network)}
    former = {name: KeyPair.read(network / name / NODE_FILE) for name in names}
    new = {name: make() for name in names}
    first: dict[str, list[File]] = {}
    then: dict[str, list[File]] = {}
    for name, one in settings.items():
        changed = [peer.name for peer in one.neighbours if peer.name in new]
        if changed:
            doors = read_doors(network / name)
            doors = _with_former(doors, {former[peer].public: Former("peers", peer, until) for peer in changed})
            text = settings_text(_knowing(one, {peer: new[peer].public for peer in changed}))
            first[name] = [File(DOORS, doors.text, live=True), File(nodes.SETTINGS, text)]
    for name, pair in new.items():
        door = make() if north else _north(network / name, former[name])
        then.setdefault(name, []).append(_pair_file(NODE_FILE, pair))
        then[name].append(_pair_file(NORTH_FILE, door))
    for one_end, other_end in _links_of(settings.values(), names):
        secret = share()
        for node, peer in ((one_end, other_end), (other_end, one_end)):
            file = File(link_file(peer), secret.text, (secret.secret,), live=True)
            then.setdefault(node, []).append(file)
    doors_of = {name: KeyPair(**_keys(then[name])).public for name in new} if north else {}
    return Rekeying((_frozen(first), _frozen(then)), _ways_in(network, doors_of), tuple(new), whole=True)


def shut_out(network: Path, name: str, why: str) -> Rekeying:
    """Have a node let in by no neighbour any more, also not over connections that stand. Refused when it is out."""
    around = _around(network, name)
    if all(name in read_doors(network / peer).shut_out for peer in around):
        raise Refused(f"{name} is shut out already; `qkdbus readmit {name}` lets it in again")
    changes: Files = {}
    for peer in around:
        doors = read_doors(network / peer)
        changed = replace(doors, shut_out={**doors.shut_out, name: why})
        changes[peer] = (File(DOORS, changed.text, live=True),)
    return Rekeying((changes,), nodes=(name,))


def readmit(network: Path, name: str) -> Rekeying:
    """Have a node let in again by its neighbours. Refused when it is not shut out."""
    changes: Files = {}
    for peer in _around(network, name):
        doors = read_doors(network / peer)
        if name in doors.shut_out:
            left = {other: why for other, why in doors.shut_out.items() if other != name}
            changes[peer] = (File(DOORS, replace(doors, shut_out=left).text, live=True),)
    if not changes:
        raise Refused(f"{name} is not shut out")
    return Rekeying((changes,), nodes=(name,))


def _around(network: Path, name: str) -> list[str]:
    return [peer.name for peer in nodes.read(network, name).settings.neighbours]


def _with_former(doors: Doors, more: Mapping[str, Former]) -> Doors:
    """Return the same doors with these former keys: one of each name, for what was replaced before is two keys old."""
    names = {(one.door, one.name) for one in more.values()}
    kept = {key: one for key, one in doors.former.items() if (one.door, one.name) not in names}
    return replace(doors, former={**kept, **more})


def _knowing(settings: NodeSettings, keys: Mapping[str, str]) -> NodeSettings:
    peers = (
        peer.model_copy(update={"public_key": keys[peer.name]}) if peer.name in keys else peer
        for peer in settings.neighbours
    )
    return settings.model_copy(update={"neighbours": tuple(peers)})


def _north(node: Path, former: KeyPair) -> KeyPair:
    """Return the pair of a node's door for applications, which stays."""
    file = node / NORTH_FILE
    return KeyPair.read(file) if file.exists() else former


def _links_of(settings: Collection[NodeSettings], names: Collection[str]) -> list[tuple[str, str]]:
    return [
        (one.name, peer.name)
        for one in settings
        for peer in one.neighbours
        if peer.arbiter and (one.name in names or peer.name in names)
    ]


def _pair_file(path: str, pair: KeyPair) -> File:
    return File(path, pair_text(pair), (pair.secret,), live=True)


def _keys(files: Collection[File]) -> dict[str, str]:
    said = json.loads(next(file.text for file in files if file.path == NORTH_FILE))
    return {"public": said["public_key"], "secret": said["secret_key"]}


def _ways_in(network: Path, server_keys: Mapping[str, str]) -> dict[str, str]:
    """Return the files here that say by which key a node's door is known, with those keys in place."""
    found = {}
    if server_keys:
        for file in (network / CLIENT_FILE, *sorted((network / CLIENTS).glob("*.json"))):
            said = json.loads(file.read_text()) if file.is_file() else {}
            for name in said.get("nodes", {}).keys() & server_keys.keys():
                said["nodes"][name]["server_key"] = server_keys[name]
                found[str(file.relative_to(network))] = json.dumps(said, indent=2) + "\n"
    return found


def _frozen(files: Mapping[str, list[File]]) -> Files:
    return {name: tuple(listed) for name, listed in files.items()}
