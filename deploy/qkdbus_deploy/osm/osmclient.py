"""OSM asked through osmclient, where that is installed. It never checks OSM's certificate and cannot be told to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from qkdbus.errors import Failed, QkdbusError, Refused, Unavailable

from . import records
from .answers import Answer, failure, hide, told_by_client
from .child import Child
from .order import Order
from .port import Function, Instance, Operation, Vim, Wish

PATIENCE = 120.0  # for one call, seconds


def probe() -> str | None:
    """Return why osmclient cannot be used here; None when it can."""
    child = Child()
    try:
        got = child.ask({"probe": True}, PATIENCE)
    except QkdbusError as error:
        return str(error)
    finally:
        child.close()
    return str(got["error"]["text"]) if "error" in got else None


class OsmClient:
    """A Port. osmclient itself runs in a process of its own: see call.py."""

    name = "osmclient"

    def __init__(self, order: Order, patience: float = PATIENCE) -> None:
        self._order = order
        self._patience = patience
        self._child = Child()
        place = order.place
        # Releases before 10 know HOST:PORT alone, and always speak TLS at /osm.
        plain = place.scheme == "https" and place.path == "/osm"
        host = f"{place.host}:{place.port}" if plain else str(place)
        self._client = {"host": host, "user": order.user, "password": order.password, "project": order.project}

    def greet(self) -> None:
        """Make sure that OSM is there and lets us in."""
        self._list("let us in", "vim")

    def vims(self) -> tuple[Vim, ...]:
        """Return the VIM accounts of the project."""
        found = [records.vim(each) for each in self._list("list VIM accounts", "vim")]
        # The list of some releases says no more than names and ids.
        return tuple(
            each if each.state else records.vim(self._do("show the VIM account", "vim", "get", each.id)["value"])
            for each in found
        )

    def vnfd(self, descriptor: str) -> str | None:
        """Find a VNF package by its descriptor's id and return its own."""
        return self._by_id("list VNF packages", "vnfd", descriptor)

    def upload(self, package: bytes, file_name: str, descriptor: str) -> str:
        """Bring a VNF package (tar.gz) in and return its id. Refused when its descriptor's id is taken."""
        with _file(file_name, package) as path:
            self._do("take the VNF package", "vnfd", "create", path)
        return self._found("VNF package", self.vnfd(descriptor))

    def drop_vnfd(self, package: str) -> bool:
        """Delete a VNF package; False when something uses it. One that is gone already is fine."""
        return self._drop("delete the VNF package", "vnfd", package)

    def nsd(self, descriptor: str) -> str | None:
        """Find an NS descriptor by its id within and return its own."""
        return self._by_id("list NS descriptors", "nsd", descriptor)

    def create_nsd(self, descriptor: str, text: str) -> str:
        """Bring an NS descriptor (YAML) in and return its id."""
        with _file(f"{descriptor}.yaml", text.encode()) as path:
            self._do("take the NS descriptor", "nsd", "create", path)
        return self._found("NS descriptor", self.nsd(descriptor))

    def drop_nsd(self, nsd: str) -> bool:
        """Delete an NS descriptor; False when something uses it. One that is gone already is fine."""
        return self._drop("delete the NS descriptor", "nsd", nsd)

    def instantiate(self, wish: Wish) -> tuple[str, str | None]:
        """Begin to make a network service: its id; osmclient keeps that of the operation to itself."""
        with _file("key.pub", f"{wish.ssh_key}\n".encode()) as key:
            options = {
                "nsd_name": wish.nsd,
                "nsr_name": wish.name,
                "account": wish.vim,
                "description": wish.description,
                "ssh_keys": key,
                "config": yaml.safe_dump(wish.details()) if wish.details() else None,
                "wait": False,
            }
            got = self._do("begin the network service", "ns", "create", **options)
        return str(got["value"]), None

    def instance(self, ns: str) -> Instance | None:
        """Return a network service by its id."""
        got = self._try("show the network service", "ns", "get", ns)
        return records.instance(got["value"]) if got else None

    def named(self, name: str) -> Instance | None:
        """Find a network service by a name that is its alone."""
        found = self._list("list network services", "ns", f"name={name}")
        return next((records.instance(each) for each in found if each.get("name") == name), None)

    def operation(self, op: str) -> Operation | None:
        """Return an operation by its id."""
        got = self._try("show the operation", "ns", "get_op", op)
        return records.operation(got["value"]) if got else None

    def operations(self, ns: str) -> tuple[Operation, ...]:
        """Return what was and is done to a network service, first things first."""
        got = self._try("list operations", "ns", "list_op", ns)
        return records.operations(got["value"] or []) if got else ()

    def functions(self, ns: str) -> tuple[Function, ...]:
        """Return the machines of a network service."""
        got = self._try("list machines", "vnf", "list", ns=ns)
        return tuple(map(records.function, got["value"] or [])) if got else ()

    def terminate(self, ns: str) -> str | None:
        """Begin to end a network service: the operation's id; None when OSM had nothing to end."""
        got = self._try("end the network service", "ns", "delete", ns)
        if not got or "progress" not in got["printed"]:
            return None
        ending = [each for each in self.operations(ns) if each.kind == "terminate"]
        return ending[-1].id if ending else None

    def discard(self, ns: str) -> bool:
        """Delete the record of a network service that has no machines; False when it has, or is about to."""
        found = self.instance(ns)
        if not found:
            return True
        busy = any(not (each.good or each.bad) for each in self.operations(ns))
        if found.state != "NOT_INSTANTIATED" or busy:
            return False
        # osmclient knows but one way to delete a record, and that would leave machines behind: hence the checks.
        self._try("forget the network service", "ns", "delete", ns, force=True)
        return True

    def close(self) -> None:
        """End the process."""
        self._child.close()

    def _by_id(self, doing: str, part: str, descriptor: str) -> str | None:
        found = self._list(doing, part, f"id={descriptor}")
        return next((str(each["_id"]) for each in found if each.get("id") == descriptor), None)

    def _list(self, doing: str, part: str, *narrowed: str) -> list[dict[str, Any]]:
        return self._do(doing, part, "list", *narrowed)["value"] or []

    def _drop(self, doing: str, part: str, which: str) -> bool:
        try:
            self._try(doing, part, "delete", which)
        except _InUse:
            return False
        return True

    def _found(self, what: str, found: str | None) -> str:
        if not found:
            raise Failed(f"OSM at {self._order.place} took the {what} and does not list it: try again")
        return found

    def _do(self, doing: str, part: str, method: str, *arguments: str, **options: object) -> Mapping[str, Any]:
        got = self._try(doing, part, method, *arguments, **options)
        if got is None:
            raise failure(self._order, doing, Answer(404, "it is not there"))
        return got

    def _try(self, doing: str, part: str, method: str, *arguments: str, **options: object) -> Mapping[str, Any] | None:
        """Call; None when OSM says that the thing is not there."""
        asked = {"client": self._client, "part": part, "method": method, "arguments": arguments, "options": options}
        got = self._child.ask(asked, self._patience)
        if "error" not in got:
            return got
        kind, text = got["error"]["kind"], hide(self._order, got["error"]["text"])
        if kind != "osm":
            raise self._broken(doing, kind, text)
        answer = told_by_client(text) or Answer(404 if "not found" in text else 400, text)
        if answer.status == 404 and method != "create":
            return None
        raise self._refusal(doing, answer)

    def _refusal(self, doing: str, answer: Answer) -> QkdbusError:
        if answer.status == 409 and doing.startswith("delete"):
            return _InUse(answer.detail)
        return failure(self._order, doing, answer)

    def _broken(self, doing: str, kind: str, text: str) -> QkdbusError:
        if kind == "missing":
            return Refused(f"osmclient cannot be used here ({text}); qkdbus can ask OSM by REST without it")
        if text.startswith(("pycurl.", "requests.", "urllib3.")):
            return Unavailable(f"OSM at {self._order.place} did not {doing}: {text}; is it up, is the port right?")
        return Failed(f"osmclient could not {doing} ({text}); qkdbus can ask OSM by REST without it")


class _InUse(Refused):
    """Something uses what was to be deleted."""


@contextmanager
def _file(name: str, content: bytes) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="qkdbus-osm-") as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        yield str(file)
