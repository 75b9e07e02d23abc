"""Machines that OSM makes as a target: made, waited for, then a fleet like any other; removed when it is destroyed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import yaml

from qkdbus.errors import Failed, QkdbusError, Unavailable
from qkdbus.network.model import Network

from .. import nodes, place
from ..fleet import copies, record
from ..fleet.hands import Hands
from ..fleet.host import Host
from ..fleet.options import Options
from ..fleet.record import Record
from ..locks import locked
from ..osm.choose import Way, choose
from ..osm.inventory import to_inventory
from ..osm.machines import Machines, make
from ..osm.made import Made
from ..osm.order import Order
from ..osm.port import Port
from ..osm.remove import unmake
from ..outcome import Deployed
from .fleet import Fleet

SSH_WITHIN = 300.0  # s from the moment that OSM calls a machine complete
TRY_EVERY = 2.0  # s


class Osm(Fleet):
    """A Driver for networks on machines that OSM makes.

    Beside the record lie `inventory.yaml`, `network.yaml` (with the addresses) and the machines' `known_hosts`.
    """

    def __init__(
        self,
        home: Path,
        order: Order,
        say: Callable[[str], None] = lambda text: None,
        options: Options | None = None,
        way: Way = "auto",
    ) -> None:
        super().__init__(home, say, None, options)
        self._order, self._way = order, way

    def deploy(self, network: Network, patience: float) -> Deployed:
        """Have machines made for all nodes, then deploy to them."""
        began = time.monotonic()
        folder = self._home / network.name
        with locked(folder), self._undone_when_new(folder):
            machines = self._machines(folder, network)
            addressed = _addressed(network, machines)
            self._inventory = self._write(folder, addressed, machines)
            self._forget_removed(folder, network)
        since = time.monotonic()
        self._await_ssh(self._inventory)
        waited = time.monotonic() - since
        done = super().deploy(addressed, patience)
        phases = {**machines.phases, "ssh": round(waited, 3), **done.phases}
        return replace(done, seconds=time.monotonic() - began, phases=phases)

    def destroy(self, network: str, node: str | None) -> None:
        """Remove nodes from machines that stay, and the machines that were made."""
        name = nodes.choose(self._home, network)
        folder = self._home / name
        if node is not None:
            super().destroy(name, node)
            return
        with locked(folder):  # the machines go with all that is on them
            known = record.read(folder)
            if known is not None and known.machines is not None:
                made = Made.read(known.machines["made"])
                with closing(self._port()) as port:
                    gone = unmake(self._order, made, port, self._say, lambda left: self._remember(folder, left))
                if gone.left:
                    raise Failed("not all that OSM made could be removed; destroy again:\n" + "\n".join(gone.left))
            for one in nodes.names(folder):
                copies.remove(folder, one)
            place.remove_network(folder)

    def _machines(self, folder: Path, network: Network) -> Machines:
        known = record.read(folder)
        before = Made.read(known.machines["made"]) if known is not None and known.machines is not None else None
        with closing(self._port()) as port:
            return make(
                self._order,
                network.name,
                network.names,
                port,
                self._say,
                lambda made: self._remember(folder, made),
                before,
            )

    def _forget_removed(self, folder: Path, network: Network) -> None:
        """Forget nodes whose machines were removed."""
        known = record.read(folder)
        assert known is not None
        gone = [name for name in known.seats if name not in network.names]
        for name in gone:
            copies.remove(folder, name)
        seats = {name: seat for name, seat in known.seats.items() if name not in gone}
        record.write(folder, replace(known, seats=seats))

    def _port(self) -> Port:
        return choose(self._order, self._say, self._way)

    def _remember(self, folder: Path, made: Made) -> None:
        known = record.read(folder) or Record(str(record.folder(folder) / "inventory.yaml"))
        record.write(folder, replace(known, machines={"made": made.plain(), "order": remembered(self._order)}))

    def _write(self, folder: Path, network: Network, machines: Machines) -> Path:
        ours = record.folder(folder)
        inventory = ours / "inventory.yaml"
        for node in machines.fresh & machines.addresses.keys():
            _forget_key(ours / "known_hosts", machines.addresses[node])
        said = to_inventory(self._order, machines, ours / "known_hosts")
        place.write(inventory, yaml.safe_dump(said, sort_keys=False))
        plain = network.model_dump(mode="json", exclude_unset=True)
        place.write(ours / "network.yaml", yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
        return inventory

    def _await_ssh(self, inventory: Path) -> None:
        """Wait until every machine lets us in: for OSM a machine is complete when it is switched on."""
        self._say("waiting for the machines to let us in")

        def wait(host: Host) -> None:
            ends = time.monotonic() + SSH_WITHIN
            while True:
                try:
                    host.run("true", patience=60.0)
                    return
                except Unavailable:
                    if time.monotonic() > ends:
                        raise
                    time.sleep(TRY_EVERY)

        with Hands(inventory, self._say, self._options) as hands:
            results = hands.each(hands.hosts.values(), wait)
        errors = [error for error in results.values() if isinstance(error, QkdbusError)]
        if len(errors) == len(results):
            raise errors[0]  # else: the others are deployed, and these are named then


def _forget_key(known_hosts: Path, address: str) -> None:
    """Forget the key of the machine that had this address before."""
    if known_hosts.exists():  # ssh may have hashed the addresses in there: its own tool finds them
        subprocess.run(["ssh-keygen", "-q", "-R", address, "-f", str(known_hosts)], capture_output=True, check=False)


def remembered(order: Order) -> dict[str, Any]:
    """Return what is kept of an order: all but the password."""
    kept = {field.name for field in fields(order)} - {"password"}
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(order).items()
        if name in kept and value is not None
    }


def recalled(known: Record) -> dict[str, Any] | None:
    """Return the fields of the order with which a network's machines were made; None when OSM made none."""
    if known.machines is None:
        return None
    paths = ("ca", "ssh_key", "private_key", "cloud_init")
    return {name: Path(value) if name in paths else value for name, value in known.machines["order"].items()}


def _addressed(network: Network, machines: Machines) -> Network:
    """Return the network with the addresses that its machines have."""
    sites = tuple(node.model_copy(update={"node_ip": machines.addresses[node.node_name]}) for node in network.nodes)
    return network.model_copy(update={"nodes": sites}).noticing(network.notices)
