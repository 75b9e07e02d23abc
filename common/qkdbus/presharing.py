"""The secret that both ends of a link hold before they have made any key: made at deploy, a file at each end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .errors import BadFile

POINT_OCTETS = 8  # where the hash of a transcript is evaluated: kept as long as the secret
ENTRY_OCTETS = 16  # one-time pads of the two tags of a block
ENTRIES = 64  # blocks that can be authenticated before key of the link's own has to take over
NAME_OCTETS = 6
_SECRET_OCTETS = POINT_OCTETS + ENTRIES * ENTRY_OCTETS


@dataclass(frozen=True, slots=True)
class LinkSecret:
    """The authentication keys that a link begins with. Never shows its secret.

    Attributes:
        name: hex of 6 random octets, public: tells the secrets of different deploys apart.
        secret: hex of 1032 octets of the system's random generator, SECRET: the hash point, then 64 pads.
    """

    name: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls, token: Callable[[int], bytes] = os.urandom) -> LinkSecret:
        """Make a secret; `token` gives random octets."""
        return cls(token(NAME_OCTETS).hex(), token(_SECRET_OCTETS).hex())

    @classmethod
    def read(cls, file: Path) -> LinkSecret:
        """Read what `text` gives. FileNotFoundError when it is not there, BadFile when it is something else."""
        try:
            said = json.loads(file.read_text())
            found = cls(said["name"], said["secret"])
            if (len(found.key), len(found._octets)) == (NAME_OCTETS, _SECRET_OCTETS):
                return found
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise BadFile(f"{file}: holds no secret of a link; remove it, and `qkdbus deploy` makes a new one at both ends")

    @property
    def text(self) -> str:
        """What stands in the file."""
        return json.dumps({"name": self.name, "secret": self.secret}, indent=2) + "\n"

    @property
    def key(self) -> bytes:
        """The name as octets."""
        return bytes.fromhex(self.name)

    @property
    def point(self) -> bytes:
        """The hash point: 8 octets, SECRET."""
        return self._octets[:POINT_OCTETS]

    @property
    def pads(self) -> tuple[bytes, ...]:
        """The one-time pads: 64 of 16 octets, SECRET."""
        pads = self._octets[POINT_OCTETS:]
        return tuple(pads[start : start + ENTRY_OCTETS] for start in range(0, len(pads), ENTRY_OCTETS))

    @property
    def _octets(self) -> bytes:
        return bytes.fromhex(self.secret)


def file_name(peer: str) -> str:
    """Return the name of the file, in a node's `certs/`, with the secret of its link to `peer`."""
    return f"link-{peer}.psk"
