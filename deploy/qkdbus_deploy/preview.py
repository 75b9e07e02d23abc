"""What `deploy` would make of a network now: ports and keys as they are, examples where there are none yet."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from qkdbus.network.addresses import Ports, allocate
from qkdbus.network.model import Network
from qkdbus.runtime.settings import NodeSettings

from . import certs, deployed, paths, programs
from .bundles import Plan
from .plan import Place, Target, all_settings, plan


def here(home: Path, network: Network) -> Plan:
    """Return the plan of a network all of whose nodes are on this machine. Nothing is made."""
    kept = deployed.ports(network, paths.network_directory(home, network.name))
    return at(home, network, {}, allocate(network, kept=kept))


def at(home: Path, network: Network, places: Mapping[str, Place], ports: Mapping[str, Ports]) -> Plan:
    """Return the plan of a network whose nodes are at these places. Nothing is made."""
    target = _target(home, places, programs.installed(network))
    return plan(network, ports, _keys(home, network), target)


def settings_at(
    home: Path, network: Network, places: Mapping[str, Place], ports: Mapping[str, Ports]
) -> list[NodeSettings]:
    """Return the settings alone, in a fourth of the time that the files take."""
    return all_settings(network, ports, _keys(home, network), _target(home, places, {}))


def _keys(home: Path, network: Network) -> certs.Certs:
    folder = paths.network_directory(home, network.name)
    return certs.gather(network, folder, certs.preview, certs.preview_link)


def _target(home: Path, places: Mapping[str, Place], packages: Mapping[str, str]) -> Target:
    return Target(Place(home, paths.run_root(), sys.executable), places, packages)
