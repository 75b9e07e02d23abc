"""This machine as a target: plan with free ports of its own, then it is the one site there is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from qkdbus.network.model import Network

from .. import nodes, ports
from ..bundles import Plan
from ..certs import gather
from ..launch import Launch
from ..outcome import Deployed
from ..paths import run_root
from ..plan import Place, Target, plan
from ..programs import installed
from ..site import Site


class Local(Site):
    """A Driver for networks below `home`, all of whose nodes run on this machine."""

    def __init__(self, home: Path, say: Callable[[str], None] = lambda text: None, spare: Launch | None = None) -> None:
        super().__init__(home, say, spare)

    def deploy(self, network: Network, patience: float = 30.0) -> Deployed:
        """Place what differs, start what does not run as placed, wait until all is ready."""
        return self.apply(network.name, lambda running: self._plan(network, running), patience)

    def destroy(self, network: str, node: str | None) -> None:
        """Stop a network or a node, wipe its keys, remove all that is left of it, and give its ports back."""
        name = nodes.choose(self.home, network)
        super().destroy(name, node)
        if not (self.home / name).exists():
            ports.release(self.home, name)

    def networks(self) -> list[str]:
        """Return the names of the networks below `home`."""
        return nodes.networks(self.home)

    def _plan(self, network: Network, running: Mapping[str, str]) -> Plan:
        folder = self.home / network.name
        try:
            given = ports.reserve(self.home, network, running)
            return plan(network, given, gather(network, folder), self._target(network))
        except BaseException:
            if not nodes.names(folder):
                ports.release(self.home, network.name)
            raise

    def _target(self, network: Network) -> Target:
        return Target(Place(self.home, run_root(), sys.executable), packages=installed(network))
