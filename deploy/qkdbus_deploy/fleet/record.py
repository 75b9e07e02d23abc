"""What the machine that deployed knows of a network on other hosts: `<home>/<network>/.fleet/record.json` (0600).

Beside it lie copies of the nodes' files as they were sent, so that ports and keys stay over deploys, and so that
applications on this machine find their `client.json`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from qkdbus.errors import BadFile

from .. import place

FOLDER, FILE = ".fleet", "record.json"


@dataclass(frozen=True)
class Seat:
    """Where a node is.

    Attributes:
        host: as the inventory calls it.
        home: the folder of all networks there.
        python: the interpreter that it runs with.
        software: digests of what its services run on, in the order of PYTHONPATH.
        generation: of the bundle that was placed there last; "" when none ever was.
        sent: a digest of all files of that bundle.
    """

    host: str
    home: str
    python: str
    software: tuple[str, ...] = ()
    generation: str = ""
    sent: str = ""


@dataclass(frozen=True)
class Record:
    """A network on hosts. `leaving`: nodes that are still to be removed there; `machines`: what OSM made for it."""

    inventory: str
    seats: dict[str, Seat] = field(default_factory=dict)
    leaving: dict[str, Seat] = field(default_factory=dict)
    machines: dict[str, Any] | None = None


def folder(network: Path) -> Path:
    """Return where the record of a network is."""
    return network / FOLDER


def read(network: Path) -> Record | None:
    """Return the record; None when all nodes of the network are on this machine. BadFile when it is damaged."""
    file = folder(network) / FILE
    try:
        said = json.loads(file.read_text())
        seats, leaving = (
            {name: Seat(**{**seat, "software": tuple(seat["software"])}) for name, seat in said[part].items()}
            for part in ("seats", "leaving")
        )
        return Record(said["inventory"], seats, leaving, said["machines"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadFile(f"{file}: damaged ({type(error).__name__}); restore it, or destroy the nodes by hand") from None


def write(network: Path, record: Record) -> None:
    """Keep a record, in one step."""
    place.make_private(folder(network))
    place.write(folder(network) / FILE, json.dumps(asdict(record), indent=1) + "\n")
