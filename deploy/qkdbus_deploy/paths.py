"""Where the files and the sockets of a node are."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from qkdbus.errors import Refused

# supervisord binds under this name (with its pid, up to 7 digits) before it renames: the longest there is.
LONGEST_SOCKET = "supervisor.sock.4194304"
LONGEST_PATH = 100  # of the 107 octets that a Unix socket's address holds
EMULATOR_SOCKET = "simulaqron.sock"
SUPERVISOR_SOCKET = "supervisor.sock"
SWAPPED = "swapped.json"  # in a node's folder: layers that were swapped while it ran


def network_directory(home: Path, network: str) -> Path:
    """Return the folder of a network: its nodes' folders and `client.json`."""
    return home / network


def node_directory(home: Path, network: str, node: str) -> Path:
    """Return the folder of a node, whatever machine it is on."""
    return network_directory(home, network) / node


def run_directory(node: Path, run_root: Path) -> Path:
    """Return the folder of a node's sockets: `run/` in its own, or a short one below `run_root`.

    Raises Refused when even that is too long for a socket's address.
    """
    digest = hashlib.sha256(os.fsencode(node)).hexdigest()[:12]
    for run in (node / "run", run_root / digest):
        if len(os.fsencode(run / LONGEST_SOCKET)) <= LONGEST_PATH:
            return run
    raise Refused(f"{run_root}: too long a path for sockets; set XDG_RUNTIME_DIR or TMPDIR to a shorter one")


def run_root(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where sockets with short paths live on this machine: below the user's runtime folder, or a 0700 one."""
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime) / "qkdbus"
    return Path(environment.get("TMPDIR") or tempfile.gettempdir()) / f"qkdbus-{os.getuid()}"
