"""After a deploy: does every door that a node needs open to it, and do those run that were left alone?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from qkdbus.errors import QkdbusError

from .. import nodes
from ..doors import APPLICATIONS, needed
from ..knocking import unreachable
from .agents import Agent
from .hands import Hands
from .host import Host
from .looking import Looked
from .share import Share

WITHIN = 5.0  # s for a door to open, or a service to answer
ANSWERED_WITHIN = 60.0  # s


@dataclass(frozen=True)
class Seen:
    """What a host tells: doors that do not open to it, with the reason; its services that are not ready."""

    shut: tuple[tuple[str, str, int, str], ...]
    unready: Mapping[str, str]


def check(
    hands: Hands, hosts: Iterable[Host], share: Share, settled: Collection[str], looked: Mapping[str, Looked]
) -> dict[str, Seen]:
    """Have hosts knock at their neighbours' doors; those that are `settled` ping their services, too.

    A host that does not answer is missing in what is returned.
    """
    hosts = list(hosts)
    up = {node for host in hosts for node in share.nodes(host.name)}

    def look(host: Host) -> Seen:
        bundles = share.bundles(host.name)
        doors = [door for bundle in bundles for door in needed(bundle.settings, up)] if len(hosts) > 1 else []
        alone = host.name in settled
        services = {str(s): s.endpoint for bundle in bundles for s in nodes.placed(bundle).services} if alone else {}
        if not doors and not services:
            return Seen((), {})
        digests = tuple(part.digest for part in share.parts[host.name])
        agent = Agent(host, share.home(host.name), looked[host.name].facts.python, digests)
        request = {"op": "look", "network": share.network, "doors": doors, "services": services, "patience": WITHIN}
        answer = agent.ask(request, ANSWERED_WITHIN)
        return Seen(tuple((what, where, port, why) for what, where, port, why in answer["shut"]), answer["unready"])

    found = hands.each(hosts, look)
    return {name: seen for name, seen in found.items() if not isinstance(seen, QkdbusError)}


def from_here(share: Share, seen: Collection[str]) -> list[str]:
    """Return which applications' doors do not open to this machine."""
    settings = [bundle.settings for host in seen for bundle in share.bundles(host)]
    doors = [(f"{one.name} ({APPLICATIONS})", one.host, one.ports.north) for one in settings]
    return [
        f"from here {what} at {address}:{port}/tcp cannot be reached: {reason}"
        for what, address, port, reason in unreachable(doors, WITHIN)
    ]
