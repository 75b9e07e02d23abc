"""Ansible inventories for the hosts of a lab, as users write them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from .disk import PASSWORD, USER
from .net import Host

Kind = Literal["key", "password", "figure7"]
PY_ENV = "/home/ubuntu/.local/lib/python3.10"
"""What the ancestor's inventories say of the hosts' Python; seldom true of a host of today."""


def inventory(
    hosts: Iterable[Host],
    kind: Kind,
    key: Path,
    nodes: Mapping[str, str] | None = None,
    user: str | None = None,
    variables: Mapping[str, Any] | None = None,
    each: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """An inventory of these hosts as data.

    kind: "key" (root by its key, the common part under `vars`), "password" (the user qkd and its password, likewise)
    or "figure7" (all of it repeated for each host, as in figure 7 of the ancestor's paper).
    nodes: host name -> name in the inventory; only these hosts. Without it: all, by their own names.
    variables: more for all hosts; each: more for one host, by the host's name.
    """
    names = {host.name: host.name for host in hosts} if nodes is None else dict(nodes)
    common: dict[str, Any]
    if kind == "key":
        common = {"ansible_user": user or "root", "ansible_ssh_private_key_file": str(key)}
    else:
        common = {"ansible_user": user or USER, "ansible_ssh_pass": PASSWORD}
    if kind == "figure7":
        common = {"ansible_connection": "ssh", **common, "py_env": PY_ENV}
    common |= variables or {}
    repeated = common if kind == "figure7" else {}
    entries = {
        names[host.name]: {"ansible_host": host.address, **repeated, **(each or {}).get(host.name, {})}
        for host in hosts
        if host.name in names
    }
    group: dict[str, Any] = {"hosts": entries}
    if kind != "figure7":
        group["vars"] = common
    return {"all": group}


def write(path: Path, content: Mapping[str, Any]) -> Path:
    """Write an inventory for its owner only: it may hold passwords."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        yaml.safe_dump(dict(content), file, sort_keys=False)
    return path
