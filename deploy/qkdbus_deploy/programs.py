"""Which programs a node runs, and with what command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path

from qkdbus.network.model import LayerChoice, LayerName, Network

from .bundles import Program

GROUP = "qkdbus.layers"
BUILT_IN: dict[LayerName, str] = {
    "keymanager": "qkdbus_keymanager",
    "keysync": "qkdbus_keysync",
    "dispatcher": "qkdbus_dispatcher",
    "qbackend": "qkdbus_qbackend",
    "emulator": "qkdbus_qbackend.emulators.simulaqron",
}


def installed(network: Network) -> dict[str, str]:
    """Return entry point -> package (its `python -m`) for the `qkdbus.layers` of this machine.

    Looks only when the network file names something that may be one: the search takes longer than a plan.
    """
    return packages() if _named(network) else {}


def packages() -> dict[str, str]:
    """Return entry point -> package, of all `qkdbus.layers` of this machine."""
    # "mylab_qbackend.build:build" is what `python -m mylab_qbackend` serves.
    return {point.name: point.module.rpartition(".")[0] or point.module for point in entry_points(group=GROUP)}


def distributions(network: Network) -> tuple[str, ...]:
    """Return the distributions, beside qkdbus, whose entry points a network file names as layers."""
    named = _named(network)
    points = entry_points(group=GROUP) if named else ()
    return tuple(sorted({p.dist.name for p in points if p.name in named and p.dist} - {"qkdbus"}))


def _named(network: Network) -> set[str]:
    blocks = (network.layers, *(node.layers for node in network.nodes))
    return {choice.run for block in blocks for choice in block.values() if choice.run}


def programs(
    choices: Mapping[LayerName, LayerChoice], emulated: bool, python: str, directory: Path, packages: Mapping[str, str]
) -> Iterator[Program]:
    """Yield the programs of a node; its emulator only when a link of it is emulated by a program."""
    for layer in BUILT_IN:
        choice = choices[layer]
        words = (*_command(layer, choice.run, python, packages), str(directory))
        if layer == "qbackend":
            for replica in range(choice.replicas):
                yield Program(f"{layer}_{replica}", layer, replica, (*words, "--replica", str(replica)))
        elif layer != "emulator" or emulated:
            yield Program(layer, layer, 0, words)


def _command(layer: LayerName, run: str | None, python: str, packages: Mapping[str, str]) -> list[str]:
    if run is None:
        return [python, "-m", BUILT_IN[layer]]
    return command(run, python, packages)


def command(run: str, python: str, packages: Mapping[str, str]) -> list[str]:
    """Return the words of a command, or of an entry point, as they are run on a machine."""
    if run in packages:
        return [python, "-m", packages[run]]
    first, *rest = shlex.split(run)
    # A bare `python` means the one that runs qkdbus, which has what it needs; PATH may say otherwise.
    return [python if first in ("python", "python3") else first, *rest]
