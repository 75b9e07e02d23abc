"""OSM asked through its northbound REST interface (SOL005)."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote

from qkdbus.errors import QkdbusError, Unauthorised

from . import records
from .answers import Answer, failure, no_list
from .order import Order
from .port import Function, Instance, Operation, Vim, Wish
from .wire import Wire

_VIMS, _TOKENS = "/admin/v1/vim_accounts", "/admin/v1/tokens"
_VNFDS, _NSDS = "/vnfpkgm/v1/vnf_packages", "/nsd/v1/ns_descriptors"
_NS, _OPS, _VNFS = "/nslcm/v1/ns_instances", "/nslcm/v1/ns_lcm_op_occs", "/nslcm/v1/vnfrs"
T = TypeVar("T")
_MARGIN = 60.0  # a token is not used for the last so many seconds of its life


class Rest:
    """A Port. It logs in when it must: at first, when the token runs out, and when OSM no longer knows it."""

    name = "OSM's REST interface"

    def __init__(self, order: Order, clock: Callable[[], float] = time.time) -> None:
        self._order = order
        self._wire = Wire(order)
        self._clock = clock  # of the day: OSM says when a token runs out
        self._token: str | None = None
        self._expires = 0.0

    def greet(self) -> None:
        """Make sure that OSM is there and lets us in."""
        self._login()

    def vims(self) -> tuple[Vim, ...]:
        """Return the VIM accounts of the project."""
        return tuple(map(records.vim, self._list("list VIM accounts", _VIMS)))

    def vnfd(self, descriptor: str) -> str | None:
        """Find a VNF package by its descriptor's id and return its own."""
        return self._by_id("list VNF packages", _VNFDS, descriptor)

    def upload(self, package: bytes, file_name: str, descriptor: str) -> str:
        """Bring a VNF package (tar.gz) in and return its id. Refused when its descriptor's id is taken."""
        sums = {"Content-File-MD5": hashlib.md5(package, usedforsecurity=False).hexdigest()}
        more = {"Content-Type": "application/gzip", "Content-Filename": file_name, **sums}
        return self._made("take the VNF package", f"{_VNFDS}_content", package, more)["id"]

    def drop_vnfd(self, package: str) -> bool:
        """Delete a VNF package; False when something uses it. One that is gone already is fine."""
        return self._drop("delete the VNF package", f"{_VNFDS}_content/{package}")

    def nsd(self, descriptor: str) -> str | None:
        """Find an NS descriptor by its id within and return its own."""
        return self._by_id("list NS descriptors", _NSDS, descriptor)

    def create_nsd(self, descriptor: str, text: str) -> str:
        """Bring an NS descriptor (YAML) in and return its id."""
        more = {"Content-Type": "application/yaml"}
        return self._made("take the NS descriptor", f"{_NSDS}_content", text.encode(), more)["id"]

    def drop_nsd(self, nsd: str) -> bool:
        """Delete an NS descriptor; False when something uses it. One that is gone already is fine."""
        return self._drop("delete the NS descriptor", f"{_NSDS}_content/{nsd}")

    def instantiate(self, wish: Wish) -> tuple[str, str | None]:
        """Begin to make a network service: its id and the operation's."""
        body = {
            "nsName": wish.name,
            "nsdId": wish.nsd,
            "vimAccountId": wish.vim,
            "nsDescription": wish.description,
            "ssh_keys": [wish.ssh_key],
            **wish.details(),
        }
        more = {"Content-Type": "application/json"}
        made = self._made("begin the network service", f"{_NS}_content", json.dumps(body).encode(), more)
        return made["id"], made.get("nslcmop_id")

    def instance(self, ns: str) -> Instance | None:
        """Return a network service by its id."""
        return self._one("show the network service", f"{_NS}_content/{ns}", records.instance)

    def named(self, name: str) -> Instance | None:
        """Find a network service by a name that is its alone."""
        found = self._list("list network services", f"{_NS}_content?name={quote(name, safe='')}")
        return next((records.instance(each) for each in found if each.get("name") == name), None)

    def operation(self, op: str) -> Operation | None:
        """Return an operation by its id."""
        return self._one("show the operation", f"{_OPS}/{op}", records.operation)

    def operations(self, ns: str) -> tuple[Operation, ...]:
        """Return what was and is done to a network service, first things first."""
        return records.operations(self._list("list operations", f"{_OPS}?nsInstanceId={ns}"))

    def functions(self, ns: str) -> tuple[Function, ...]:
        """Return the machines of a network service."""
        return tuple(map(records.function, self._list("list machines", f"{_VNFS}?nsr-id-ref={ns}")))

    def terminate(self, ns: str) -> str | None:
        """Begin to end a network service: the operation's id; None when OSM had nothing to end."""
        answer = self._ask("DELETE", f"{_NS}_content/{ns}")
        if answer.status == 404:
            return None
        if not answer.well:
            raise failure(self._order, "end the network service", answer)
        return records.operation(answer.body).id if isinstance(answer.body, dict) else None

    def discard(self, ns: str) -> bool:
        """Delete the record of a network service that has no machines; False when it has, or is about to."""
        # Release 19 answers 204 to `terminate` for what never began and keeps the record: this is what takes it away.
        return self._drop("forget the network service", f"{_NS}/{ns}")

    def close(self) -> None:
        """Log out."""
        token, self._token = self._token, None
        if token:
            with suppress(QkdbusError):  # it runs out by itself
                self._wire.send("DELETE", f"{_TOKENS}/{token}", self._headers(token), None)

    def _by_id(self, doing: str, path: str, descriptor: str) -> str | None:
        found = self._list(doing, f"{path}?id={quote(descriptor, safe='')}")
        return next((str(each["_id"]) for each in found if each.get("id") == descriptor), None)

    def _list(self, doing: str, path: str) -> list[dict[str, Any]]:
        answer = self._ask("GET", path)
        if not answer.well:
            raise failure(self._order, doing, answer)
        if not isinstance(answer.body, list):
            raise no_list(self._order, doing)
        return answer.body

    def _one(self, doing: str, path: str, read: Callable[[dict[str, Any]], T]) -> T | None:
        answer = self._ask("GET", path)
        if answer.status == 404:
            return None
        if not answer.well:
            raise failure(self._order, doing, answer)
        return read(answer.body)

    def _made(self, doing: str, path: str, body: bytes, headers: dict[str, str]) -> dict[str, str]:
        answer = self._ask("POST", path, body, headers)
        if not answer.well:
            raise failure(self._order, doing, answer)
        if not isinstance(answer.body, dict) or "id" not in answer.body:
            raise no_list(self._order, doing)
        return answer.body

    def _drop(self, doing: str, path: str) -> bool:
        answer = self._ask("DELETE", path)
        if answer.well or answer.status in (404, 409):
            return answer.status != 409
        raise failure(self._order, doing, answer)

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        answer = self._wire.send(method, path, {**self._headers(self._login()), **(headers or {})}, body)
        if answer.status == 401:  # the token ran out early, or OSM was started again
            self._token = None
            answer = self._wire.send(method, path, {**self._headers(self._login()), **(headers or {})}, body)
        return answer

    def _login(self) -> str:
        if self._token and self._clock() < self._expires - _MARGIN:
            return self._token
        who = {"username": self._order.user, "password": self._order.password, "project_id": self._order.project}
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        answer = self._wire.send("POST", _TOKENS, headers, json.dumps(who).encode())
        if not answer.well:
            raise failure(self._order, "let us in", answer)
        if not isinstance(answer.body, dict) or not answer.body.get("id"):
            # Release 13 and later: a password that has run out gets a message in place of a token.
            raise Unauthorised(f"OSM at {self._order.place} gave no token: {Answer(401, answer.body).detail}")
        self._token, self._expires = str(answer.body["id"]), float(answer.body.get("expires") or "inf")
        return self._token

    @staticmethod
    def _headers(token: str) -> dict[str, str]:
        return {"Accept": "application/json", "Authorization": f"Bearer {token}"}
