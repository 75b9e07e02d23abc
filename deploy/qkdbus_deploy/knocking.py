"""Doors: do TCP ports open to us? The standard library alone, for it runs on hosts in a hurry."""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Sequence
from typing import Any

Door = tuple[str, str, int]  # what it is, for a person; address; TCP port


def unreachable(doors: Sequence[Sequence[Any]], patience: float) -> list[tuple[str, str, int, str]]:
    """Try to connect to all doors at once; return those that did not open within `patience` s, with the reason."""
    selector = selectors.DefaultSelector()
    shut: list[tuple[str, str, int, str]] = []
    for what, host, port in doors:
        probe = socket.socket(family(host), socket.SOCK_STREAM)
        probe.setblocking(False)
        try:
            code = probe.connect_ex((host, port))
        except (OSError, OverflowError) as error:  # a name that is not known, a port that is none
            probe.close()
            shut.append((what, host, port, str(getattr(error, "strerror", None) or error)))
            continue
        if code not in (0, errno.EINPROGRESS):
            probe.close()
            shut.append((what, host, port, _reason(code)))
            continue
        selector.register(probe, selectors.EVENT_WRITE, (what, host, port))
    ends = time.monotonic() + patience
    while selector.get_map() and (left := ends - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            probe = key.fileobj  # type: ignore[assignment]
            selector.unregister(probe)
            code = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            probe.close()
            if code:
                shut.append((*key.data, _reason(code)))
    for key in list(selector.get_map().values()):
        shut.append((*key.data, f"no answer in {patience:g} s: a firewall, or the host is cut off"))
        key.fileobj.close()  # type: ignore[union-attr]
    selector.close()
    return sorted(shut)


def family(address: str) -> socket.AddressFamily:
    """Return the family of a numeric address, and of a name IPv4."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _reason(code: int) -> str:
    return {
        errno.ECONNREFUSED: "nobody listens there",
        errno.EHOSTUNREACH: "no route to that host",
        errno.ENETUNREACH: "no route to that network",
    }.get(code, errno.errorcode.get(code, str(code)))
