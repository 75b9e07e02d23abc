"""What a host can be asked to do with its share of a network.

Every request names `op`, `home` (the folder of all networks on that host) and `network`; the rest is the verb's own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from qkdbus.errors import Refused
from qkdbus.network.model import NETWORK_NAME

from .. import boot, launch, nodes, parcel, place, tailing
from ..boot import Boot
from ..locks import locked
from ..logbook import Wanted
from ..site import Site
from . import free, using

Request = Mapping[str, Any]


def carry_out(request: Request) -> Any:
    """Do what a request asks for; return the answer as data for JSON. Failures are qkdbus.errors."""
    operation = _OPERATIONS.get(request.get("op", ""))
    if operation is None:
        raise Refused(f"no operation {request.get('op')!r} here; is another version of qkdbus at work?")
    return parcel.plain(operation(request))


def _apply(request: Request) -> Any:
    """Place `bundles`, remove the nodes `leaving`, start, wait `patience` s; with other software, start all anew."""
    home, network = _where(request)
    plan = parcel.unpack(network, home, request["bundles"])
    if using.started_with(home / network) not in (None, using.ours()):
        _say("with another version: stopping first")
        Site(home, _say).stop(network, None, None)
    warm = Boot(home / network)
    before = launch.running(home / network)
    changing = any(before.get(bundle.name) != place.generation(bundle) for bundle in plan.bundles)
    spare = warm.spare() if changing else None  # it imports while we place
    site = Site(home, _say, spare, warm.launch)
    try:
        done = site.apply(network, lambda running: free.checked(plan, running), request["patience"], request["leaving"])
    finally:
        warm.settle()
    if nodes.names(home / network):
        using.note(home / network)
    using.tidy(home)
    return replace(done, notes=(*done.notes, *warm.notes)) if done.changed else done


def _start(request: Request) -> Any:
    home, network = _where(request)
    warm = Boot(home / network)
    site = Site(home, _say, warm.spare(), warm.launch)
    done = site.start(network, request["node"], request["layer"], request["patience"])
    warm.settle()
    return done


def _stop(request: Request) -> Any:
    home, network = _where(request)
    Site(home, _say, fresh=Boot(home / network).launch).stop(network, request["node"], request["layer"])


def _destroy(request: Request) -> Any:
    """Remove a node, or the host's whole share; nothing happens when it is not there."""
    home, network = _where(request)
    here = nodes.names(home / network)
    if here and request["node"] in (None, *here):
        Site(home, _say).destroy(network, request["node"])
    if not nodes.names(home / network):
        boot.remove(home / network)
    using.tidy(home)


def _status(request: Request) -> Any:
    home, network = _where(request)
    return Site(home).status(network)


def _logs(request: Request) -> Any:
    home, network = _where(request)
    return Site(home).logs(network, _wanted(request))


def _wanted(request: Request) -> Wanted:
    return Wanted(**{one.name: request[one.name] for one in fields(Wanted) if one.name in request})


def _sample(request: Request) -> Any:
    home, network = _where(request)
    return Site(home).sample(network)


def _follow(request: Request) -> Any:
    """Lines since `cursors`; without those, the cursors that mean "from now on"."""
    home, network = _where(request)
    site, wanted = Site(home), _wanted(request)
    if request["cursors"] is None:
        logs = site.log_names(network, wanted)
        names = [f"{folder.name}/{name}" for folder, names in logs.items() for name in names]
        return {"lines": [], "cursors": tailing.here(home / network, names)}
    look = home / network, request["cursors"], wanted.level, request["patience"]
    if wanted.what == "logs":
        lines, cursors = tailing.since(*look)
        return {"lines": lines, "cursors": cursors}
    from ..watching.eventbook import Ear

    with closing(Ear(site.publishers(network, wanted))) as ear:
        lines, cursors = tailing.since(*look, ear.hear)
    return {"lines": lines, "cursors": cursors}


def _swap(request: Request) -> Any:
    home, network = _where(request)
    site = Site(home, _say)
    return site.swap(network, request["node"], request["layer"], request["command"], request["patience"])


def _attack(request: Request) -> Any:
    home, network = _where(request)
    from qkdbus.network.photonic import Eavesdropper

    from .. import attack  # brings the physics, which no other operation needs

    eve = None if request["eve"] is None else Eavesdropper.model_validate(request["eve"])
    found = attack.attack(home / network, request["one"], request["other"], eve)
    return found.eve.model_dump(mode="json")


def _admit(request: Request) -> Any:
    """Write files of a node that its services read again by themselves: keys, and who is let in."""
    home, network = _where(request)
    with locked(home / network):
        node = nodes.read(home / network, request["node"])
        for path, text in request["files"].items():
            place.supersede(node.directory / path, text)


def _where(request: Request) -> tuple[Path, str]:
    name = request["network"]
    if not isinstance(name, str) or not re.fullmatch(NETWORK_NAME, name):
        raise Refused(f"{name!r} is no name of a network")  # it is about to be one of a folder
    return Path(request["home"]), name


_say: Callable[[str], None] = partial(print, file=sys.stderr, flush=True)
_OPERATIONS: Mapping[str, Callable[[Request], Any]] = {
    "apply": _apply,
    "start": _start,
    "stop": _stop,
    "destroy": _destroy,
    "status": _status,
    "logs": _logs,
    "sample": _sample,
    "follow": _follow,
    "swap": _swap,
    "attack": _attack,
    "admit": _admit,
}
