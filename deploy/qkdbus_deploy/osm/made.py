"""What was made at OSM for one network: kept by whoever deploys, so that it can be gone on with, and removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from qkdbus.errors import BadFile, Refused

from .order import Order


@dataclass(frozen=True)
class Service:
    """A network service with the machines of some nodes.

    Attributes:
        name: its own and its descriptor's; no other has it. Known before anything is made, so that a thing can be
            found again whose id did not reach us.
        machine: the descriptor's id (VNFD) of the machines in it.
        nsd, ns, op: ids of the descriptor, of the service, and of the operation that makes it.
        ready: it was seen to be complete.
    """

    name: str
    nodes: tuple[str, ...]
    machine: str
    nsd: str | None = None
    ns: str | None = None
    op: str | None = None
    ready: bool = False


@dataclass(frozen=True)
class Made:
    """Everything that was made.

    Attributes:
        at: OSM's address and the project; empty when nothing was made.
        packages: VNF packages that we brought in ourselves: descriptor's id -> its own (empty until that is known).
        services: network services.
    """

    at: str = ""
    packages: Mapping[str, str] | None = None
    services: tuple[Service, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.packages or self.services)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON's kinds of value; nothing in it is secret."""
        return {
            "at": self.at,
            "packages": dict(self.packages or {}),
            "services": [{**asdict(each), "nodes": list(each.nodes)} for each in self.services],
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Made:
        """Return what `plain()` gave. BadFile when it is not that."""
        try:
            services = tuple(Service(**{**each, "nodes": tuple(each["nodes"])}) for each in plain["services"])
            return cls(str(plain["at"]), dict(plain["packages"]), services)
        except (KeyError, TypeError, ValueError) as error:
            raise BadFile(f"the record of what OSM made cannot be read ({error!r})") from None


class Book:
    """Keeps a `Made` and hands it over at every change."""

    def __init__(self, order: Order, made: Made, remember: Callable[[Made], None]) -> None:
        at = f"{order.place} project {order.project}"
        if made and made.at != at:
            # There, each of our ids would be unknown and so look removed, and what is at the old place would stay.
            raise Refused(f"this network's machines were made by OSM at {made.at}, not at {at}: give that one")
        self.made = replace(made, at=at)
        self._remember = remember

    @property
    def services(self) -> tuple[Service, ...]:
        """The services as they are now."""
        return self.made.services

    @property
    def packages(self) -> Mapping[str, str]:
        """Our VNF packages."""
        return self.made.packages or {}

    def put(self, service: Service, **known: Any) -> Service:
        """Write a service down, new or with more known of it, and return it as it is then."""
        after = replace(service, **known)
        others = [each for each in self.services if each.name != service.name]
        self._keep(replace(self.made, services=(*others, after)))
        return after

    def strike(self, service: Service) -> None:
        """Forget a service."""
        self._keep(replace(self.made, services=tuple(each for each in self.services if each.name != service.name)))

    def own(self, descriptor: str, package: str) -> None:
        """Write down that a VNF package is ours."""
        self._keep(replace(self.made, packages={**self.packages, descriptor: package}))

    def disown(self, descriptor: str) -> None:
        """Forget a VNF package."""
        kept = {name: each for name, each in self.packages.items() if name != descriptor}
        self._keep(replace(self.made, packages=kept))

    def _keep(self, made: Made) -> None:
        if made != self.made:
            self.made = made
            self._remember(made)
