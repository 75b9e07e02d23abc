"""Which software the nodes of a host need beyond what every node does."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from ..bundles import Bundle

_ENGINES = ("qutip", "projectq")  # SimulaQron's, beside the one that comes with it


def tier(bundles: Iterable[Bundle]) -> frozenset[str]:
    """Return the emulators of these nodes' links, and SimulaQron's engines, as `software.build` wants them."""
    links = [peer.link for bundle in bundles for peer in bundle.settings.neighbours]
    found = {str(link.emulator) for link in links} & {"simulaqron", "photonic"}
    if any(link.large for link in links):
        found.add("photonic")  # compiled kernels, which long blocks want on any link
    turned = {engine for link in links if link.emulator == "simulaqron" for engine in link.engines()}
    return frozenset(found | {engine for engine in _ENGINES if engine in turned and find_spec(engine)})
