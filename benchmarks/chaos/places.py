"""Nodes of one machine, each behind an address of its own, as behind NAT: what goes from one to another can be met.

Linux takes all of 127.0.0.0/8 for this machine. A node listens on an address of its own that only the relay knows
(relay.py); its neighbours know another, on which the relay listens. So they think to be on different machines, and
whatever they say to each other, SimulaQron's qubits included, passes the relay. Applications go straight in.

With root each node's state gets a file system of its own, small enough to be filled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qkdbus.network.model import Network
from qkdbus.runtime.settings import NodeSettings, load
from qkdbus_deploy.drivers.local import Local
from qkdbus_deploy.outcome import Deployed
from qkdbus_deploy.paths import run_root
from qkdbus_deploy.plan import Place, Target
from qkdbus_deploy.programs import installed

STATE_MIB = 48  # a WAL of the key manager's may grow to 16


@dataclass(frozen=True)
class Addresses:
    """The addresses of a node, and of what it says to others."""

    names: Sequence[str]

    def seen(self, node: str) -> str:
        """Where its neighbours find it: the relay."""
        return f"127.77.0.{self.names.index(node) + 1}"

    def own(self, node: str) -> str:
        """Where it listens."""
        return f"127.78.0.{self.names.index(node) + 1}"

    def flow(self, source: str, to: str) -> str:
        """Where the relay comes from with what `source` says to `to`, so that a packet shows whose it is."""
        return f"127.79.{self.names.index(source) + 1}.{self.names.index(to) + 1}"


class Apart(Local):
    """Deploys on this machine, each node behind an address of its own."""

    def deploy(self, network: Network, patience: float = 30.0) -> Deployed:
        """Deploy; with root, into small file systems."""
        if os.geteuid() == 0 and inside():
            for name in network.names:
                mount_state(self.home / network.name / name / "state")
        return super().deploy(network, patience)

    def destroy(self, network: str, node: str | None) -> None:
        """Destroy, and take the file systems away."""
        states = [file.parent / "state" for file in (self.home / network).glob("*/node.yaml")]
        try:
            super().destroy(network, node)
        finally:
            for state in states:
                if state.is_mount():
                    subprocess.run(["umount", "-l", str(state)], check=True)

    def _target(self, network: Network) -> Target:
        addresses = Addresses(network.names)
        places = {
            name: Place(self.home, run_root(), sys.executable, addresses.seen(name), addresses.own(name))
            for name in network.names
        }
        return Target(Place(self.home, run_root(), sys.executable), places, installed(network))


def inside() -> bool:
    """Whether this process has a network and mounts of its own (see __main__.py): nobody else's are touched."""
    return os.environ.get("QKDBUS_CHAOS_INSIDE") == "yes"


def mount_state(state: Path) -> None:
    """Give a node's state a file system of its own, in memory."""
    state.mkdir(parents=True, mode=0o700)
    options = f"size={STATE_MIB}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "qkdbus-chaos", str(state)], check=True)


def all_settings(network: Path) -> dict[str, NodeSettings]:
    """Return what was deployed at each node."""
    return {file.parent.name: load(file.parent) for file in sorted(network.glob("*/node.yaml"))}


def credential(network: Path, addresses: Addresses) -> Path:
    """Write what lets applications straight in at every node, and return where (0600)."""
    said = json.loads((network / "client.json").read_text())
    for name, entry in said["nodes"].items():
        entry["endpoint"] = entry["endpoint"].replace(addresses.seen(name), addresses.own(name))
    file = network / "clients-direct.json"
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(number, "w") as out:
        json.dump(said, out)
    return file
