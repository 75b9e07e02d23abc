"""Which TCP ports are whose, over all networks of one home: `<home>/ports.json`, changed under the home's lock."""

from __future__ import annotations

import json
import os
import socket
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

from qkdbus.network.addresses import FIRST_PORT, LAST_PORT, allocate, numbers
from qkdbus.network.model import Network
from qkdbus.runtime.settings import Ports

from .claims import Claims
from .locks import locked

FILE = "ports.json"
Book = dict[str, dict[str, Ports]]  # network -> node -> ports
_claims = Claims()  # until the services listen: to the end of this command, or of the network


def reserve(home: Path, network: Network, busy: Collection[str] = (), host: str = "127.0.0.1") -> dict[str, Ports]:
    """Give every node ports that nobody else has, and write that down.

    A node keeps the ports it has, for its neighbours and applications know them; unless it is not one of the
    `busy` (running) nodes and somebody else listens on them now. Raises Refused when none are left.
    """
    whom = (home, network.name)
    with locked(home):
        _claims.drop(whom)
        book = _read(home)
        mine = book.pop(network.name, {})
        kept = {n: p for n, p in mine.items() if n in busy or all(is_free(host, port) for port in numbers(p))}
        reserved = {port for nodes in [*book.values(), kept] for ports in nodes.values() for port in numbers(ports)}
        start = zlib.crc32(str(home / network.name).encode())  # homes do not know each other: begin at different places
        book[network.name] = allocate(network, _free(host, reserved, start, whom), kept)
        _write(home, book)
        return book[network.name]


def release(home: Path, network: str) -> None:
    """Forget a network's ports; the file goes with the last network."""
    with locked(home):
        _claims.drop((home, network))
        book = _read(home)
        if book.pop(network, None) is not None:
            _write(home, book)


def _free(host: str, reserved: Collection[int], start: int, whom: tuple[Path, str]) -> Iterator[int]:
    span = LAST_PORT - FIRST_PORT + 1
    for step in range(span):
        port = FIRST_PORT + (start + step) % span
        if port not in reserved and _claims.may_use(port, whom) and is_free(host, port):
            yield port


def is_free(host: str, port: int) -> bool:
    """Whether this address of this machine is free to listen on, at this TCP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as ZeroMQ: TIME_WAIT is no hindrance
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _read(home: Path) -> Book:
    try:
        said = json.loads((home / FILE).read_text())
    except FileNotFoundError:
        return {}
    return {net: {node: Ports.model_validate(ports) for node, ports in nodes.items()} for net, nodes in said.items()}


def _write(home: Path, book: Book) -> None:
    if not book:
        (home / FILE).unlink(missing_ok=True)
        return
    said = {net: {node: ports.model_dump() for node, ports in nodes.items()} for net, nodes in book.items()}
    temporary = home / f"{FILE}.{os.getpid()}"
    temporary.write_text(json.dumps(said, indent=1))
    temporary.chmod(0o600)
    temporary.replace(home / FILE)
