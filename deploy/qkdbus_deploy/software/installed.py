"""The files of distributions that are installed here, and whether another host can use them."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
from collections.abc import Collection, Iterator
from functools import partial
from importlib.metadata import Distribution
from pathlib import Path

from packaging.tags import parse_tag

from qkdbus.errors import Refused

from .archive import Entry, bytecode
from .kind import Kind
from .left_out import goes

_MOMENT = 60.0  # s that installing a distribution may take


def usable(dist: Distribution, kind: Kind) -> bool:
    """Tell whether a host can use a distribution as it is installed here."""
    here = Kind.here()
    if kind == here:
        return True
    lines = (dist.read_text("WHEEL") or "").splitlines()
    tags = {tag for line in lines if line.startswith("Tag: ") for tag in parse_tag(line.removeprefix("Tag: ").strip())}
    if any(tag.platform.startswith("linux_") for tag in tags):  # built here, for the libc that is here
        newer = here.glibc is not None and kind.glibc is not None and here.glibc <= kind.glibc
        return newer and (kind.python, kind.machine) == (here.python, here.machine)
    return not tags.isdisjoint(kind.tags)


def entries(dist: Distribution, kind: Kind, emulators: Collection[str]) -> Iterator[Entry]:
    """Yield what a host needs of a distribution. Refused when nobody knows which files are its own."""
    record = dist.read_text("RECORD")
    if record is None:
        raise Refused(f"cannot tell the files of {dist.name}, as it is installed here: install it again with pip")
    root = str(dist.locate_file(""))
    stamp = _installed(dist, record, root)
    for path, given, size in (row for row in csv.reader(io.StringIO(record)) if len(row) == 3):
        if not goes(path, emulators):
            continue
        file = os.path.join(root, path)
        try:
            found = os.stat(file)
        except FileNotFoundError:  # removed by hand; so the service does without it here too
            continue
        sound = given.startswith("sha256=") and size == str(found.st_size) and found.st_mtime <= stamp
        digest = given.removeprefix("sha256=") if sound else digest_of(Path(file))
        if path.endswith(".py") and kind.python == Kind.here().python:
            yield bytecode(Path(file), path, digest)
        else:
            yield Entry(path, digest, partial(Path, file))


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file as RECORD writes it."""
    with file.open("rb") as opened:
        return base64.urlsafe_b64encode(hashlib.file_digest(opened, "sha256").digest()).rstrip(b"=").decode()


def _installed(dist: Distribution, record: str, root: str) -> float:
    """Return when the distribution was installed, and a moment; what changed later is not what RECORD says."""
    name = next((line.partition(",")[0] for line in record.splitlines() if "dist-info/RECORD," in line), "")
    try:
        return os.stat(os.path.join(root, name)).st_mtime + _MOMENT if name else 0.0
    except OSError:
        return 0.0
