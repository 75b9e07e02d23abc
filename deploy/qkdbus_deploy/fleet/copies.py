"""Copies of the nodes' files on the machine that deploys: what was sent, so that it can be kept and compared."""

from __future__ import annotations

from pathlib import Path

from .. import place
from ..bundles import Plan
from ..certs import FOLDER


def write(plan: Plan) -> None:
    """Keep the files of a plan, all 0600 in folders 0700, and those of the network."""
    place.make_private(plan.directory)
    for bundle in plan.bundles:
        folder = plan.directory / bundle.name
        place.make_private(folder / FOLDER)
        place.write_all(folder, bundle.files)
        place.drop_secrets(folder, bundle)
    place.write_all(plan.directory, plan.files)


def remove(network: Path, node: str) -> None:
    """Forget a node, its keys overwritten first."""
    place.remove_node(network / node, network / node / "run")


def forget_links(network: Path, node: str) -> None:
    """Forget what a node shares with its neighbours; new secrets will be made: it has lost its count of the old."""
    for file in (network / node / FOLDER).glob("link-*"):
        place.wipe(file)
