"""Two ends that authenticate what they said: with pools in memory, or with the stores of two nodes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qkdbus.presharing import LinkSecret, file_name
from qkdbus_qbackend.authkeys import AuthKeys, AuthStore, Entry
from qkdbus_qbackend.distil import authenticate
from qkdbus_qbackend.distil.authenticate import Authenticated, Transcript
from qkdbus_qbackend.failure import NoKey
from qkdbus_qbackend.protocols.talk import Hear, Talk, Tell

Message = tuple[int, int, bytes]  # topic, lane, body


class Pool:
    """AuthKeys in memory, for tests that are not about the store."""

    peer = "Bob"

    def __init__(self, point: int, pads: list[bytes]) -> None:
        self.point, self.left = point, {number.to_bytes(8, "big"): pad for number, pad in enumerate(pads)}

    def ids(self) -> list[bytes]:
        return list(self.left)

    def spend(self, offered: list[bytes]) -> Entry | None:
        found = next((id for id in self.left if id in offered), None)
        return Entry(found, self.left.pop(found)) if found is not None else None

    def due(self, left: int | None = None) -> int:
        return 1

    def settle(self, new: list[Entry], theirs: list[bytes]) -> None:
        self.left |= {entry.id: entry.pad for entry in new}


@dataclass
class End:
    """One end of an exchange: its keys, its transcript, its key."""

    keys: AuthKeys
    source: bool
    key: np.ndarray[Any, np.dtype[np.uint8]]
    run: bytes
    fast: bool = False
    transcript: Transcript = field(init=False)

    def __post_init__(self) -> None:
        self.transcript = Transcript(self.keys, source=self.source, fast=self.fast)

    def talk(self) -> Talk[Authenticated]:
        part = authenticate.source if self.source else authenticate.sink
        return part(self.transcript, self.keys, self.run, self.key)


class Lab:
    """Makes ends, lets them speak, and meddles."""

    @staticmethod
    def ends(one: AuthKeys, other: AuthKeys, octets: int = 100, fast: Sequence[bool] = (False, False)) -> Any:
        """Return a source and a sink that hold the same block of a new run."""
        key, run = np.frombuffer(os.urandom(octets), np.uint8), os.urandom(16)
        return End(one, True, key.copy(), run, fast[0]), End(other, False, key.copy(), run, fast[1])

    def in_memory(self, octets: int = 100, entries: int = 3, fast: Sequence[bool] = (False, False)) -> Any:
        """Return a source and a sink with pools of their own."""
        one, other = self.pools(entries)
        return self.ends(one, other, octets, fast)

    @staticmethod
    def pools(entries: int) -> Any:
        """Return two equal pools."""
        point, pads = int.from_bytes(os.urandom(8), "little"), [os.urandom(16) for _ in range(entries)]
        return Pool(point, pads), Pool(point, pads)

    @staticmethod
    def say(speaker: End, listener: End, messages: list[Message], arriving: list[Message] | None = None) -> None:
        """Have messages told, and the same (or those `arriving`) heard."""
        for said in messages:
            speaker.transcript.told(*said)
        for said in messages if arriving is None else arriving:
            listener.transcript.heard(*said)

    @staticmethod
    def meddled(
        one: Talk[Any], other: Talk[Any], meddle: Callable[[int, bytes], bytes] = lambda number, body: body
    ) -> list[Any]:
        """Run a talk whose messages `meddle` changes; return each end's result or failure, None when it waits on."""
        inboxes: tuple[list[bytes], list[bytes]] = ([], [])
        results: list[Any] = [None, None]
        wishes: list[Any] = [next(one), next(other)]
        number, moved = itertools.count(), True
        while moved:
            moved = False
            for end, talk in enumerate((one, other)):
                while wishes[end] is not None and (isinstance(wishes[end], Tell) or inboxes[end]):
                    moved, answer = True, None
                    match wishes[end]:
                        case Tell(body):
                            inboxes[1 - end].append(meddle(next(number), body))
                        case Hear():
                            answer = inboxes[end].pop(0)
                    try:
                        wishes[end] = talk.send(answer)
                    except StopIteration as stop:
                        wishes[end], results[end] = None, stop.value
                    except NoKey as failure:
                        wishes[end], results[end] = None, failure
        return results

    def cut(self, source: Talk[Any], sink: Talk[Any], stop: int) -> None:
        """Let `stop` messages through, then fail both ends as the channel does: NoKey."""

        def meddle(number: int, body: bytes) -> bytes:
            if number >= stop:
                raise NoKey("cut")
            return body

        self.meddled(source, sink, meddle)


class Node:
    """One node's files, opened as often as one likes; `now` is its clock."""

    def __init__(self, folder: Path, secret: LinkSecret, peer: str = "Bob") -> None:
        self.peer, self.shared = peer, secret
        self.path, self.certs = folder / "state" / "authentication.sqlite", folder / "certs"
        self.certs.mkdir(parents=True)
        self.secret = self.certs / file_name(peer)
        self.secret.write_text(secret.text)
        self.now = 1000.0

    def store(self) -> AuthStore:
        return AuthStore(self.path, self.certs, lambda: self.now)

    def keys(self) -> AuthKeys:
        return self.store().link(self.peer)

    def raw(self) -> bytes:
        return b"".join(file.read_bytes() for file in self.path.parent.iterdir())


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab()


@pytest.fixture
def make_node(tmp_path: Path) -> Callable[[str], Node]:
    """Return a maker of Alices that share a secret with Bob."""
    secret = LinkSecret.new()
    return lambda name: Node(tmp_path / name, secret)


@pytest.fixture
def node(make_node: Callable[[str], Node]) -> Node:
    return make_node("Alice")


class Link:
    """The stores of both ends of a link."""

    def __init__(self, folder: Path) -> None:
        secret = LinkSecret.new()
        self.nodes = Node(folder / "Alice", secret, "Bob"), Node(folder / "Bob", secret, "Alice")

    def open(self) -> tuple[AuthKeys, AuthKeys]:
        """Open both (again)."""
        return self.nodes[0].keys(), self.nodes[1].keys()

    def wait(self, seconds: float) -> None:
        for node in self.nodes:
            node.now += seconds


@pytest.fixture
def link(tmp_path: Path) -> Link:
    return Link(tmp_path)
