"""How a network does: its supervisords say what runs, its services say how, all asked at once."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qkdbus.contracts import keymanager, keysync
from qkdbus.errors import QkdbusError
from qkdbus.wire.head_pb2 import Health, Ping
from qkdbus.wire.keymanager_pb2 import ListStreams, Streams
from qkdbus.wire.keysync_pb2 import Links, LinkStatusAsked

from . import launch, nodes, pidfile, wishes
from .control import Program, Supervisord
from .nodes import Node, Service
from .observe import ANY, Question, ask_many
from .wishes import NodeState


@dataclass(frozen=True)
class LayerStatus:
    """One service. `uptime` in s; `restarts` since its node's supervisord was started."""

    layer: str
    replica: int
    state: str  # ready, waiting (up, not ready), silent (up, no answer), or what supervisord says: stopped, backoff
    pid: int | None
    uptime: float | None
    restarts: int
    contract_version: int | None
    implementation: str
    reason: str


@dataclass(frozen=True)
class NodeStatus:
    """One node. `restarts`: of its supervisord, since the warm parent was started."""

    node: str
    state: str  # running, or stopped
    pid: int | None
    restarts: int
    layers: tuple[LayerStatus, ...]


@dataclass(frozen=True)
class LinkStatus:
    """One end of a link, as its keysync says; rates in bit/s over the last minute."""

    node: str
    peer: str
    state: str
    arbiter: bool
    protocol: str
    emulator: str
    key_rate: float
    qber: float
    buffered_keys: int
    reservoir_bits: int
    alarm: str
    blocks: int
    created: int
    sifted_out: int
    disclosed: int
    kept: int
    failed: int


@dataclass(frozen=True)
class StreamStatus:
    """One end of a key stream, as its key manager says."""

    node: str
    ksid: str
    source: str
    destination: str
    peer: str
    state: str
    key_bytes: int
    delivered: int
    expired: int
    buffered: int
    next_index: int


@dataclass(frozen=True)
class NetworkStatus:
    """A whole network. `warm_parent` is None when nobody would restart a supervisord that dies."""

    network: str
    warm_parent: int | None
    nodes: tuple[NodeStatus, ...]
    links: tuple[LinkStatus, ...]
    streams: tuple[StreamStatus, ...]

    @property
    def state(self) -> str:
        """ready, stopped, or degraded."""
        states = {layer.state for node in self.nodes for layer in node.layers}
        return "ready" if states == {"ready"} else "stopped" if states == {"stopped"} else "degraded"

    def plain(self) -> dict[str, Any]:
        """Return it as data for JSON."""
        return {"state": self.state, **asdict(self)}


def look(network: Path, patience: float = 1.0) -> NetworkStatus:
    """Ask everything of a network that was placed here; what does not answer within `patience` s is silent."""
    warm, kept = wishes.state(network)
    running = launch.running(network)
    found = nodes.read_all(network)
    here = [node for node in found if node.settings.name in running]
    answers = dict(ask_many(_questions(here), patience))
    return NetworkStatus(
        network.name,
        warm.pid if warm else None,
        tuple(_node(node, running, kept, answers) for node in found),
        tuple(link for node in here for link in _links(node.settings.name, answers)),
        tuple(stream for node in here for stream in _streams(node.settings.name, answers)),
    )


def _questions(found: list[Node]) -> list[Question[tuple[object, str]]]:
    questions: list[Question[tuple[object, str]]] = [
        Question((s, "ping"), s.endpoint, ANY, "ping", Ping()) for node in found for s in node.services
    ]
    for node in found:
        name, ipc = node.settings.name, node.settings.ipc
        questions += [
            Question((name, "links"), ipc("keysync"), keysync.CONTRACT, "link_status", LinkStatusAsked()),
            Question((name, "streams"), ipc("keymanager"), keymanager.CONTRACT, "list_streams", ListStreams()),
        ]
    return questions


def _node(
    node: Node, running: dict[str, str], kept: dict[str, NodeState], answers: dict[tuple[object, str], Any]
) -> NodeStatus:
    name = node.settings.name
    programs: dict[str, Program] = {}
    if name in running:
        with suppress(QkdbusError):  # just started, or just about to end: its services speak for themselves
            programs = Supervisord(node.settings.run).programs()
    layers = [_layer(s, programs.get(s.program), answers.get((s, "ping"))) for s in node.services]
    known = kept.get(name)
    up = name in running
    found = pidfile.read(node.directory)
    pid = found[0].pid if found else None
    return NodeStatus(name, "running" if up else "stopped", pid, known.restarts if known else 0, tuple(layers))


def _layer(service: Service, program: Program | None, health: object) -> LayerStatus:
    said = health if isinstance(health, Health) else None
    pid = (program.pid if program else 0) or (said.pid if said else 0)
    since = said.since if said else program.since if program and program.pid else 0.0
    return LayerStatus(
        layer=service.layer,
        replica=service.replica,
        state=_state(program, said, health),
        pid=pid or None,
        uptime=round(max(0.0, time.time() - since), 3) if since and pid else None,
        restarts=max(0, program.starts - 1) if program else 0,
        contract_version=said.contract_version if said else None,
        implementation=said.implementation if said else "",
        reason=(said.waiting_for or said.last_failure) if said else program.said if program else "",
    )


def _state(program: Program | None, said: Health | None, health: object) -> str:
    if said is not None:
        return "ready" if said.ready else "waiting"
    if program is not None and program.pid == 0:
        return program.state
    return "silent" if program is not None or health is not None else "stopped"


def _links(node: str, answers: dict[tuple[object, str], Any]) -> list[LinkStatus]:
    said = answers.get((node, "links"))
    names = [name for name in LinkStatus.__dataclass_fields__ if name != "node"]
    links = said.links if isinstance(said, Links) else ()
    return [LinkStatus(node, **{name: getattr(link, name) for name in names}) for link in links]


def _streams(node: str, answers: dict[tuple[object, str], Any]) -> list[StreamStatus]:
    said = answers.get((node, "streams"))
    return [
        StreamStatus(
            node=node,
            ksid=stream.ksid.hex(),
            source=stream.source,
            destination=stream.destination,
            peer=stream.peer,
            state=stream.state,
            key_bytes=stream.qos.key_chunk_size,
            delivered=stream.delivered,
            expired=stream.expired,
            buffered=stream.buffered,
            next_index=stream.next_index,
        )
        for stream in (said.streams if isinstance(said, Streams) else ())
    ]
