"""Taking away what was made at OSM: that, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from qkdbus.errors import Failed, QkdbusError, Unauthorised, Unavailable

from .made import Book, Made, Service
from .order import Order
from .port import Operation, Port
from .waiting import Pace, Wait

Say = Callable[[str], None]
Remember = Callable[[Made], None]
PATIENCE = 900.0  # for one network service to end, seconds


@dataclass(frozen=True)
class Unmade:
    """What came of removing.

    Attributes:
        made: what is still there; nothing, if all is well.
        left: why, a sentence each.
    """

    made: Made
    left: tuple[str, ...] = ()


def unmake(
    order: Order, made: Made, port: Port, say: Say, remember: Remember = lambda made: None, *, pace: Pace | None = None
) -> Unmade:
    """Remove everything in `made`, go on past what cannot be, and say what that was; calling it again is harmless.

    Only the order's hostname, user, password and project matter. Refused when it names another OSM.
    Unauthorised when OSM does not let us in.
    """
    book = Book(order, made, remember)
    port.greet()  # a project that OSM does not know would look as if all were gone
    left = []
    for service in book.services:
        try:
            end(service, book, port, say, pace or Pace())
        except Unauthorised:
            raise
        except QkdbusError as error:
            left.append(f"network service {service.name} ({', '.join(service.nodes)}): {error}")
    for descriptor in list(book.packages):
        try:
            _drop_package(descriptor, book, port, say)
        except Unauthorised:
            raise
        except QkdbusError as error:
            left.append(f"VNF package {descriptor}: {error}")
    return Unmade(book.made if book.made else Made(), tuple(left))


def trim(book: Book, wanted: Collection[str], port: Port, say: Say, pace: Pace) -> None:
    """End every network service none of whose nodes is wanted any more; say which machines stay and why."""
    for service in book.services:
        unwanted = [node for node in service.nodes if node not in wanted]
        if len(unwanted) == len(service.nodes):
            end(service, book, port, say, pace)
        elif unwanted:
            others = ", ".join(node for node in service.nodes if node in wanted)
            say(
                f"machine of {', '.join(unwanted)}: kept, as OSM made it in one network service ({service.name}) with "
                f"{others}; it goes when those go, and is used again if {' or '.join(unwanted)} comes back"
            )


def end(service: Service, book: Book, port: Port, say: Say, pace: Pace) -> None:
    """End a network service, delete its descriptor, and strike it from the book."""
    instance = port.instance(service.ns) if service.ns else port.named(service.name)
    if instance:
        say(f"network service {service.name} ({', '.join(service.nodes)}): being removed")
        _terminate(instance.id, port, pace)
        say(f"network service {service.name}: removed")
    nsd = service.nsd or port.nsd(service.name)
    if nsd and not port.drop_nsd(nsd):
        raise Failed(f"OSM says that the descriptor {service.name} is in use still; try again")
    book.strike(service)


def _terminate(ns: str, port: Port, pace: Pace) -> None:
    wait = Wait(pace, PATIENCE)
    op = port.terminate(ns)
    while not wait.ask(_is_gone, port, ns):
        if op is None:
            # Nothing to terminate, says OSM, and the record is there: it never began, or begins just now.
            if not port.discard(ns):
                op = port.terminate(ns)
        else:
            _look(wait.ask(port.operation, op), ns, port)
        if wait.over:
            raise Unavailable(f"OSM is still ending it after {PATIENCE:g} s; run destroy again to go on")
        wait.pause()


def _look(operation: Operation | None, ns: str, port: Port) -> None:
    if operation and operation.bad:
        raise Failed(
            f"OSM could not end it ({operation.state}): {operation.detail or 'it does not say why'}; "
            "mend that and run destroy again"
        )
    if operation and operation.good:
        port.discard(ns)  # its record may outlive it


def _is_gone(port: Port, ns: str) -> bool:
    return port.instance(ns) is None


def _drop_package(descriptor: str, book: Book, port: Port, say: Say) -> None:
    if any(service.machine == descriptor for service in book.services):
        return  # one that could not be removed: its package goes with it
    package = book.packages[descriptor] or port.vnfd(descriptor)
    if package and not port.drop_vnfd(package):
        say(f"VNF package {descriptor}: left at OSM, other network services use it")
    book.disown(descriptor)
