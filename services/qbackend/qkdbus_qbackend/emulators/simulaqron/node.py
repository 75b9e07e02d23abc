"""The SimulaQron virtual node of a QKD node, fenced: a peer may meet it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.spread import pb
from zope.interface import implementedBy

from . import library

_QUBITS = 20  # SimulaQron's own default; our pairs live in registers of two


class QkdVirtualNode(library.VirtualNode):  # type: ignore[misc]
    """SimulaQron's VirtualNode, owner of the registers and root of its Perspective Broker.

    Stock virtual nodes answer some forty methods to whoever connects, `stop_vnode` among them. This one answers
    `meet`, which gives a neighbour a `Link`; the rest stays callable within this process.

    Args:
        name: of this node.
        most_registers: how many pairs at once.
        meet: (name of the peer, its link) -> our link to it.
    """

    def __init__(self, name: str, most_registers: int, meet: Callable[[str, Any], Any]) -> None:
        table = library.hosts(name)
        super().__init__(table.hostDict[name], table, maxQubits=_QUBITS, maxRegisters=most_registers)
        self._meet = meet

    def remoteMessageReceived(self, broker: Any, message: Any, args: Any, kw: Any) -> Any:  # noqa: N802 (Twisted's)
        """Refuse every remote method but `meet`."""
        if message not in (b"meet", "meet"):
            raise pb.NoSuchMethod("not for peers")
        return super().remoteMessageReceived(broker, message, args, kw)

    def remote_meet(self, peer: str, link: Any) -> Any:
        """Called by a neighbour's node once per connection: links are exchanged."""
        return self._meet(peer, link)


implementedBy(QkdVirtualNode)  # works it out now, before the parent forks
