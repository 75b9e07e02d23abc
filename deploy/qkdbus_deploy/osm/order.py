"""What is ordered from OSM: where it is, who asks, and which machines are wanted."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qkdbus.errors import Refused

PORT = 9999  # where OSM's northbound interface answers unless an ingress stands before it
_HOSTNAME = re.compile(
    r"(?:(https?)://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?::(\d{1,5}))?(/.*)?"
)
_KEY = re.compile(r"((?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+) ([A-Za-z0-9+/]+=*)(?: .*)?")
_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|\[::1\]")
_HOW = "it is HOST, HOST:PORT or a URL, as in osm.example:9999 or https://nbi.osm.example/osm"


@dataclass(frozen=True)
class Place:
    """Where OSM answers."""

    scheme: str
    host: str  # an IPv6 address stands in brackets
    port: int
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"


@dataclass(frozen=True)
class Key:
    """The key that OSM puts into the machines.

    Attributes:
        public: the line of the public key file.
        private: the file of its private half; None when an agent has to hold it.
    """

    public: str
    private: Path | None


@dataclass(frozen=True)
class Order:
    """An order. Defaults are those of osmclient; the first ten lines are enough to remove what was made.

    Attributes:
        hostname: HOST (port 9999), HOST:PORT, or a URL (its own port; path /osm unless it names another).
        ca: certificates (PEM) to check OSM's with; None means the system's.
        insecure: take any certificate, and plain HTTP.
        vim_account: the name of a VIM account of OSM, where machines are made.
        vim_accounts: node -> another VIM account, for some nodes.
        ssh_key: a public key file; machines let its owner in.
        private_key: its private half; None means `ssh_key` without `.pub`.
        image: an image's name as that VIM knows it; Python 3.11 or newer in it, and cloud-init.
        image_user: whom cloud-init gives the key in that image.
        management_network: a network's name as that VIM knows it, which this machine reaches; None leaves it to OSM.
        cloud_init: a file to use in place of our own cloud-init.
        timeout: how long machines may take to be made, seconds.
    """

    hostname: str
    user: str = "admin"
    password: str = field(default="admin", repr=False)
    project: str = "admin"
    ca: Path | None = None
    insecure: bool = False
    vim_account: str | None = None
    vim_accounts: Mapping[str, str] = field(default_factory=dict)
    ssh_key: Path | None = None
    private_key: Path | None = None
    image: str = "ubuntu24.04"
    image_user: str = "ubuntu"
    cpus: int = 2
    memory_gb: float = 4.0
    storage_gb: int = 20
    management_network: str | None = None
    cloud_init: Path | None = None
    timeout: float = 1800.0

    def __post_init__(self) -> None:
        place = self.place
        if place.scheme == "http" and not self.insecure and not _LOOPBACK.fullmatch(place.host):
            raise Refused(
                f"OSM at {place}: the password would travel in clear; use https, or say that insecure is fine"
            )
        if self.ca and self.insecure:
            raise Refused("OSM's certificate is either checked with a CA file or not at all (insecure): choose one")
        if self.ca and not self.ca.is_file():
            raise Refused(f"CA file for OSM: {self.ca} is no file")
        for what, value in {"CPUs": self.cpus, "memory": self.memory_gb, "storage": self.storage_gb}.items():
            if value <= 0:
                raise Refused(f"a machine's {what} must be more than 0, not {value}")
        if self.timeout <= 0:
            raise Refused(f"the time that machines may take must be more than 0 s, not {self.timeout}")
        if not self.image or not self.image_user:
            raise Refused("a machine needs an image, and the image a user")

    @property
    def place(self) -> Place:
        """Return where OSM answers. Refused when the hostname is none."""
        if "@" in self.hostname:  # may hold a password: not repeated
            raise Refused("OSM's hostname holds an '@': user and password have options of their own")
        found = _HOSTNAME.fullmatch(self.hostname.strip())
        if not found or int(found[3] or PORT) not in range(1, 65536):
            raise Refused(f"{self.hostname!r} cannot be OSM's hostname: {_HOW}")
        scheme, host, port, path = found.groups()
        usual = {"http": 80, "https": 443, None: PORT}[scheme]
        return Place(scheme or "https", host, int(port or usual), (path or "").rstrip("/") or "/osm")

    def key(self) -> Key:
        """Read the public key file. Refused when there is none, or it is none."""
        if self.ssh_key is None:
            raise Refused("machines made by OSM need a public key to let you in: name one, as in ~/.ssh/id_ed25519.pub")
        file = self.ssh_key.expanduser()
        line = _public_line(file)
        private = self.private_key.expanduser() if self.private_key else file.with_name(file.name.removesuffix(".pub"))
        if private.is_file() and private != file:
            return Key(line, private.absolute())
        if self.private_key:
            raise Refused(f"private key {private}: no such file")
        return Key(line, None)

    def vim_of(self, node: str) -> str:
        """Return the name of the VIM account where a node's machine is made. Refused when there is none."""
        name = self.vim_accounts.get(node, self.vim_account)
        if not name:
            raise Refused(f"no VIM account for {node}: OSM has to know where to make machines (`osm vim-list`)")
        return name


def _public_line(file: Path) -> str:
    try:
        text = file.read_text()
    except FileNotFoundError:
        raise Refused(f"SSH key {file}: no such file; `ssh-keygen -t ed25519` makes a pair") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"SSH key {file} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    if "PRIVATE KEY" in text:
        raise Refused(f"SSH key {file} is a private key, which stays here; give the public one, {file.name}.pub")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) != 1 or not _is_public(lines[0]):
        raise Refused(f"SSH key {file}: not one public key in one line, as in `ssh-ed25519 AAAA... you@here`")
    return lines[0]


def _is_public(line: str) -> bool:
    found = _KEY.fullmatch(line)
    if not found:
        return False
    try:
        fields = _fields(base64.b64decode(found[2], validate=True))
    except binascii.Error:
        return False
    # The first field inside says the kind again, and the lengths add up: a line that was cut or mixed up shows.
    return len(fields) > 1 and fields[0] == found[1].encode()


def _fields(content: bytes) -> list[bytes]:
    """Split a key's octets into its fields, each behind its length; nothing when they do not add up."""
    fields = []
    while content:
        length = int.from_bytes(content[:4], "big")
        if len(content) < 4 + length:
            return []
        fields.append(content[4 : 4 + length])
        content = content[4 + length :]
    return fields
