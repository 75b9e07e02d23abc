"""Machines for a network's nodes, made by OSM: begun, waited for, found again after an interruption."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from qkdbus.errors import Failed, Refused, Unavailable

from . import descriptors
from .made import Book, Made, Service
from .order import Key, Order
from .port import Operation, Port, Vim, Wish
from .remove import Remember, Say, end, trim
from .waiting import Pace, Wait

_LAG = 60.0  # s that addresses may appear after OSM says that all is complete


@dataclass(frozen=True)
class Machines:
    """Machines that are up, as far as OSM knows: their SSH may take a while yet.

    Attributes:
        addresses: node -> IP address.
        phases: what was done ("upload", "instantiation") -> how long it took, seconds; 0 when there was nothing to do.
        made: what there is at OSM.
        key: whom they let in.
        fresh: nodes whose machines were not there before: another machine may have had their addresses.
    """

    addresses: Mapping[str, str]
    phases: Mapping[str, float]
    made: Made
    key: Key
    fresh: frozenset[str] = frozenset()


def make(
    order: Order,
    network: str,
    nodes: Sequence[str],
    port: Port,
    say: Say,
    remember: Remember,
    made: Made | None = None,
    *,
    pace: Pace | None = None,
    token: Callable[[], str] = lambda: secrets.token_hex(4),
) -> Machines:
    """Return a machine for each node: those of `made` as they are, the others made now; remove what nobody wants.

    `remember` gets what there is at OSM at each change, even before it: hand it in as `made` to go on after an
    interruption. A service that failed is removed and made anew.

    Refused when OSM does not know something in the order or does not allow it; Failed with OSM's words when machines
    cannot be made; Unavailable when they are not there in time: call again to wait on.
    """
    key = order.key()
    for node in order.vim_accounts:
        if node not in nodes:
            raise Refused(f"a VIM account is given for {node!r}, which is no node of {network}: {', '.join(nodes)}")
    port.greet()
    return _Making(order, network, key, port, say, Book(order, made or Made(), remember), pace or Pace()).run(
        nodes, token
    )


class _Making:
    def __init__(self, order: Order, network: str, key: Key, port: Port, say: Say, book: Book, pace: Pace) -> None:
        self._order, self._network, self._key = order, network, key
        self._port, self._say, self._book, self._pace = port, say, book, pace

    def run(self, nodes: Sequence[str], token: Callable[[], str]) -> Machines:
        for service in self._book.services:
            if any(node in nodes for node in service.nodes):
                self._find_again(service)
        trim(self._book, nodes, self._port, self._say, self._pace)
        missing = [node for node in nodes if not any(node in each.nodes for each in self._book.services)]
        began = uploaded = self._pace.clock()
        if missing:
            vims = self._vims(missing)
            service = self._describe(f"qkdbus_{self._network}_{token()}", missing)
            uploaded = self._pace.clock()
            self._begin(service, vims)
        fresh = frozenset(node for each in self._book.services if not each.ready for node in each.nodes)
        self._wait()
        addresses = self._addresses(nodes)
        instantiation = self._pace.clock() - uploaded if fresh else 0.0
        phases = {"upload": uploaded - began, "instantiation": instantiation}
        return Machines(addresses, phases, self._book.made, self._key, fresh)

    def _find_again(self, service: Service) -> None:
        """Look at a service of an earlier call: go on with it, or clear it away when it failed, went or never began."""
        instance = self._port.instance(service.ns) if service.ns else self._port.named(service.name)
        if instance:
            service = self._book.put(service, ns=instance.id)
            operation = None if service.ready else self._operation(service)
            if not (operation and operation.bad):
                return
            self._say(f"network service {service.name} had failed ({operation.detail or operation.state}): made anew")
        elif service.ns:
            self._say(f"network service {service.name} is gone from OSM: machines for {_list(service.nodes)} anew")
        end(service, self._book, self._port, self._say, self._pace)

    def _vims(self, nodes: Sequence[str]) -> Mapping[str, Vim]:
        """Return where each node goes. Refused when OSM has no such VIM account, Unavailable when it cannot be used."""
        there = self._port.vims()
        known = {vim.id: vim for vim in there} | {vim.name: vim for vim in there}
        for node in nodes:
            name = self._order.vim_of(node)
            if name not in known:
                names = _list(sorted(vim.name for vim in there)) or "none"
                raise Refused(f"OSM has no VIM account {name!r} (for {node}); it has {names}")
            if known[name].state != "ENABLED":
                why = f": {known[name].detail}" if known[name].detail else ""
                raise Unavailable(
                    f"VIM account {name!r} is {known[name].state or 'in no known state'}{why}; see to it in OSM"
                )
        return {node: known[self._order.vim_of(node)] for node in nodes}

    def _package(self) -> str:
        """Return the descriptor's id of the machines ordered; bring the package in when OSM has none like it."""
        package = descriptors.package(self._order)
        if not self._port.vnfd(package.descriptor):
            self._say(f"VNF package {package.descriptor}: uploading ({self._order.image}, {self._order.cpus} CPUs)")
            self._book.own(package.descriptor, "")  # from here on it may be there, even if we never hear of it
            try:
                found = self._port.upload(package.content, package.file_name, package.descriptor)
            except Refused:
                self._book.disown(package.descriptor)
                if not self._port.vnfd(package.descriptor):
                    raise
                return package.descriptor  # somebody else was quicker: it is theirs
            self._book.own(package.descriptor, found)
        return package.descriptor

    def _describe(self, name: str, nodes: Sequence[str]) -> Service:
        machine = self._package()
        text = descriptors.service(self._order, name, machine, nodes)
        service = self._book.put(Service(name, tuple(nodes), machine))  # from here on there may be something to remove
        return self._book.put(service, nsd=self._port.create_nsd(name, text))

    def _begin(self, service: Service, vims: Mapping[str, Vim]) -> None:
        first = vims[service.nodes[0]]
        self._say(f"network service {service.name}: OSM makes machines for {_list(service.nodes)}")
        wish = Wish(
            service.name,
            str(service.nsd),
            first.id,
            self._key.public,
            {node: vims[node].id for node in service.nodes if vims[node].id != first.id},
            {node: descriptors.hostname(node) for node in service.nodes},
        )
        ns, op = self._port.instantiate(wish)
        self._book.put(service, ns=ns, op=op)

    def _wait(self) -> None:
        """Wait until every service is complete."""
        wait = Wait(self._pace, self._order.timeout)
        said: dict[str, str] = {}
        while pending := [each for each in self._book.services if not each.ready]:
            for service in pending:
                operation = wait.ask(self._operation, service)
                self._judge(service, operation, said)
            if all(each.ready for each in self._book.services):
                break
            if wait.over:
                names = _list([node for each in pending for node in each.nodes])
                raise Unavailable(
                    f"OSM has not finished the machines of {names} after {self._order.timeout:g} s; "
                    "run deploy again to wait on, or destroy to remove them"
                )
            wait.pause()

    def _judge(self, service: Service, operation: Operation | None, said: dict[str, str]) -> None:
        if operation is None:
            return
        if operation.good:
            if operation.state != "COMPLETED":
                self._say(f"network service {service.name}: {operation.state}: {operation.detail}")
            self._book.put(service, ready=True)
        elif operation.bad:
            raise Failed(
                f"OSM could not make the machines of {_list(service.nodes)} ({operation.state}): "
                f"{operation.detail or 'it does not say why'} (network service {service.name}, operation "
                f"{operation.id}); mend the cause and run deploy again, which makes them anew, or destroy"
            )
        elif operation.stage and said.get(service.name) != operation.stage:
            said[service.name] = operation.stage
            self._say(f"network service {service.name}: {operation.stage}")

    def _operation(self, service: Service) -> Operation | None:
        """Return the operation that makes a service; Failed when the service is gone."""
        if service.op and (found := self._port.operation(service.op)):
            return found
        making = [each for each in self._port.operations(str(service.ns)) if each.kind in ("instantiate", "")]
        if making:
            self._book.put(service, op=making[-1].id)
            return making[-1]
        if not self._port.instance(str(service.ns)):
            raise Failed(f"network service {service.name} was removed from OSM while it was made; run deploy again")
        return None

    def _addresses(self, nodes: Sequence[str]) -> dict[str, str]:
        wait = Wait(self._pace, _LAG)
        found: dict[str, str] = {}
        while True:
            for service in self._book.services:
                if any(node in nodes and node not in found for node in service.nodes):
                    machines = wait.ask(self._port.functions, str(service.ns)) or ()
                    found.update({each.node: each.address for each in machines if each.address})
            without = [node for node in nodes if node not in found]
            if not without:
                return {node: found[node] for node in nodes}
            if wait.over:
                raise Failed(
                    f"OSM tells no address of {_list(without)}, though it says that all is complete; see whether the "
                    "management network gives addresses (`osm vnf-list`)"
                )
            wait.pause()


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)
