"""Who is about to use which ports of this machine: between choosing a port and listening there, no other may choose it.

A claim is a socket in Linux's abstract namespace: it is as wide as the ports themselves (whoever the user, whatever
the home, in one network namespace), only one process can have it, and it goes with its process, however that ends.
"""

from __future__ import annotations

import socket
from collections.abc import Hashable

STRETCH = 64  # ports in one claim: a socket for each port would be too many for a large network


class Claims:
    """The stretches of ports that this process has claimed, and for whom."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[socket.socket, set[Hashable]]] = {}

    def may_use(self, port: int, whom: Hashable) -> bool:
        """Claim the stretch of a port, and tell whether that could be done or was."""
        stretch = port // STRETCH
        if stretch not in self._held:
            claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                claim.bind(f"\0qkdbus-ports-{stretch}")
            except OSError:
                claim.close()
                return False
            self._held[stretch] = claim, set()
        self._held[stretch][1].add(whom)  # this process does one thing after the other: it is in nobody's way
        return True

    def drop(self, whom: Hashable) -> None:
        """Give up what was claimed for somebody, and for nobody else."""
        for stretch, (claim, claimants) in list(self._held.items()):
            claimants.discard(whom)
            if not claimants:
                claim.close()
                del self._held[stretch]
