"""A lab's folder in the temp directory: the claim on a subnet, the record of what is up, the controller's home.

qkdbus-lab.<number>/     0700; making it is the claim on subnet <number>
  lab.json               what `python -m tests.hosts` needs to operate a lab that another process made
  home/                  the controller's: its ~ (also for ssh, which asks passwd and not $HOME)
  passwd                 what the controller sees as /etc/passwd
  disks/                 (in the lab's own mounts only) the hosts' disks
  <host>.log             what a host said while it was switched on
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .net import SUBNETS, Host

_NAME = "qkdbus-lab."


@dataclass
class Record:
    """What is up. `keeper` is 0 until there is one."""

    owner: int
    keeper: int = 0
    stay: bool = False
    known: bool = True
    hosts: list[Host] = field(default_factory=list)
    pythons: dict[str, str] = field(default_factory=dict)
    """Host -> folder of its Python, "" for none."""
    disks_mb: dict[str, int] = field(default_factory=dict)
    off: list[str] = field(default_factory=list)
    """Hosts that are not switched on at first."""
    apart: list[tuple[str, str]] = field(default_factory=list)
    """Pairs that do not hear each other."""
    host_keys: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """The folder of one lab."""

    path: Path

    @classmethod
    def claim(cls) -> Folder:
        """A new folder, and with it a subnet that no other lab has."""
        first = random.randrange(SUBNETS)
        for number in range(first, first + SUBNETS):
            folder = cls(Path(tempfile.gettempdir(), f"{_NAME}{number % SUBNETS}"))
            try:
                folder.path.mkdir(mode=0o700)
            except FileExistsError:
                continue
            folder._furnish()
            return folder
        raise RuntimeError(f"{SUBNETS} labs in {tempfile.gettempdir()} already: python -m tests.hosts clean")

    @property
    def number(self) -> int:
        """The number of its subnet."""
        return int(self.path.name.removeprefix(_NAME))

    @property
    def disks(self) -> Path:
        """Where the disks are, in the lab's own mounts."""
        return self.path / "disks"

    @property
    def home(self) -> Path:
        """The controller's home."""
        return self.path / "home"

    def _furnish(self) -> None:
        self.disks.mkdir()
        (self.home / ".ssh").mkdir(parents=True, mode=0o700)
        lines = Path("/etc/passwd").read_text().splitlines()
        lines = [line for line in lines if not line.startswith("root:")]
        (self.path / "passwd").write_text("\n".join([f"root:x:0:0:root:{self.home}:/bin/sh", *lines]) + "\n")

    def save(self, record: Record) -> None:
        """Keep the record, and let the controller know the hosts' keys (when it is to know them)."""
        (self.path / "lab.json.new").write_text(json.dumps(asdict(record), indent=1))
        (self.path / "lab.json.new").replace(self.path / "lab.json")
        keys = [f"{host.address},{host.name} {record.host_keys.get(host.name)}\n" for host in record.hosts]
        if record.known and len(record.host_keys) == len(record.hosts):
            (self.home / ".ssh/known_hosts").write_text("".join(keys))

    def load(self) -> Record:
        """The record; FileNotFoundError when the lab has not come that far."""
        data = json.loads((self.path / "lab.json").read_text())
        hosts = [Host(**host) for host in data.pop("hosts")]
        apart = [(one, other) for one, other in data.pop("apart")]
        return Record(hosts=hosts, apart=apart, **data)

    def is_up(self) -> bool:
        """Whether its keeper lives. (The disks are mounted in the keeper's mounts, and in no others.)"""
        try:
            disks = Path(f"/proc/{self.load().keeper}/root{self.disks}")
            return disks.stat().st_dev != self.path.stat().st_dev
        except FileNotFoundError:
            return False

    def remove(self) -> None:
        """Remove it all."""
        shutil.rmtree(self.path, ignore_errors=True)


def folders() -> Iterable[Folder]:
    """Those of all labs of this machine, up or not."""
    found = Path(tempfile.gettempdir()).glob(f"{_NAME}*")
    return [Folder(path) for path in sorted(found) if path.name.removeprefix(_NAME).isdecimal()]


def is_abandoned(folder: Folder) -> bool:
    """Whether a lab is down and its owner is gone too."""
    try:
        owner = folder.load().owner
    except FileNotFoundError:
        owner = 0  # died between the claim and the first record, or is there right now
    return not folder.is_up() and not os.path.exists(f"/proc/{owner}")
