"""What a plan is made of: files as data, per node and for the whole network. Nothing here touches a disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from qkdbus.network.model import LayerName
from qkdbus.runtime.settings import NodeSettings

HIDDEN = "(secret)"
# In node.yaml: every node of the network; the keys of neighbours, which services read again.
_ASIDE = re.compile(r"^nodes:.*\n(?:- .*\n)*|^  public_key:.*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class File:
    """A file to be written, mode 0600.

    Attributes:
        path: below the folder of its node (or of the network), with `/`.
        text: what it holds; `secrets` are the parts of it that nobody may be shown.
        live: whether services read it again when it changes (others they read at start).
    """

    path: str
    text: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    live: bool = False

    @property
    def shown(self) -> str:
        """The text for a reader, its secrets hidden."""
        text = self.text
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text


@dataclass(frozen=True, slots=True)
class Program:
    """A program of a node's supervisord."""

    name: str  # the layer's, and for a qbackend worker `qbackend_<replica>`
    layer: LayerName
    replica: int
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bundle:
    """Everything that one node gets."""

    settings: NodeSettings
    programs: tuple[Program, ...]
    files: tuple[File, ...]

    @property
    def name(self) -> str:
        """The node's name."""
        return self.settings.name

    @property
    def directory(self) -> Path:
        """The node's folder; `files` are below it, and `certs`, `logs`, `state` (all 0700)."""
        return self.settings.directory

    @property
    def run(self) -> Path:
        """The folder of its sockets (0700)."""
        return self.settings.run

    @property
    def digest(self) -> str:
        """A short name for what its services read at start: when it differs, they have to be started again."""
        return generation(self.files)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole network, ready to be placed."""

    network: str
    directory: Path
    bundles: tuple[Bundle, ...]
    files: tuple[File, ...]  # of the network: `client.json`

    def bundle(self, node: str) -> Bundle:
        """Return the bundle of a node; KeyError when there is none."""
        for bundle in self.bundles:
            if bundle.name == node:
                return bundle
        raise KeyError(node)


def generation(files: Iterable[File]) -> str:
    """Return the name of what a running node was started with: it differs when the node must be restarted.

    Live files are not part of it, nor are the keys of neighbours (they are read again), nor which other nodes the
    network has: that concerns none but neighbours, and those are named elsewhere. So a node may join a network without
    a restart of nodes far away.
    """
    return digest(
        replace(file, text=_ASIDE.sub("", file.text)) if file.path == "node.yaml" else file
        for file in sorted(files, key=lambda file: file.path)
        if not file.live
    )


def digest(files: Iterable[File]) -> str:
    """Return a short name for these files and what they hold."""
    whole = hashlib.sha256()
    for file in files:
        for part in (file.path.encode(), file.text.encode()):
            whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:16]
