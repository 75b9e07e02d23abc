"""The networks that are put under fire, and the streams that are read there."""

from __future__ import annotations

from dataclasses import dataclass

from .reader import How

WINDOW = 128  # octets that a stream may be ahead: small, so that a link without key is felt at once
THREE = """\
qkdbus_version: 1
name: chaos3
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice, Charlie]}
  - {node_name: Charlie, neighbour_nodes: [Bob]}
links:
  - {between: [Alice, Bob], emulator: simulaqron, block_bits: 128}
link_defaults: {emulator: ideal, block_bits: 4096}
"""
RING = ("Anna", "Bert", "Cleo", "Dora", "Emil", "Frida", "Gero", "Hugo")


@dataclass(frozen=True)
class Plan:
    """One stream: its ends, how each is read, octets of its keys, and their time to live (s; 0 for an hour)."""

    ends: tuple[str, str]
    how: tuple[How, How]
    chunk: int = 32
    ttl: int = 0

    @property
    def ahead(self) -> int:
        """How many keys may be agreed that the slower end has not had."""
        return max(2, WINDOW // self.chunk)


def text(nodes: int) -> str:
    """Return the network file of three nodes in a row, or of eight in a ring."""
    return (THREE if nodes == 3 else _ring()) + f"buffers: {{window_bytes: {WINDOW}, default_ttl_s: 3600}}\n"


def streams(nodes: int) -> list[Plan]:
    """Return what is read there."""
    if nodes == 3:
        return [
            Plan(("Alice", "Bob"), ("one", "one"), chunk=16),
            Plan(("Bob", "Alice"), ("many", "one"), chunk=16),
            Plan(("Bob", "Charlie"), ("crowd", "many")),
            Plan(("Charlie", "Bob"), ("one", "crowd")),
            Plan(("Bob", "Charlie"), ("one", "lazy"), ttl=15),
        ]
    kinds: list[tuple[How, How]] = [("one", "many"), ("crowd", "one"), ("one", "one"), ("many", "crowd")]
    found = []
    for n, name in enumerate(RING):
        ends = (name, RING[(n + 1) % len(RING)])
        found.append(Plan(ends if n % 2 else ends[::-1], kinds[n % len(kinds)], chunk=16 if n in (0, 4) else 32))
    return [*found, Plan(("Cleo", "Dora"), ("lazy", "one"), ttl=15), Plan(("Gero", "Frida"), ("one", "one"))]


def _ring() -> str:
    """Two of the eight links are SimulaQron's: two cores do not carry more at a time."""
    lines = ["qkdbus_version: 1", "name: chaos8", "nodes:"]
    for n, name in enumerate(RING):
        lines.append(f"  - {{node_name: {name}, neighbour_nodes: [{RING[n - 1]}, {RING[(n + 1) % len(RING)]}]}}")
    lines.append("links:")
    for one, other in (RING[:2], RING[4:6]):
        lines.append(f"  - {{between: [{one}, {other}], emulator: simulaqron, block_bits: 128}}")
    lines.append("link_defaults: {emulator: ideal, block_bits: 4096}")
    return "\n".join(lines) + "\n"
