"""Other machines as a target: the hosts of an Ansible inventory, this machine among them if it is in there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from qkdbus.errors import Failed, QkdbusError, Refused, Unavailable
from qkdbus.network.model import Network
from qkdbus.network.photonic import Eavesdropper

from .. import attack, nodes, parcel, place
from ..attack import Channel
from ..bundles import File
from ..certs import APPS_FILE, DOORS
from ..fleet import copies, following, merging, record
from ..fleet.agents import Agent
from ..fleet.deployment import Deployment
from ..fleet.hands import Hands
from ..fleet.host import Host
from ..fleet.options import Options
from ..fleet.record import Record, Seat
from ..locks import locked
from ..logbook import Line, Wanted
from ..outcome import Deployed
from ..rekeying import BETWEEN_WAVES, Files, Rekeying
from ..status import NetworkStatus
from ..watching.sample import Sample

ANSWER_WITHIN = 60.0  # s for a verb that waits for nothing
POLL = 20.0  # s that a host waits for a new line of a log
Say = Callable[[str], None]


class Fleet:
    """A Driver for networks on hosts; what is known of them is below `home` on this machine.

    `inventory` is asked for at the first deploy, and may be given again when it has moved. `forget`: `destroy` forgets
    nodes on hosts that cannot be reached; they stay there.
    """

    def __init__(
        self,
        home: Path,
        say: Say = lambda text: None,
        inventory: Path | None = None,
        options: Options | None = None,
        *,
        forget: bool = False,
    ) -> None:
        self._home, self._say, self._inventory, self._options = home, say, inventory, options or Options()
        self._forget = forget

    def deploy(self, network: Network, patience: float) -> Deployed:
        """Place what differs on each host, start what does not run as placed, wait until all is ready."""
        folder = self._home / network.name
        with locked(folder), self._undone_when_new(folder):
            known = record.read(folder)
            if known is None and nodes.names(folder):
                raise Refused(f"{network.name} runs on this machine; destroy it first, or deploy with another --name")
            known = known or Record("")
            inventory = self._inventory or Path(known.inventory)
            known = replace(known, inventory=str(inventory.absolute()))
            with Hands(inventory, self._say, self._options) as hands:
                return Deployment(self._home, network, known, hands, self._say).run(patience)

    def start(self, network: str, node: str | None, layer: str | None, patience: float) -> Deployed:
        """Start what was placed, and wait until it is ready."""
        request = {"op": "start", "node": node, "layer": layer, "patience": patience}
        _, known = self._known(network)
        results = self._each(network, node, request, patience + ANSWER_WITHIN)
        return merging.deployed(network, known, results, "start")

    def stop(self, network: str, node: str | None, layer: str | None) -> None:
        """Stop processes; files and keys stay."""
        _all_well(self._each(network, node, {"op": "stop", "node": node, "layer": layer}))

    def destroy(self, network: str, node: str | None) -> None:
        """Stop, wipe keys, and leave no process, socket or file behind; here neither."""
        folder, known = self._known(network)
        if node is not None:
            self._node(network, node)
        with locked(folder):
            everywhere = {name: s for name, s in {**known.leaving, **known.seats}.items() if node in (None, name)}
            asked = {name: seat for name, seat in everywhere.items() if seat.software}  # the others never came there
            results = self._ask(network, asked, {"op": "destroy", "node": node}) if asked else {}
            left = {name for name, seat in asked.items() if isinstance(results[seat.host], QkdbusError)}
            if self._forget:
                for error in [results.pop(asked[name].host) for name in left if asked[name].host in results]:
                    self._say(f"forgotten: {error}")
                left = set()
            for name in set(everywhere) - left:
                copies.remove(folder, name)
            stay = [name for name in known.seats if name in left or name not in everywhere]
            leave = [name for name in known.leaving if name in left or name not in everywhere]
            known = replace(
                known,
                seats={name: known.seats[name] for name in stay},
                leaving={name: known.leaving[name] for name in leave},
            )
            record.write(folder, known)
            if not stay and not leave and known.machines is None:
                place.remove_network(folder)
        _all_well(results)

    def status(self, network: str) -> NetworkStatus:
        """Say what runs and how it does; hosts that cannot be reached are said to be so."""
        folder, known = self._known(network)
        results = self._each(network, None, {"op": "status"})
        return merging.status(network, folder, known, results)

    def samples(self, network: str) -> Iterator[Sample]:
        """Yield samples of all hosts, each taken when it is asked for; the connections stay."""
        folder, known = self._known(network)
        with self._hands(network) as (hands, hosts):
            while True:
                began = time.monotonic()
                results = self._ask_by(hands, hosts, network, known.seats, {"op": "sample"}, ANSWER_WITHIN)
                yield merging.sample(network, folder, known, results, time.monotonic() - began)

    def logs(self, network: str, wanted: Wanted) -> list[Line]:
        """Return the last lines, or kept events, in time order."""
        count, results = wanted.count, self._each(network, wanted.node, {"op": "logs", **asdict(wanted)})
        _any_well(results, self._say)
        lines = [line for said in results.values() if not isinstance(said, QkdbusError) for line in parcel.lines(said)]
        return sorted(lines, key=lambda line: line.at)[-count:] if count else []

    def follow(self, network: str, wanted: Wanted) -> Iterator[Line]:
        """Yield lines as they come; hosts that are lost are named, the others go on."""
        _, known = self._known(network)
        node = wanted.node
        seats = known.seats if node is None else {node: known.seats[self._node(network, node)]}
        by_host = {seat.host: seat for seat in seats.values()}
        request = {"op": "follow", "network": network, "patience": POLL, **asdict(wanted)}
        with self._hands(network) as (hands, hosts):
            agents = [self._agent(seat, hosts) for seat in by_host.values()]
            yield from following.merged(hands, agents, request, POLL + ANSWER_WITHIN, self._say)

    def swap(self, network: str, node: str, layer: str, command: Sequence[str] | None, patience: float) -> Deployed:
        """Run another program as a layer of a node, or (None) its own again; the rest of the node keeps running.

        The command is looked for on the node's host.
        """
        request = {"op": "swap", "node": node, "layer": layer, "command": command, "patience": patience}
        return parcel.deployed(self._one(network, node, request))

    def attack(self, network: str, one: str, other: str, eve: Eavesdropper | None) -> Channel:
        """Put an eavesdropper into the channel between two nodes; None asks who is there."""
        folder, _ = self._known(network)
        link, between = attack.find(folder, one, other)
        said = None if eve is None else eve.model_dump(mode="json")
        there = self._one(network, between[0], {"op": "attack", "one": one, "other": other, "eve": said})
        return Channel(network, between, link, Eavesdropper.model_validate(there), link.eavesdropper)

    def admitted(self, network: str, node: str) -> None:
        """Send a node its files of applications, which have changed on this machine."""
        folder, _ = self._known(network)
        there = [path for path in (DOORS, APPS_FILE) if (folder / node / path).is_file()]
        files = {path: (folder / node / path).read_text() for path in there}
        self._one(network, node, {"op": "admit", "node": node, "files": files})

    def rekey(self, network: str, make: Callable[[Path], Rekeying]) -> Rekeying:
        """Bring files with keys to nodes that run, wave by wave; `make` is given the network's folder, locked.

        What did not come to a host is kept here, and the next deploy brings it there.
        """
        folder, known = self._known(network)
        with locked(folder), self._hands(network) as (hands, hosts):
            change = make(folder)
            troubles: dict[str, Any] = {}
            for number, wave in enumerate(change.waves):
                if number:
                    time.sleep(BETWEEN_WAVES)
                results = self._deliver(folder.name, hands, hosts, known, _texts(wave))
                failed = {host: error for host, error in results.items() if isinstance(error, QkdbusError)}
                if failed and change.whole and not number:
                    reached = {node: wave[node] for node in wave if known.seats[node].host not in failed}
                    before = {node: _before(folder / node, files) for node, files in reached.items()}
                    self._deliver(folder.name, hands, hosts, known, before)
                    _all_well(results)
                for node, files in wave.items():
                    place.write_all(folder / node, files)
                troubles |= failed
            for path, text in change.here.items():
                place.supersede(folder / path, text)
        for error in troubles.values():
            self._say(f"{error}; deploy again when it can be reached: that brings it there")
        _all_well(troubles)
        return change

    def _deliver(
        self,
        network: str,
        hands: Hands,
        hosts: Mapping[str, Host],
        known: Record,
        files: Mapping[str, Mapping[str, str]],
    ) -> dict[str, Any]:
        """Send nodes those files (path -> text); return host -> None or an error."""
        seats = {node: known.seats[node] for node in files}
        by_host = {seat.host: [node for node in seats if seats[node].host == seat.host] for seat in seats.values()}

        def deliver(host: Host) -> None:
            for node in by_host[host.name]:
                request = {"op": "admit", "network": network, "node": node, "files": files[node]}
                self._agent(seats[node], hosts).ask(request, ANSWER_WITHIN)

        missing = {name: _not_there(name) for name in by_host if name not in hosts}
        return {**missing, **hands.each([hosts[name] for name in by_host if name in hosts], deliver)}

    def _known(self, network: str) -> tuple[Path, Record]:
        folder = self._home / nodes.choose(self._home, network)
        known = record.read(folder)
        if known is None:
            raise Refused(f"{folder}: this network is not on other hosts")
        return folder, known

    def _node(self, network: str, node: str) -> str:
        folder, known = self._known(network)
        if node not in known.seats:
            raise Refused(nodes.unknown("node", node, sorted(known.seats), folder.name))
        return node

    def _one(self, network: str, node: str, request: Mapping[str, Any]) -> Any:
        """Ask the host of one node."""
        _, known = self._known(network)
        seat = known.seats[self._node(network, node)]
        with self._hands(network) as (_, hosts):
            return self._agent(seat, hosts).ask({**request, "network": network}, ANSWER_WITHIN)

    def _each(
        self, network: str, node: str | None, request: Mapping[str, Any], patience: float = ANSWER_WITHIN
    ) -> dict[str, Any]:
        """Ask the hosts of all nodes, or of one, at once; return host -> answer or error."""
        _, known = self._known(network)
        seats = known.seats if node is None else {node: known.seats[self._node(network, node)]}
        return self._ask(network, seats, request, patience)

    def _ask(
        self, network: str, seats: Mapping[str, Seat], request: Mapping[str, Any], patience: float = ANSWER_WITHIN
    ) -> dict[str, Any]:
        with self._hands(network) as (hands, hosts):
            return self._ask_by(hands, hosts, network, seats, request, patience)

    def _ask_by(
        self,
        hands: Hands,
        hosts: Mapping[str, Host],
        network: str,
        seats: Mapping[str, Seat],
        request: Mapping[str, Any],
        patience: float,
    ) -> dict[str, Any]:
        by_host = {seat.host: seat for seat in seats.values()}

        def ask(host: Host) -> Any:
            return self._agent(by_host[host.name], hosts).ask({**request, "network": network}, patience)

        missing = {name: _not_there(name) for name in by_host if name not in hosts}
        return {**missing, **hands.each([hosts[name] for name in by_host if name in hosts], ask)}

    @staticmethod
    def _agent(seat: Seat, hosts: Mapping[str, Host]) -> Agent:
        if seat.host not in hosts:
            raise _not_there(seat.host)
        if not seat.software:
            raise Unavailable(f"{seat.host}: nothing was deployed there yet; deploy again")
        return Agent(hosts[seat.host], seat.home, seat.python, seat.software)

    @contextmanager
    def _hands(self, network: str) -> Iterator[tuple[Hands, dict[str, Host]]]:
        _, known = self._known(network)
        with Hands(self._inventory or Path(known.inventory), self._say, self._options) as hands:
            yield hands, hands.hosts

    @contextmanager
    def _undone_when_new(self, folder: Path) -> Iterator[None]:
        """Leave no folder behind of a first deploy that came to nothing."""
        try:
            yield
        except BaseException:
            if folder.is_dir() and not any(folder.iterdir()):
                place.remove_if_empty(folder)
            raise


def _texts(wave: Files) -> dict[str, dict[str, str]]:
    return {node: {file.path: file.text for file in files} for node, files in wave.items()}


def _before(node: Path, files: Sequence[File]) -> dict[str, str]:
    """Return what those files of a node's copy hold; an empty one is as good as none."""
    return {file.path: (node / file.path).read_text() if (node / file.path).is_file() else "{}" for file in files}


def _not_there(host: str) -> Unavailable:
    return Unavailable(f"{host}: no longer in the inventory; put it back, or deploy with another inventory")


def _any_well(results: Mapping[str, Any], say: Say) -> None:
    """Tell what failed; raise it when that is everything."""
    errors = [error for error in results.values() if isinstance(error, QkdbusError)]
    if errors and len(errors) == len(results):
        _all_well(results)
    for error in errors:
        say(str(error))


def _all_well(results: Mapping[str, Any]) -> None:
    """Raise what failed, of all hosts."""
    errors = [error for error in results.values() if isinstance(error, QkdbusError)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise Failed("\n".join(str(error) for error in errors))
