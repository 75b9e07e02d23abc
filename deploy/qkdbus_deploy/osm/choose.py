"""Which way OSM is asked: osmclient where it is installed and does as well, else REST."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Literal

from qkdbus.errors import Refused

from .order import Order
from .osmclient import OsmClient, probe
from .port import Port
from .rest import Rest

Way = Literal["auto", "rest", "osmclient"]
WAYS: tuple[Way, ...] = ("auto", "rest", "osmclient")


def choose(order: Order, say: Callable[[str], None], way: Way = "auto") -> Port:
    """Return the port to use, and say why where somebody might wonder. Refused when the way asked for cannot be."""
    if way == "rest":
        return Rest(order)
    against = _against(order)
    if way == "osmclient":
        if against:
            raise Refused(f"osmclient cannot be used: {against}; leave the choice to qkdbus, or ask for REST")
        return _with_osmclient(order, say)
    if importlib.util.find_spec("osmclient") is None:
        return Rest(order)
    if against:
        say(f"OSM is asked by REST, though osmclient is installed: {against}")
        return Rest(order)
    return _with_osmclient(order, say)


def _with_osmclient(order: Order, say: Callable[[str], None]) -> Port:
    if not order.insecure:
        say("osmclient does not check OSM's certificate; with a CA file, or when asked to use REST, qkdbus does")
    return OsmClient(order)


def _against(order: Order) -> str | None:
    if order.ca:
        return "it cannot check OSM's certificate, and a CA file is given"
    if order.place.host.startswith("["):
        return "it knows no IPv6 addresses"
    if importlib.util.find_spec("osmclient") is None:
        return "it is not installed"
    broken = probe()
    return f"it is installed, but broken ({broken})" if broken else None
