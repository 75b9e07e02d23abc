"""The ground on which a layer is checked: a network's folders, as a deploy would write them, and none of its programs.

`qkdbus.conformance` knows what a layer must do; how a node's folder is made is known here.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qkdbus.bus.curve import KeyPair
from qkdbus.conformance.stage import Ground, Node
from qkdbus.errors import Refused
from qkdbus.network.load import beside, load
from qkdbus.network.model import LayerName, Network
from qkdbus.network.routes import routes

from . import credentials, place, ports
from .certs import gather
from .paths import run_root
from .plan import Place, Target, plan
from .programs import BUILT_IN, command, packages

APPS = ("app1", "app2", "mallory")  # the applications that each node lets in
OURS = "built-in"


def words(layer: LayerName, said: Sequence[str]) -> list[str]:
    """Return the command that runs a layer, as it runs on this machine; the built-in one when nothing is said."""
    if not said or list(said) == [OURS]:
        return [sys.executable, "-m", BUILT_IN[layer]]
    found = shlex.split(said[0]) if len(said) == 1 else list(said)
    if not found:
        raise Refused("a command has at least one word")
    first, *rest = beside(found, Path.cwd())
    known = packages() if not rest else {}
    return [*command(first if first in known else shlex.quote(first), sys.executable, known), *rest]


@contextmanager
def ground(network: Network, keep: Path | None = None) -> Iterator[Ground]:
    """Write the folders of a network's nodes below a new home; wipe them at the end, unless they are to be kept.

    `keep`: the folder to use as that home; it must not be there yet.
    """
    if keep is not None and keep.exists():
        raise Refused(f"{keep}: is there already; --keep wants a new folder")
    home = keep or Path(tempfile.mkdtemp(prefix="qkdbus-"))
    place.make_private(home)
    found = None
    try:
        target = Target(Place(home, run_root(), sys.executable))
        found = plan(network, ports.reserve(home, network), gather(network, home / network.name), target)
        place.place(found)
        nodes = {bundle.name: Node(bundle.settings, _apps(found.directory, bundle.name)) for bundle in found.bundles}
        yield Ground(home, nodes)
    finally:
        ports.release(home, network.name)
        if keep is None:
            for bundle in found.bundles if found else ():
                place.remove_node(bundle.directory, bundle.run)
            shutil.rmtree(home, ignore_errors=True)


def _apps(network: Path, node: str) -> dict[str, KeyPair]:
    pairs = {}
    for app in APPS:
        said = json.loads(credentials.add(network, node, app).read_text())["nodes"][node]
        pairs[app] = KeyPair(said["public_key"], said["secret_key"])
    return pairs


def like(network: Network, file: Path) -> Network:
    """Return the network of a stage with the first link of a file; the rest is what the checks count on.

    Raises BadFile.
    """
    said = load(file)
    found = routes(said)
    return network.model_copy(update={"link_defaults": found[0].settings if found else said.link_defaults})
