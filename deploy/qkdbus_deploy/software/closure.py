"""Which distributions a host needs: walked from what is installed here, in tiers, so that each is sent only once.

qkdbus itself requires more than a host runs: what only the machine needs that deploys is in `STAYS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from qkdbus.errors import Refused

OURS = "qkdbus"
BASE = "base"
# Tier -> what of our own requirements its services import. "qutip" and "projectq" are engines of SimulaQron.
TIERS: Mapping[str, tuple[str, ...]] = {
    BASE: ("pyzmq", "protobuf", "pydantic", "pyyaml", "click", "supervisor", "numpy"),
    "simulaqron": ("simulaqron",),
    "photonic": ("numba", "cryptography"),
    "qutip": ("qutip",),
    "projectq": ("projectq",),
}
NEEDS_NOTHING = "ideal"  # an emulator that is part of us
STAYS = ("ansible-core", "packaging")  # for the machine that deploys


def tiers(emulators: Iterable[str], python: str) -> dict[str, dict[str, Distribution | None]]:
    """Return tier -> name -> distribution for a node with these emulators; each distribution in one tier only.

    None instead of a distribution: a host's Python (minor version) needs it, this one does not and has none.
    Refused when an emulator is unknown, or something is not installed here.
    """
    unknown = set(emulators) - {*TIERS, NEEDS_NOTHING}
    if unknown:
        raise Refused(f"no emulator or engine {', '.join(sorted(unknown))}: there are {', '.join(TIERS)}")
    found: dict[str, dict[str, Distribution | None]] = {}
    for tier, roots in TIERS.items():
        if tier == BASE or tier in emulators:
            found[tier] = _new(walk(roots, python), found)
    return found


def layers(
    extra: Sequence[str], python: str, found: Mapping[str, Mapping[str, Distribution | None]]
) -> dict[str, Distribution | None]:
    """Return name -> distribution of foreign layers, and of what they need beyond `found` and ourselves."""
    return {name: dist for name, dist in _new(walk(extra, python), found).items() if name != OURS}


def walk(roots: Iterable[str], python: str) -> dict[str, Distribution | None]:
    """Return name -> distribution of everything that `roots` require under this Python; extras are not followed."""
    found: dict[str, Distribution | None] = {}
    here = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    todo = [(canonicalize_name(root), True) for root in roots]
    while todo:
        name, certain = todo.pop()
        if name in found:
            continue
        try:
            found[name] = dist = distribution(name)
        except PackageNotFoundError:
            if certain:
                raise Refused(f"hosts need {name}, which is not installed here: pip install {name}") from None
            found[name] = None
            continue
        if name == OURS:  # whatever of ours a foreign layer requires is on every host
            continue
        for requirement in map(Requirement, dist.requires or ()):
            marker = requirement.marker
            if marker is None or marker.evaluate(here):
                todo.append((canonicalize_name(requirement.name), marker is None or marker.evaluate({"extra": ""})))
    return found


def _new(
    wanted: Mapping[str, Distribution | None], found: Mapping[str, Mapping[str, Distribution | None]]
) -> dict[str, Distribution | None]:
    known = {name for tier in found.values() for name in tier}
    return {name: wanted[name] for name in sorted(wanted) if name not in known}
