"""The keys of a node and of its neighbours as they are on disk now: they may be replaced while its services run.

`certs/node.json` is the node's own pair, `certs/north.json` that of its door for applications where that is another
one; neighbours' public keys are in `node.yaml`. A service looks once a second, and opens its doors and makes its calls
with new keys then (Room).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..bus.curve import KeyPair
from ..bus.known import DOORS_FILE, Doors, DoorsFile, Stamp, stamp_of
from ..errors import BadFile
from .settings import NodeSettings, load

NODE_FILE, NORTH_FILE = "node.json", "north.json"
LOOK_EVERY = 1.0  # s


@dataclass(frozen=True, slots=True)
class Changes:
    """What is another one since the last look."""

    own: bool = False
    north: bool = False
    peers: frozenset[str] = frozenset()  # neighbours with another key, or just shut out, or let in again

    def __bool__(self) -> bool:
        return self.own or self.north or bool(self.peers)


class Keyring:
    """Keys by name, and who is shut out.

    Attributes:
        shut_out: neighbours with whom nothing is to be said, each with the reason; changes in place.
    """

    def __init__(self, settings: NodeSettings) -> None:
        self._settings, certs = settings, settings.certs
        self.doors: Callable[[], Doors | None] = DoorsFile(certs / DOORS_FILE)
        self.shut_out: dict[str, str] = {}
        self._files = (settings.directory / "node.yaml", certs / NODE_FILE, certs / NORTH_FILE, certs / DOORS_FILE)
        self._stamps: list[Stamp | None] = [stamp_of(file) for file in self._files]
        self._peers = {peer.name: peer.public_key for peer in settings.neighbours}
        self._own: KeyPair | None = None
        self._north: KeyPair | None = None
        self._read_doors()

    @property
    def own(self) -> KeyPair:
        """The node's pair, as neighbours know it. BadFile when it is not there."""
        if self._own is None:
            self._own = KeyPair.read(self._settings.certs / NODE_FILE)
        return self._own

    @property
    def north(self) -> KeyPair:
        """The pair of the door for applications."""
        if self._north is None:
            file = self._settings.certs / NORTH_FILE
            self._north = KeyPair.read(file) if file.exists() else self.own
        return self._north

    def key_of(self, peer: str) -> str:
        """Return the public key of a neighbour (Z85); KeyError when it is none."""
        return self._peers[peer]

    @property
    def peers(self) -> dict[str, str]:
        """Neighbour -> public key; another object when anything in it is another."""
        return self._peers

    def look(self) -> Changes:
        """Read what has changed on disk. What cannot be read stays as it was."""
        stamps = [stamp_of(file) for file in self._files]
        if stamps == self._stamps:
            return Changes()
        self._stamps = stamps
        was = self._own, self._north
        own = self._read(NODE_FILE, self._own)
        north = self._read(NORTH_FILE, own) if stamps[2] is not None else own
        if self._own is not None:
            self._own = own
        if self._north is not None:
            self._north = north
        return Changes(self._own != was[0], self._north != was[1], self._read_peers() | self._read_doors())

    def _read(self, name: str, before: KeyPair | None) -> KeyPair | None:
        try:
            return KeyPair.read(self._settings.certs / name)
        except BadFile:
            return before

    def _read_peers(self) -> frozenset[str]:
        try:
            said = {peer.name: peer.public_key for peer in load(self._settings.directory).neighbours}
        except BadFile:
            return frozenset()
        changed = frozenset(name for name, key in self._peers.items() if said.get(name, key) != key)
        if changed:
            self._peers = {name: said.get(name, key) for name, key in self._peers.items()}
        return changed

    def _read_doors(self) -> frozenset[str]:
        doors = self.doors()
        if doors is None:  # nobody is let in as long as it cannot be read: see bus/known.py
            return frozenset()
        changed = frozenset(self.shut_out.keys() ^ (doors.shut_out.keys() & self._peers.keys()))
        self.shut_out.clear()
        self.shut_out.update({name: why for name, why in doors.shut_out.items() if name in self._peers})
        return changed
