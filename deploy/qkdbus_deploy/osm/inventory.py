"""The Ansible inventory of machines that OSM made."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from .machines import Machines
from .order import Order


def to_inventory(order: Order, machines: Machines, known_hosts: Path | None = None) -> dict[str, Any]:
    """Return an inventory, as its YAML file would read.

    With `known_hosts`, a file of this deployment's own, host keys are taken at first sight and checked from then on:
    a new machine's is unknown to anybody, and at an address used before, the user's own file would know another.
    """
    common: dict[str, Any] = {"ansible_connection": "ssh", "ansible_user": order.image_user}
    if machines.key.private:
        common["ansible_ssh_private_key_file"] = str(machines.key.private)
    if known_hosts:
        # The value of an ssh option is split at blanks again, hence the inner quotes.
        options = ["-o", "StrictHostKeyChecking=accept-new", "-o", f'UserKnownHostsFile="{known_hosts}"']
        common["ansible_ssh_common_args"] = shlex.join(options)
    hosts = {node: {"ansible_host": address} for node, address in machines.addresses.items()}
    return {"all": {"hosts": hosts, "vars": common}}
