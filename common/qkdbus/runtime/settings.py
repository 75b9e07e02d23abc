"""What one node's services read at start: `node.yaml`, written by the deployer, one per node."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from ..errors import BadFile
from ..network.addresses import Ports as Ports
from ..network.base import Model
from ..network.model import Buffers, LayerChoice, LinkSettings, Security


class Neighbour(Model):
    """A node at the other end of a link of ours."""

    name: str
    host: str
    ports: Ports
    public_key: str  # its CURVE key, Z85
    arbiter: bool  # whether *this* node is the link's arbiter (and source of its pairs)
    link: LinkSettings
    emulator_socket: str = ""  # where its SimulaQron node listens (a Unix socket path), on one machine


class NodeSettings(Model):
    """One node. Paths below `directory`; sockets below `run` (which may be elsewhere: paths are short)."""

    network: str
    name: str
    host: str  # the address by which neighbours and applications reach it
    bind: str = ""  # the address that its TCP sockets bind, where that is another one (behind NAT); "" is `host`
    directory: Path
    run: Path
    ports: Ports
    nodes: tuple[str, ...]  # every node of the network
    neighbours: tuple[Neighbour, ...]
    buffers: Buffers = Buffers()
    security: Security = Security()
    layers: dict[str, LayerChoice] = Field(default_factory=dict)
    durability: Literal["process", "power"] = "process"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def listen(self) -> str:
        """The address that its TCP sockets bind."""
        return self.bind or self.host

    def neighbour(self, name: str) -> Neighbour:
        """Return the neighbour called `name`; KeyError when there is none."""
        for neighbour in self.neighbours:
            if neighbour.name == name:
                return neighbour
        raise KeyError(name)

    def ipc(self, socket: str) -> str:
        """ZeroMQ endpoint of a socket of this node, `keysync` or `keysync.events` or `qbackend.0`."""
        return f"ipc://{self.run}/{socket}"

    def state(self, service: str) -> Path:
        """Where a service keeps its database."""
        return self.directory / "state" / f"{service}.sqlite"

    @property
    def certs(self) -> Path:
        """The folder of this node's keys and of those it lets in."""
        return self.directory / "certs"


_KNOWN: dict[Path, tuple[tuple[int, int], NodeSettings]] = {}  # a supervisord reads once, then forks its services


def load(directory: Path) -> NodeSettings:
    """Read `<directory>/node.yaml`, unless this very file was read before. BadFile when it is missing or wrong."""
    file = directory / "node.yaml"
    try:
        found = file.stat()
        stamp = (found.st_mtime_ns, found.st_ino)
        if file not in _KNOWN or _KNOWN[file][0] != stamp:
            settings = NodeSettings.model_validate(yaml.load(file.read_text(), Loader=_loader()))
            _KNOWN[file] = (stamp, settings)
        return _KNOWN[file][1]
    except FileNotFoundError:
        raise BadFile(f"{file}: not there; `qkdbus deploy` writes it") from None
    except OSError as error:
        raise BadFile(f"{file}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, ValidationError, UnicodeError) as error:
        raise BadFile(f"{file}: {error}") from None
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError, OverflowError) as error:
        # of PyYAML, for a value that is none of its type ("!!timestamp x"), or nests too deep
        raise BadFile(f"{file}: {type(error).__name__}: {error}; `qkdbus deploy` writes it") from None


def _loader() -> type:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)
