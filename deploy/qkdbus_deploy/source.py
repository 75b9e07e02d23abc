"""Which network file, and which version of qkdbus, made a deployment: `<home>/<network>/.source.json` (0600)."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from qkdbus.errors import BadFile
from qkdbus.network.load import load
from qkdbus.network.model import Network

from . import nodes, place

FILE = ".source.json"


@dataclass(frozen=True)
class Source:
    """What made a deployment.

    Attributes:
        file: absolute path of the network file.
        name: of the network, when it was given beside the file; "" otherwise.
        stamp: of the file then: modification time in ns, octets.
        digest: of the network that it described; "" when the deploy did not come to its end.
        addresses: node -> its `node_ip`.
        version: of qkdbus.
        at: Unix time, s.
    """

    file: str
    name: str
    stamp: tuple[int, int]
    digest: str
    addresses: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    at: float = 0.0


def network(file: Path, name: str | None = None) -> Network:
    """Return the network that a file describes, called `name` when that is given. Raises BadFile."""
    found = load(file)
    if not name:
        return found
    renamed = Network.model_validate({**found.model_dump(exclude_unset=True), "name": name})
    return renamed.noticing(found.notices)


@contextmanager
def remembered(folder: Path, file: Path, name: str | None, said: Network) -> Iterator[None]:
    """Keep what a network is made from, while it is deployed to `folder`; that a deploy broke off is kept, too."""
    stamp = stamp_of(file)
    source = Source(
        file=str(file.absolute()),
        name=name or "",
        stamp=stamp,
        digest=digest(said),
        addresses={node.node_name: node.node_ip for node in said.nodes},
        version=ours(),
        at=time.time(),
    )
    try:
        yield
    except BaseException:
        if nodes.names(folder):
            _write(folder, replace(source, digest=""))
        raise
    _write(folder, source)


def read(folder: Path) -> Source | None:
    """Return what made a deployment; None when that is not known. BadFile when the file is damaged."""
    file = folder / FILE
    try:
        said = json.loads(file.read_text())
        return Source(**{**said, "stamp": tuple(said["stamp"])})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        raise BadFile(f"{file}: damaged; the next deploy writes it anew") from None


def digest(said: Network) -> str:
    """Return a short name for what a network file says, however it is written."""
    return hashlib.sha256(said.model_dump_json().encode()).hexdigest()[:16]


def stamp_of(file: Path) -> tuple[int, int]:
    """Return what tells at a glance that a file is still the same. OSError when it is not there."""
    found = os.stat(file)
    return found.st_mtime_ns, found.st_size


def ours() -> str:
    """Return the version of this qkdbus."""
    try:
        return version("qkdbus")
    except PackageNotFoundError:
        return "unknown"


def _write(folder: Path, source: Source) -> None:
    place.write(folder / FILE, json.dumps(asdict(source), indent=1) + "\n")
