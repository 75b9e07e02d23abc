"""A bare Python as the host, and parts small enough to be sent often."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from qkdbus_deploy.software.archive import Entry
from qkdbus_deploy.software.kind import Kind
from qkdbus_deploy.software.parts import Part, pack
from qkdbus_deploy.software.wire import command, stream

# What stands in for the agent: says what it was asked, where from it was imported, and runs what it is told.
MIRROR = """\
import json, os, sys
request = json.load(sys.stdin)
said = {"asked": request, "path": sys.path, "file": __file__, "umask": os.umask(0o077)}
if "run" in request:
    exec(request["run"], said)
    del said["__builtins__"]
print(json.dumps(said))
"""


@dataclass
class Host:
    """This machine, as a host that has Python and a folder, and nothing else."""

    python: str
    home: Path
    desk: Path  # where its shell is
    before: Callable[[], None] | None = None  # runs in its shell's process first
    sent: list[Path] = field(default_factory=list)

    def stream(self, send: Sequence[Part], use: Sequence[Part], request: Any, module: str = "mirror") -> bytes:
        """Return what goes to its stdin."""
        head = os.memfd_create("head")
        try:
            self.sent = stream(head, str(self.home), send, use, request, module=module)
            return b"".join(file.read_bytes() for file in self.sent)
        finally:
            os.close(head)

    def hear(self, octets: bytes) -> Any:
        """Give octets to the command; return the answer."""
        ran = subprocess.run(
            ["sh", "-c", command(self.python)],
            input=octets,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home)},
            cwd=self.desk,
            preexec_fn=self.before,
            timeout=250,
            check=False,
        )
        assert ran.stdout, ran.stderr.decode()
        return json.loads(ran.stdout)

    def ask(self, send: Sequence[Part], use: Sequence[Part], request: Any = None) -> Any:
        """Send parts and a request; return the answer."""
        return self.hear(self.stream(send, use, {} if request is None else request))

    @property
    def software(self) -> dict[str, list[str]]:
        """What it has: folder -> its files."""
        found = (self.home / "software").glob("*")
        return {
            folder.name: sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
            for folder in found
        }


@pytest.fixture(scope="session")
def bare_python() -> str:
    """Return a Python of this version that has none of our packages."""
    system = "/usr/bin/python3"
    ran = (
        subprocess.run(
            [system, "-c", "import sys; print('{}.{}'.format(*sys.version_info))"],
            capture_output=True,
            text=True,
            check=False,
        )
        if Path(system).exists()
        else None
    )
    if ran is not None and ran.stdout.strip() == Kind.here().python:
        return system
    return str(getattr(sys, "_base_executable", sys.executable))


@pytest.fixture
def host(bare_python: str, tmp_path: Path) -> Host:
    """Return a host whose home is not there yet."""
    desk = tmp_path / "desk"
    desk.mkdir()
    return Host(bare_python, tmp_path / "host" / "home", desk)


def entry(path: str, content: bytes, changed: int = 0) -> Entry:
    return Entry(path, sha256(content).hexdigest(), partial(bytes, content), changed)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Return an empty folder for archives."""
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


@pytest.fixture
def make(cache: Path) -> Callable[..., Part]:
    """Return what packs files (path -> content) as a part."""

    def make(name: str, files: dict[str, bytes], *, zstd: bool = True) -> Part:
        entries = [entry(path, content) for path, content in files.items()]
        return pack(name, entries, Kind.here(), cache, lambda _: None, zstd=zstd)

    return make


@pytest.fixture
def mirror(make: Callable[..., Part]) -> Part:
    """Return a part with a module that stands in for the agent."""
    return make("mirror", {"mirror.py": MIRROR.encode()})


@pytest.fixture
def big(make: Callable[..., Part]) -> Part:
    """Return a part with much in it: 3 MB that do not compress, a long text, an empty file, a folder in a folder."""
    noise = b"".join(sha256(number.to_bytes(4, "big")).digest() for number in range(100_000))
    return make("big", {"deep/er/noise.bin": noise, "text": b"qkd " * 1_000_000, "empty": b"", "deep/one": b"1"})
