"""The descriptors that OSM needs (SOL006): what a node's machine is (VNFD), and which nodes there are (NSD)."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from qkdbus.errors import Refused

from .order import Order

_MACHINE, _PORT, _NETWORK = "node", "mgmt-ext", "mgmtnet"
_HEADS = ("#cloud-config", "#!", "#include", "MIME", "Content-Type")
_ODD = re.compile(r"[,;()'\"]")  # what OSM does not allow in a member's name

# OSM renders this with Jinja and fails on a variable that is not there; a node's name comes as `hostname`.
CLOUD_INIT = """#cloud-config
{% if hostname is defined %}
hostname: {{ hostname }}
preserve_hostname: false
manage_etc_hosts: true
{% endif %}
"""


@dataclass(frozen=True)
class Package:
    """A VNF package, ready to be sent.

    Attributes:
        descriptor: the id within, which holds a digest: the same machine has the same id.
        content: a tar.gz file; equal orders give equal octets.
    """

    descriptor: str
    content: bytes

    @property
    def file_name(self) -> str:
        """What it is called on its way."""
        return f"{self.descriptor}.tar.gz"


def package(order: Order) -> Package:
    """Describe a node's machine. Refused when the order's cloud-init file is none."""
    cloud_init = _cloud_init(order)
    shape = json.dumps([_vnfd(order, "id"), cloud_init], sort_keys=True)
    name = f"qkdbus_node-{hashlib.sha256(shape.encode()).hexdigest()[:12]}"
    descriptor = yaml.safe_dump({"vnfd": _vnfd(order, name)}, sort_keys=False)
    return Package(name, _pack(name, {f"{name}_vnfd.yaml": descriptor, "cloud_init/cloud-config": cloud_init}))


def service(order: Order, name: str, machine: str, nodes: Sequence[str]) -> str:
    """Describe a network service (YAML): one machine `machine` (a VNFD's id) a node, all in one management network.

    Refused when OSM cannot call a machine as a node is called.
    """
    for node in nodes:
        if _ODD.search(node):
            raise Refused(f"OSM knows no machine called {node!r}: none of , ; ( ) ' \" may be in a node's name")
    network: dict[str, Any] = {"id": _NETWORK, "mgmt-network": True}
    if order.management_network:
        network["vim-network-name"] = order.management_network
    nsd = {
        "id": name,
        "name": name,
        "designer": "qkdbus",
        "version": "1.0",
        "vnfd-id": [machine],
        "virtual-link-desc": [network],
        "df": [{"id": "default-df", "vnf-profile": [_profile(node, machine) for node in nodes]}],
    }
    return yaml.safe_dump({"nsd": {"nsd": [nsd]}}, sort_keys=False)


def hostname(node: str) -> str:
    """Return what a node's machine may call itself: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", node).strip("-").lower() or "node"


def _profile(node: str, machine: str) -> dict[str, Any]:
    end = {"constituent-base-element-id": node, "constituent-cpd-id": _PORT}
    link = {"virtual-link-profile-id": _NETWORK, "constituent-cpd-id": [end]}
    return {"id": node, "vnfd-id": machine, "virtual-link-connectivity": [link]}


def _vnfd(order: Order, name: str) -> dict[str, Any]:
    card = {"name": "eth0", "position": 1, "virtual-interface": {"type": "PARAVIRT"}}
    level = {"vdu-id": _MACHINE, "number-of-instances": 1}
    return {
        "id": name,
        "product-name": name,
        "provider": "qkdbus",
        "version": "1.0",
        "mgmt-cp": _PORT,  # without it OSM gives the machine neither the key nor an address that it tells us
        "df": [
            {
                "id": "default-df",
                "instantiation-level": [{"id": "default-instantiation-level", "vdu-level": [level]}],
                "vdu-profile": [{"id": _MACHINE, "min-number-of-instances": 1, "max-number-of-instances": 1}],
            }
        ],
        "vdu": [
            {
                "id": _MACHINE,
                "name": _MACHINE,
                "cloud-init-file": "cloud-config",
                "sw-image-desc": "image",
                "virtual-compute-desc": "compute",
                "virtual-storage-desc": ["storage"],
                "int-cpd": [{"id": "eth0-int", "virtual-network-interface-requirement": [card]}],
            }
        ],
        "ext-cpd": [{"id": _PORT, "int-cpd": {"vdu-id": _MACHINE, "cpd": "eth0-int"}}],
        "sw-image-desc": [{"id": "image", "name": order.image, "image": order.image}],
        "virtual-compute-desc": [
            {
                "id": "compute",
                "virtual-cpu": {"num-virtual-cpu": order.cpus},
                "virtual-memory": {"size": float(order.memory_gb)},
            }
        ],
        "virtual-storage-desc": [{"id": "storage", "size-of-storage": order.storage_gb}],
    }


def _cloud_init(order: Order) -> str:
    if order.cloud_init is None:
        return CLOUD_INIT
    try:
        text = order.cloud_init.expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise Refused(f"cloud-init file {order.cloud_init} cannot be read: {why}") from None
    if not text.startswith(_HEADS):
        raise Refused(f"cloud-init file {order.cloud_init}: its first line is neither `#cloud-config` nor `#!...`")
    return text


def _pack(folder: str, files: Mapping[str, str]) -> bytes:
    # MD5, as OSM's own package tool writes them: against accidents, not against anybody.
    sums = "".join(
        f"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()} {name}\n" for name, text in files.items()
    )
    packed = io.BytesIO()
    # No dates and no owners: the same order gives the same octets.
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name in (".", "cloud_init"):
            tar.addfile(_member(f"{folder}/{name}".removesuffix("/."), tarfile.DIRTYPE, 0o755))
        for name, text in {**files, "checksums.txt": sums}.items():
            member = _member(f"{folder}/{name}", tarfile.REGTYPE, 0o644, len(text.encode()))
            tar.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


def _member(name: str, kind: bytes, mode: int, size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size = kind, mode, size
    return member
