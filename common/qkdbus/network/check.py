"""What no single field can tell: names against names, neighbours against neighbours, links against both.

Works on plain values, as lenient as can be, so that a file with other faults has all of them told at once.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterator
from typing import Any

from .model import LAYERS, NODE_NAME
from .source import Location, Problem
from .words import nearest

_FILE_ENDINGS = (".json", ".yaml", ".yml", ".sqlite", ".log", ".sock", ".pid", ".lock", ".conf")
_OURS = ("clients",)  # a folder that a deployed network has beside those of its nodes
_LOOKS_LIKE_FILE = "looks like the name of a file, and names a folder here; choose another ending"
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")


def problems(said: dict[str, Any]) -> Iterator[Problem]:
    """Yield what does not fit together in a network file (its plain values, in our words)."""
    nodes = _Nodes(said)
    if _is_file_name(said.get("name")):
        yield Problem(("name",), f'"{said["name"]}" {_LOOKS_LIKE_FILE}')
    yield from _names(nodes)
    yield from _addresses(nodes)
    for name, at in nodes.places.items():
        yield from _neighbours(nodes, name, at)
    yield from _links(nodes, said)
    yield from _programs(said, ())
    for at, entry in nodes.entries:
        yield from _programs(entry, at)
    yield from _figures(said)


class _Nodes:
    """The nodes of a file as far as they can be made out.

    One fault should be told once: where a name or a list of neighbours is at fault itself, nothing is told of
    what only follows from that.
    """

    def __init__(self, said: dict[str, Any]) -> None:
        self.entries: list[tuple[Location, dict[str, Any]]] = []
        self.places: dict[str, Location] = {}  # the first node of each name
        self.neighbours: dict[str, list[Any]] = {}
        self._named = True  # whether each node has a proper name
        self._doubtful: set[str] = set()  # nodes whose neighbours cannot be made out
        for place, entry in enumerate(_list(said.get("nodes"))):
            if isinstance(entry, dict):
                self._add(entry, ("nodes", place))
        self._doubtful |= {name for name, others in self.neighbours.items() if any(map(self.is_unknown, others))}

    def _add(self, entry: dict[str, Any], at: Location) -> None:
        self.entries.append((at, entry))
        name, others = entry.get("node_name"), entry.get("neighbour_nodes", [])
        if not isinstance(name, str) or not re.fullmatch(NODE_NAME, name):
            self._named = False
        elif name not in self.places:
            self.places[name] = at
            self.neighbours[name] = _list(others)
            if not isinstance(others, list):
                self._doubtful.add(name)

    def is_unknown(self, name: Any) -> bool:
        return self._named and isinstance(name, str) and name not in self.places

    def surely_lacks(self, name: str, other: str) -> bool:
        """Whether it can be told that a node does not name another."""
        known = name in self.neighbours and name not in self._doubtful
        return known and self._named and other not in self.neighbours[name]

    def unknown(self, name: str) -> str:
        return f'there is no node "{name[:60]}"' + nearest(name, list(self.places))


def _names(nodes: _Nodes) -> Iterator[Problem]:
    seen: dict[str, tuple[str, Location]] = {}
    for at, entry in nodes.entries:
        name, here = entry.get("node_name"), (*at, "node_name")
        if not isinstance(name, str):
            continue
        first = seen.setdefault(name.casefold(), (name, here))
        if first[0] != name:
            text = f'"{name}" and "{first[0]}" (line {{line}}) differ only in case, and each names a folder; rename one'
            yield Problem(here, text, other=first[1])
        elif first[1] != here:
            yield Problem(here, f'"{name}" is the name of a node in line {{line}} already; rename one', other=first[1])
        if _is_file_name(name):
            yield Problem(here, f'"{name}" {_LOOKS_LIKE_FILE}')
        if name.casefold() in _OURS:
            yield Problem(here, f'"{name}" cannot be a node: a network has a folder of that name; choose another')


def _is_file_name(name: Any) -> bool:
    return isinstance(name, str) and name.casefold().endswith(_FILE_ENDINGS)


def _addresses(nodes: _Nodes) -> Iterator[Problem]:
    for at, entry in nodes.entries:
        address = entry.get("node_ip")
        if isinstance(address, str) and address and not _is_address(address):
            text = f'"{address[:60]}" is neither an IP address nor a host name; write one such as 10.0.0.5'
            yield Problem((*at, "node_ip"), text)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        # What is all digits and dots means to be an address, and is not one.
        return bool(_HOST.fullmatch(text)) and not re.fullmatch(r"[0-9.]+", text)
    return True


def _neighbours(nodes: _Nodes, name: str, at: Location) -> Iterator[Problem]:
    seen: set[str] = set()
    for place, other in enumerate(nodes.neighbours[name]):
        here = (*at, "neighbour_nodes", place)
        if not isinstance(other, str):
            continue
        if other == name:
            yield Problem(here, f"{name} names itself as its neighbour; remove this")
        elif other in seen:
            yield Problem(here, f"{name} names {other} twice; remove this")
        elif nodes.is_unknown(other):
            yield Problem(here, nodes.unknown(other))
        elif nodes.surely_lacks(other, name):
            text = (
                f"{name} names {other}, and {other} (line {{line}}) does not name {name}; "
                f"add `- {name}` to the neighbours of {other}, or remove {other} here"
            )
            yield Problem(here, text, other=(*nodes.places[other], "neighbour_nodes"))
        seen.add(other)


def _links(nodes: _Nodes, said: dict[str, Any]) -> Iterator[Problem]:
    seen: dict[frozenset[str], Location] = {}
    for place, link in enumerate(_list(said.get("links"))):
        ends = _list(link.get("between")) if isinstance(link, dict) else []
        if len(ends) != 2 or not all(isinstance(end, str) for end in ends):
            continue
        here: Location = ("links", place, "between")
        strangers = [spot for spot, end in enumerate(ends) if nodes.is_unknown(end)]
        yield from (Problem((*here, spot), nodes.unknown(ends[spot])) for spot in strangers)
        pair = frozenset(ends)
        if len(pair) == 1:
            yield Problem(here, "a link has two ends; name two nodes")
        elif pair in seen:
            text = f"the link between {ends[0]} and {ends[1]} is in line {{line}} already; keep one"
            yield Problem(here, text, other=seen[pair])
        elif nodes.surely_lacks(ends[0], ends[1]) and nodes.surely_lacks(ends[1], ends[0]):
            text = f"{ends[0]} and {ends[1]} are not neighbours; let each name the other, or remove this link"
            yield Problem(here, text)
        seen.setdefault(pair, here)


def _programs(block: dict[str, Any], at: Location) -> Iterator[Problem]:
    for layer, choice in _dict(block.get("layers")).items():
        here = (*at, "layers", layer)
        replicas, run = _dict(choice).get("replicas"), _dict(choice).get("run")
        if layer in LAYERS and layer != "qbackend" and isinstance(replicas, int) and replicas > 1:
            yield Problem((*here, "replicas"), f"only qbackend can have replicas; leave {layer} at 1")
        if layer in LAYERS and layer != "qbackend" and _dict(choice).get("capacity") is not None:
            yield Problem((*here, "capacity"), f"only qbackend has a capacity; remove it from {layer}")
        if isinstance(run, str) and (fault := _command_fault(run)):
            yield Problem((*here, "run"), fault)


def _command_fault(run: str) -> str:
    """Return why a command cannot stand in supervisord.conf, or nothing."""
    try:
        words = shlex.split(run)
        if not words:
            return "is empty; write a command, or leave the field out"
    except ValueError as error:
        return f"cannot be read as a command ({error}); write it as you would in a shell"
    if not run.isprintable():
        return "a command is one line of printable text"
    if any(re.search(r"\s[;#]", word) for word in words):
        return "` ;` and ` #` begin a comment in supervisord's file; put such a command into a script"
    return ""


def _figures(said: dict[str, Any]) -> Iterator[Problem]:
    buffers = _dict(said.get("buffers"))
    window, most = buffers.get("window_bytes", 4096), buffers.get("max_chunk_bytes", 1 << 20)
    chunk = buffers.get("default_chunk_bytes", 32)
    if all(isinstance(figure, int) for figure in (window, most, chunk)):
        if 2 * chunk > window:
            text = f"two keys of default_chunk_bytes ({chunk}) do not fit; write {2 * chunk} or more"
            yield Problem(("buffers", "window_bytes"), text)
        if chunk > most:
            yield Problem(("buffers", "max_chunk_bytes"), f"is less than default_chunk_bytes ({chunk})")
    blocks: list[tuple[Location, Any]] = [(("link_defaults",), said.get("link_defaults"))]
    blocks += [(("links", place), link) for place, link in enumerate(_list(said.get("links")))]
    for at, block in blocks:
        shares = [share for share in _dict(_dict(block).get("noise")).values() if isinstance(share, int | float)]
        if sum(shares) > 1:
            text = f"x, y and z are shares of the same pairs: at most 1 together, and these are {sum(shares):g}"
            yield Problem((*at, "noise"), text)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
