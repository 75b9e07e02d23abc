"""Are the TCP ports that nodes need free on this host?"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from qkdbus.errors import Refused
from qkdbus.network.addresses import numbers

from ..bundles import Plan
from ..knocking import family


def checked(plan: Plan, running: Mapping[str, str]) -> Plan:
    """Return the plan when every node of it that does not run yet can have its ports. Refused otherwise."""
    for bundle in plan.bundles:
        if bundle.name not in running:
            for port in numbers(bundle.settings.ports):
                _check(bundle.name, bundle.settings.listen, port)
    return plan


def _check(node: str, address: str, port: int) -> None:
    with socket.socket(family(address), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as ZeroMQ: TIME_WAIT is no hindrance
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                text = f"{node}: TCP port {port} is taken on this host; free it, or deploy again to have another chosen"
            else:
                text = (
                    f"{node}: cannot listen on {address}:{port} ({error.strerror}); is {address} this host's address?"
                )
            raise Refused(text) from None
