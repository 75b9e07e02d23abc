"""The processes of a network on this machine, found without asking any of them: whom we look for may be dead or asleep.

A node's supervisord says in a file who it is; its services are its children, and show their layer in their title.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from qkdbus_deploy import pidfile, wishes
from qkdbus_deploy.kernel import Mark

SUPERVISORD, WARM = "supervisord", "warm parent"


class Programs:
    """The programs of the network in a folder (`<home>/<network>`)."""

    def __init__(self, network: Path) -> None:
        self._network = network

    def find(self, node: str, layer: str) -> Mark | None:
        """Return a node's program (of a replicated layer the first); None when it does not run just now.

        `layer` may be "supervisord", and "warm parent", which no node has.
        """
        if layer == WARM:
            return wishes.state(self._network)[0]
        if layer == SUPERVISORD:
            found = pidfile.read(self._network / node)
            return found[0] if found else None
        return next((mark for title, mark in self.services(node) if title.partition(".")[0] == layer), None)

    def services(self, node: str) -> list[tuple[str, Mark]]:
        """Return (`layer.replica`, process) of the services of ours that run at a node."""
        supervisord = self.find(node, SUPERVISORD)
        marks = [] if supervisord is None else [Mark.of(pid) for pid in children(supervisord.pid)]
        titled = [(title(mark.pid).split(), mark) for mark in marks if mark is not None]
        return [(words[0], mark) for words, mark in titled if len(words) == 2 and words[1] == node]

    def strike(self, node: str, layer: str, number: int) -> Mark | None:
        """Send a signal to a program; return whom, None when nobody was there."""
        mark = self.find(node, layer)
        return mark if mark is not None and mark.kill(number) else None


def children(pid: int) -> list[int]:
    """Return the children of a process of one thread."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def title(pid: int) -> str:
    """Return what `ps` shows of a process."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    return ""
