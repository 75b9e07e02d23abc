"""What is no longer as it was deployed: the network file, the nodes that run, or qkdbus itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qkdbus.errors import BadFile, QkdbusError

from . import place
from .status import Drift, NetworkStatus

if TYPE_CHECKING:
    from qkdbus.network.model import Network
    from qkdbus.runtime.settings import NodeSettings

    from .fleet.record import Record
    from .plan import Place
    from .source import Source

AGAIN = "deploy again"


def look(network: Path, status: NetworkStatus) -> tuple[Drift, ...]:
    """Return what has drifted of a network (`network` is its folder here). It never fails: it tells instead."""
    try:
        from .fleet import record

        known = record.read(network)
        return (*_of_file(network, known), *_of_nodes(network, known, status))
    except (QkdbusError, OSError, ValueError, KeyError, TypeError) as error:
        return (Drift("unknown", (), f"whether it is as the network file says cannot be told: {error}"),)


def _of_file(network: Path, known: Record | None) -> Iterator[Drift]:
    from . import source

    made = source.read(network)
    if made is None:  # deployed by a program, not by the command
        return
    if made.version != (mine := source.ours()):
        yield Drift(
            "version", (), f"it was deployed by qkdbus {made.version}, this is {mine}: {AGAIN}, or use that version"
        )
    file = Path(made.file)
    try:
        if made.digest and source.stamp_of(file) == tuple(made.stamp):
            return
        said = source.network(file, made.name or network.name)
    except FileNotFoundError:
        yield Drift("gone", (), f"{file}, of which it was made, is gone")
        return
    except OSError as error:
        yield Drift("gone", (), f"{file}, of which it was made, cannot be read now: {error.strerror}")
        return
    except BadFile as error:
        yield Drift("gone", (), f"{file}, of which it was made, is no network file now: {error}")
        return
    if made.digest != source.digest(said):
        yield from _concerned(network, known, made, said)


def _concerned(network: Path, known: Record | None, made: Source, said: Network) -> Iterator[Drift]:
    """Plan again with what is deployed, and tell which nodes that would change."""
    names = _changed(network, known, made, said)
    if not names:
        return
    words = ", ".join(name if kind == "changed" else f"{name} ({kind})" for name, kind in names.items())
    told = f"{made.file} has changed since: it would change {words} (`qkdbus plan` shows how, `deploy` does it)"
    if not made.digest:
        told = f"the last deploy of {made.file} did not come to its end: {words} (`qkdbus plan` shows how)"
    yield Drift("file", tuple(names), told)


def _changed(network: Path, known: Record | None, made: Source, said: Network) -> dict[str, str]:
    """Return node -> changed, added or removed."""
    from qkdbus.network.addresses import allocate

    from . import deployed, preview
    from .change import OF_THE_MACHINE, of_settings

    before = deployed.settings(network)
    places = {}
    for node in said.nodes:
        where = _where(before.get(node.node_name), known)
        if where is not None:
            moved = known is not None and node.node_ip != made.addresses.get(node.node_name, node.node_ip)
            places[node.node_name] = replace(where, host=node.node_ip) if moved and node.node_ip else where
    kept = {name: old.ports for name, old in before.items() if old is not None and name in said.names}
    found = {}
    for new in preview.settings_at(network.parent, said, places, allocate(said, kept=kept)):
        old = before.get(new.name)
        if new.name not in before:
            found[new.name] = "added"
        elif old is None or any(one.what not in OF_THE_MACHINE for one in of_settings(old, new)):
            found[new.name] = "changed"
    return {**found, **{name: "removed" for name in before if name not in said.names}}


def _where(old: NodeSettings | None, known: Record | None) -> Place | None:
    """Return the place where a node is; None when it is new on this machine."""
    from .fleet import seating
    from .plan import Place

    if old is None:
        return None if known is None else seating.GUESSED
    return Place(old.directory.parent.parent, old.run.parent, sys.executable, old.host, old.bind)


def _of_nodes(network: Path, known: Record | None, status: NetworkStatus) -> Iterator[Drift]:
    """Tell which nodes run another configuration than the one that was placed last, or never got it."""
    placed = _placed(network, known)
    for node in status.nodes:
        if node.generation and placed.get(node.node) and node.generation != placed[node.node]:
            yield Drift("generation", (node.node,), f"{node.node} still runs as it was placed before: {AGAIN}")
    if known is not None:
        yield from _unsent(network, known)


def _placed(network: Path, known: Record | None) -> Mapping[str, str]:
    return place.placed(network) if known is None else {name: seat.generation for name, seat in known.seats.items()}


def _unsent(network: Path, known: Record) -> Iterator[Drift]:
    from .deployed import generation

    for name, seat in known.seats.items():
        if not seat.generation:
            yield Drift("unsent", (name,), f"{name} was never placed on {seat.host}: {AGAIN}")
        elif seat.generation != generation(network / name):
            yield Drift("unsent", (name,), f"{name}: {seat.host} did not get what was deployed last: {AGAIN}")
    if known.leaving:
        names = ", ".join(known.leaving)
        yield Drift("unsent", tuple(known.leaving), f"{names}: still to be removed from where it was: {AGAIN}")
