"""Putting bundles on this machine's disk, and taking nodes off it so that nothing remains."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from qkdbus.errors import Refused

from . import bundles
from .bundles import Bundle, File, Plan
from .certs import FOLDER
from .wishes import folder

FOLDERS = ("certs", "logs", "state")
PLACED = "placed.json"  # in the warm parent's folder
CLIENTS = "clients"  # credentials of applications, beside the nodes' folders
_WIPED = ("certs", "state")  # whose files held secrets
_CHUNK = 1 << 20


def generation(bundle: Bundle) -> str:
    """Return the name of what a running node was started with: it differs when the node must be restarted."""
    return bundles.generation(bundle.files)


def place(plan: Plan) -> dict[str, str]:
    """Write every file of a plan whose text is not there yet; return node -> generation.

    Files get mode 0600, folders 0700. Refused when a node's name is one of ours, or a folder of sockets is another
    user's.
    """
    ours = {CLIENTS, *(file.path for file in plan.files)}
    for bundle in plan.bundles:
        if bundle.name in ours:
            raise Refused(f"a node cannot be called {bundle.name!r}: qkdbus keeps a file of that name beside the nodes")
    make_private(plan.directory)
    for bundle in plan.bundles:
        elsewhere = () if bundle.run.parent == bundle.directory else (bundle.run.parent,)
        for where in (bundle.directory, *(bundle.directory / name for name in FOLDERS), *elsewhere, bundle.run):
            make_private(where)
        write_all(bundle.directory, bundle.files)
        drop_secrets(bundle.directory, bundle)
    write_all(plan.directory, plan.files)
    generations = {bundle.name: generation(bundle) for bundle in plan.bundles}
    write(folder(plan.directory) / PLACED, json.dumps({**placed(plan.directory), **generations}))
    return generations


def drop_secrets(directory: Path, bundle: Bundle) -> None:
    """Wipe what a node shared with neighbours that it no longer has."""
    wanted = {file.path for file in bundle.files}
    for file in (directory / FOLDER).glob("link-*"):
        if f"{FOLDER}/{file.name}" not in wanted:
            wipe(file)


def placed(network: Path) -> dict[str, str]:
    """Return what `place` returned for each node when it was last called for that."""
    try:
        return dict(json.loads((folder(network) / PLACED).read_text()))
    except FileNotFoundError:
        return {}


def write(file: Path, text: str) -> None:
    """Put a file in place in one step, mode 0600."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(number, "w", encoding="utf-8") as out:
        out.write(text)
    temporary.replace(file)


def supersede(file: Path, text: str) -> None:
    """Put a file in place as `write` does, and overwrite what it held before: a secret that is good no more."""
    former = file.open("r+b", buffering=0) if file.is_file() and not file.is_symlink() else None
    write(file, text)
    if former is not None:
        with former:
            _zero(former)


def make_private(where: Path) -> None:
    """Make a folder (0700) with those above it. Refused when it is there and another user's."""
    if not where.is_dir():
        if not where.parent.is_dir():
            make_private(where.parent)
        where.mkdir(mode=0o700, exist_ok=True)
    if where.stat().st_uid != os.geteuid():
        raise Refused(f"{where}: belongs to another user; use a folder of your own (`--home DIR`, or TMPDIR)")
    if where.stat().st_mode & 0o077:
        where.chmod(0o700)


def remove_node(directory: Path, run: Path) -> None:
    """Take one node off the disk, its keys overwritten first. It must not be running."""
    for secret in _WIPED:
        for file in sorted((directory / secret).rglob("*")):
            if file.is_file() and not file.is_symlink():
                _overwrite(file)
    shutil.rmtree(directory, ignore_errors=True)
    shutil.rmtree(run, ignore_errors=True)
    if run.parent != directory:
        remove_if_empty(run.parent)


def remove_sockets(run: Path) -> None:
    """Remove what a node that was stopped has left in the folder of its sockets (ZeroMQ leaves its own there)."""
    for file in run.glob("*"):
        if file.is_socket():
            file.unlink(missing_ok=True)


def remove_network(directory: Path) -> None:
    """Take the rest of a network off the disk, when its nodes are."""
    for file in [directory / "client.json", *(directory / CLIENTS).glob("*")]:
        if file.is_file():
            _overwrite(file)
    shutil.rmtree(directory, ignore_errors=True)


def write_all(below: Path, files: Iterable[File]) -> None:
    """Write those files below a folder whose text is not there yet."""
    for file in files:
        where = below / file.path
        if not where.is_file() or where.read_text(encoding="utf-8") != file.text:
            (supersede if file.secrets else write)(where, file.text)


def _overwrite(file: Path) -> None:
    """Fill a file with zeros before its name goes (what a journalling or flash-backed disk keeps is beyond us)."""
    with file.open("r+b", buffering=0) as out:
        _zero(out)


def _zero(out: FileIO) -> None:
    left = os.fstat(out.fileno()).st_size
    while left > 0:
        left -= out.write(bytes(min(left, _CHUNK))) or 0
    os.fsync(out.fileno())


def wipe(file: Path) -> None:
    """Overwrite a file and remove it; nothing happens when it is not there."""
    if file.is_file() and not file.is_symlink():
        _overwrite(file)
    file.unlink(missing_ok=True)


def remove_if_empty(where: Path) -> None:
    """Remove a folder unless something is in it."""
    with suppress(OSError):
        where.rmdir()
