"""What a node's host must have, packed: one archive per tier, and one of our own packages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

from . import archive, closure, installed, ours, wheels, zstandard
from .archive import Entry
from .kind import Kind

LAYERS, OURS = "layers", "ours"
_KEPT = 4  # archives of a name
_HOUR = 3600.0  # s
_ENDINGS = {True: "zst", False: "zlib"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """One archive with software.

    Attributes:
        name: its tier, "layers" for what foreign layers need, or "ours".
        digest: names its content; where it is unpacked on a host.
        archive: the file.
        size: of the file, in octets.
        space: what it takes on a disk, in octets.
    """

    name: str
    digest: str
    archive: Path
    size: int
    space: int

    @property
    def packing(self) -> str:
        """How it is compressed: "zstd" or "zlib"."""
        return "zstd" if self.archive.suffix == f".{_ENDINGS[True]}" else "zlib"


def build(
    emulators: frozenset[str],
    kind: Kind,
    cache: Path,
    say: Say,
    *,
    extra: Sequence[str] = (),
    zstd: bool | None = None,
) -> tuple[Part, ...]:
    """Return the parts for a node, packed into `cache` unless they are there; "ours" is the last.

    `emulators`: of its links ("simulaqron", "photonic", "ideal"), and SimulaQron's engines ("qutip", "projectq").
    `extra`: distributions of foreign layers. `zstd`: whether the host has libzstd; None: as this machine has it.
    Refused when something that a host needs is not installed here; Unavailable when there is no such binary for
    its kind, or no index to fetch it from.
    """
    zstd = zstandard.here() and zstd is not False
    cache.mkdir(parents=True, exist_ok=True)
    found = closure.tiers(emulators, kind.python)
    if extra:
        found[LAYERS] = closure.layers(extra, kind.python, found)
    fetched = wheels.fetch(_lacking(found, kind), kind, cache / "wheels", say)
    lists: dict[str, list[Entry]] = {tier: [] for tier in found}
    for tier, some in found.items():
        for name, dist in some.items():
            if name in fetched:
                lists[tier] += wheels.entries(fetched[name], emulators)
            elif dist is not None:
                lists[tier] += _entries(dist, kind, emulators)
    lists[OURS] = list(ours.entries(kind, emulators))
    return tuple(pack(name, entries, kind, cache, say, zstd=zstd) for name, entries in lists.items())


def _lacking(found: Mapping[str, Mapping[str, Distribution | None]], kind: Kind) -> list[tuple[str, str]]:
    """Return (name, version) of what is not installed here in a form that such a host can use."""
    every = [(name, dist) for some in found.values() for name, dist in some.items()]
    return [
        (name, dist.version if dist else "")
        for name, dist in every
        if dist is None or not (ours.editable(dist) or installed.usable(dist, kind))
    ]


def _entries(dist: Distribution, kind: Kind, emulators: Collection[str]) -> Iterator[Entry]:
    return ours.foreign(dist, kind) if ours.editable(dist) else installed.entries(dist, kind, emulators)


def pack(name: str, entries: Sequence[Entry], kind: Kind, cache: Path, say: Say, *, zstd: bool) -> Part:
    """Return the archive of these files, packed into `cache` unless it is there."""
    digest, ending = archive.name(entries, str(kind)), _ENDINGS[zstd]
    start = f"{name}-{digest}"
    there = next(cache.glob(f"{start}-*.{ending}"), None)
    if there is None:
        say(f"packing {name}: {len(entries)} files")
        there = archive.write(entries, cache, start, ending, zstd=zstd)
        _tidy(cache, name, keep=there)
    there.touch()  # what was used last is kept longest
    return Part(name, digest, there, there.stat().st_size, int(there.stem.rpartition("-")[2]))


def _tidy(cache: Path, name: str, keep: Path) -> None:
    """Remove all but the newest archives of a name, and what commands that were killed have left."""
    times = _times(cache.glob(f"{name}-*-*.*"))
    old = sorted(times, key=lambda file: times[file], reverse=True)[_KEPT:]
    left = [file for file, time in _times(cache.glob(f".{name}-*")).items() if time < keep.stat().st_mtime - _HOUR]
    for file in {*old, *left} - {keep}:
        file.unlink(missing_ok=True)


def _times(files: Iterator[Path]) -> Mapping[Path, float]:
    times = {}
    for file in files:
        try:
            times[file] = file.stat().st_mtime
        except FileNotFoundError:  # another command tidies too
            continue
    return times
