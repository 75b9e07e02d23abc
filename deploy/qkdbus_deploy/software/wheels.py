"""Distributions for another kind of host: its wheels, fetched with pip from the index that pip is configured for."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from qkdbus.errors import Unavailable

from .archive import Entry
from .kind import Kind
from .left_out import goes

_PATIENCE = 900.0  # s for pip


def fetch(wanted: Sequence[tuple[str, str]], kind: Kind, folder: Path, say: Callable[[str], None]) -> dict[str, Path]:
    """Return name -> wheel for each (name, version or ""); what is not in `folder` yet is fetched.

    Unavailable when pip cannot: there is no index, or it has no such wheel.
    """
    found = {name: _known(name, version, kind, folder) for name, version in wanted}
    lacking = [f"{name}=={version}" if version else name for name, version in wanted if found[name] is None]
    if lacking:
        say(f"fetching {len(lacking)} packages for {kind}")
        _download(lacking, kind, folder)
        found = {name: _known(name, version, kind, folder) for name, version in wanted}
    absent = [name for name, wheel in found.items() if wheel is None]
    if absent:
        raise Unavailable(f"pip found no wheel of {', '.join(absent)} for {kind}")
    return {name: wheel for name, wheel in found.items() if wheel is not None}


def entries(wheel: Path, emulators: Collection[str]) -> Iterator[Entry]:
    """Yield what a host needs of a wheel. Python files go as sources, for this Python cannot compile them."""
    with zipfile.ZipFile(wheel) as opened:
        record = next(name for name in opened.namelist() if name.endswith(".dist-info/RECORD"))
        rows = [row for row in csv.reader(io.StringIO(opened.read(record).decode())) if len(row) == 3]
    for name, digest, _ in rows:
        path = _place(name)
        if path and not name.endswith("/") and goes(path, emulators):
            yield Entry(path, digest, partial(_read, wheel, name))


def _place(name: str) -> str:
    """Return where a file of a wheel is installed; "" when that is outside of site-packages."""
    first, _, rest = name.partition("/")
    if not first.endswith(".data"):
        return name
    scheme, _, below = rest.partition("/")
    return below if scheme in ("purelib", "platlib") else ""


def _read(wheel: Path, name: str) -> bytes:
    with zipfile.ZipFile(wheel) as opened:
        return opened.read(name)


def _known(name: str, version: str, kind: Kind, folder: Path) -> Path | None:
    for wheel in sorted(folder.glob("*.whl")):
        try:
            project, number, _, tags = parse_wheel_filename(wheel.name)
        except InvalidWheelFilename:
            continue
        same = canonicalize_name(project) == canonicalize_name(name) and (not version or str(number) == version)
        if same and not tags.isdisjoint(kind.tags):
            return wheel
    return None


def _download(requirements: Sequence[str], kind: Kind, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tag = "cp" + kind.python.replace(".", "")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), "--implementation", "cp"]
    command += ["--python-version", kind.python, "--abi", tag, "--abi", "abi3", "--abi", "none"]
    command += [word for platform in kind.platforms for word in ("--platform", platform)]
    advice = (
        "needs an index that pip can reach; else deploy from a machine with that Python, "
        f"or install Python {Kind.here().python} on the hosts"
    )
    try:
        ran = subprocess.run([*command, *requirements], capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"fetching packages for {kind} took more than {_PATIENCE:.0f} s: it {advice}") from None
    if ran.returncode:
        said = [line for line in ran.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise Unavailable(f"pip could not fetch packages for {kind}: {said[-1]} (this {advice})")
