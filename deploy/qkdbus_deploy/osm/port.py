"""What is needed of OSM, whichever way it is asked, and in which words it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

GOOD = frozenset({"COMPLETED", "PARTIALLY_COMPLETED"})
BAD = frozenset({"FAILED", "FAILED_TEMP", "ROLLED_BACK"})


@dataclass(frozen=True)
class Vim:
    """A VIM account: a cloud in which OSM makes machines."""

    id: str
    name: str
    state: str  # ENABLED, PROCESSING, ERROR
    detail: str = ""


@dataclass(frozen=True)
class Operation:
    """Something long that OSM does to a network service."""

    id: str
    state: str
    kind: str = ""  # instantiate, terminate
    stage: str = ""  # how far it is, in OSM's words
    detail: str = ""  # what went wrong, in OSM's words

    @property
    def good(self) -> bool:
        """Say whether it ended well."""
        return self.state in GOOD

    @property
    def bad(self) -> bool:
        """Say whether it ended badly."""
        return self.state in BAD


@dataclass(frozen=True)
class Instance:
    """A network service as OSM records it."""

    id: str
    name: str
    state: str = ""  # NOT_INSTANTIATED, BUILDING, READY, ...


@dataclass(frozen=True)
class Function:
    """One machine of a network service; no address until it has one."""

    node: str
    address: str | None


@dataclass(frozen=True)
class Wish:
    """A network service to be made.

    Attributes:
        nsd: the id of its descriptor.
        vim: the id of the VIM account where nodes go that `vims` does not name.
        ssh_key: a public key's line.
        vims: node -> the id of another VIM account.
        hostnames: node -> the machine's own name.
    """

    name: str
    nsd: str
    vim: str
    ssh_key: str
    vims: Mapping[str, str] = field(default_factory=dict)
    hostnames: Mapping[str, str] = field(default_factory=dict)
    description: str = "made by qkdbus"

    def details(self) -> dict[str, object]:
        """Return the parameters that differ by node, as OSM takes them."""
        given: dict[str, object] = {}
        if self.vims:
            given["vnf"] = [{"member-vnf-index": node, "vimAccountId": vim} for node, vim in self.vims.items()]
        if self.hostnames:
            given["additionalParamsForVnf"] = [
                {"member-vnf-index": node, "additionalParams": {"hostname": name}}
                for node, name in self.hostnames.items()
            ]
        return given


class Port(Protocol):
    """OSM. Where something is not there, None or nothing comes back; other failures are qkdbus.errors."""

    @property
    def name(self) -> str:
        """How OSM is asked, for people."""

    def greet(self) -> None:
        """Make sure that OSM is there and lets us in."""

    def vims(self) -> tuple[Vim, ...]:
        """Return the VIM accounts of the project."""

    def vnfd(self, descriptor: str) -> str | None:
        """Find a VNF package by its descriptor's id and return its own."""

    def upload(self, package: bytes, file_name: str, descriptor: str) -> str:
        """Bring a VNF package (tar.gz) in and return its id. Refused when its descriptor's id is taken."""

    def drop_vnfd(self, package: str) -> bool:
        """Delete a VNF package; False when something uses it. One that is gone already is fine."""

    def nsd(self, descriptor: str) -> str | None:
        """Find an NS descriptor by its id within and return its own."""

    def create_nsd(self, descriptor: str, text: str) -> str:
        """Bring an NS descriptor (YAML) in and return its id."""

    def drop_nsd(self, nsd: str) -> bool:
        """Delete an NS descriptor; False when something uses it. One that is gone already is fine."""

    def instantiate(self, wish: Wish) -> tuple[str, str | None]:
        """Begin to make a network service: its id, and that of the operation where OSM says so."""

    def instance(self, ns: str) -> Instance | None:
        """Return a network service by its id."""

    def named(self, name: str) -> Instance | None:
        """Find a network service by a name that is its alone."""

    def operation(self, op: str) -> Operation | None:
        """Return an operation by its id."""

    def operations(self, ns: str) -> tuple[Operation, ...]:
        """Return what was and is done to a network service, first things first."""

    def functions(self, ns: str) -> tuple[Function, ...]:
        """Return the machines of a network service."""

    def terminate(self, ns: str) -> str | None:
        """Begin to end a network service: the operation's id; None when OSM had nothing to end."""

    def discard(self, ns: str) -> bool:
        """Delete the record of a network service that has no machines; False when it has, or is about to."""

    def close(self) -> None:
        """Let go of what was opened."""
