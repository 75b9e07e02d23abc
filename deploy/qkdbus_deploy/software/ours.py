"""Our own packages, and those of foreign layers, from wherever they are: site-packages or somebody's source folders.

They go with their sources: tracebacks then show the lines, and numba finds what it compiled.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from hashlib import sha256
from importlib.metadata import Distribution, distribution
from importlib.util import find_spec
from pathlib import Path

from qkdbus.errors import Refused

from ..programs import GROUP
from .archive import Entry, beside
from .closure import OURS
from .kind import Kind

PACKAGES = (
    *("qkdbus", "qkdbus_client", "qkdbus_deploy", "qkdbus_keymanager", "qkdbus_keysync", "qkdbus_dispatcher"),
    "qkdbus_qbackend",
)
_INFO = ("METADATA", "entry_points.txt")
_KERNELS = (".nbi", ".nbc")  # numba's index, numba's machine code


def entries(kind: Kind, emulators: Collection[str]) -> Iterator[Entry]:
    """Yield our packages, with the kernels compiled here when photonic links need them.

    Compiling them takes 30 s. numba uses those of the same processor, and compiles its own on any other.
    """
    here = Kind.here()
    kernels = "photonic" in emulators and (kind.python, kind.machine) == (here.python, here.machine)
    for package in PACKAGES:
        yield from _package(package, kind, kernels=kernels)
    yield from info(distribution(OURS))


def editable(dist: Distribution) -> bool:
    """Tell whether a distribution is installed as a pointer to its sources."""
    return '"editable": true' in (dist.read_text("direct_url.json") or "")


def foreign(dist: Distribution, kind: Kind) -> Iterator[Entry]:
    """Yield a distribution that is installed as a pointer to its sources: the packages of its layers."""
    named = {point.module.partition(".")[0] for point in dist.entry_points if point.group == GROUP}
    for package in sorted(named | set((dist.read_text("top_level.txt") or "").split())):
        yield from _package(package, kind, kernels=False)
    yield from info(dist)


def info(dist: Distribution) -> Iterator[Entry]:
    """Yield what importlib.metadata reads: the version, and what the distribution offers."""
    folder = f"{dist.name.replace('-', '_')}-{dist.version}.dist-info"
    for name in _INFO:
        text = dist.read_text(name)
        if text is not None:
            octets = text.encode()
            yield Entry(f"{folder}/{name}", sha256(octets).hexdigest(), partial(bytes, octets))


def _package(package: str, kind: Kind, *, kernels: bool) -> Iterator[Entry]:
    spec = find_spec(package)
    if spec is None:
        raise Refused(f"cannot find the package {package}, which hosts need: install it here")
    if not spec.submodule_search_locations:  # a module
        yield from _file(Path(spec.origin or ""), f"{package}.py", kind, 0)
        return
    root = Path(next(iter(spec.submodule_search_locations)))
    for file in sorted(root.rglob("*")):
        below = file.relative_to(root)
        if any(part.startswith(".") for part in below.parts) or not file.is_file():
            continue
        if "__pycache__" in below.parts and not (kernels and file.suffix in _KERNELS):
            continue
        compiled = kernels and any((file.parent / "__pycache__").glob(f"{file.stem}.*{_KERNELS[0]}"))
        # numba knows a source again by its time
        yield from _file(file, f"{package}/{below.as_posix()}", kind, file.stat().st_mtime_ns if compiled else 0)


def _file(file: Path, path: str, kind: Kind, changed: int) -> Iterator[Entry]:
    """Yield a file as it is now, for somebody may be working on it; a module with its bytecode."""
    octets = file.read_bytes()
    digest = sha256(octets).hexdigest()
    yield Entry(path, digest, partial(bytes, octets), changed)
    if file.suffix == ".py" and kind.python == Kind.here().python:
        yield beside(octets, path, digest)
