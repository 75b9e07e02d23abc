"""How a network does: its supervisords say what runs, its services say how, all asked at once."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from qkdbus.contracts import dispatcher, keymanager, keysync
from qkdbus.errors import QkdbusError
from qkdbus.wire.dispatcher_pb2 import ListWorkers
from qkdbus.wire.head_pb2 import Health, Ping
from qkdbus.wire.keymanager_pb2 import ListStreams, Streams
from qkdbus.wire.keysync_pb2 import Links, LinkStatusAsked
from qkdbus.wire.record_pb2 import BlockRecord

from . import launch, nodes, pidfile, swaps, wishes, workers
from .control import Program, Supervisord
from .nodes import Node, Service
from .observe import ANY, Question, ask_many
from .wishes import NodeState
from .workers import JobsStatus, WorkerStatus


@dataclass(frozen=True)
class LayerStatus:
    """One service. `uptime` in s; `restarts` since its node's supervisord was started.

    `swapped`: the command line that runs in place of what was deployed; "" when none does.
    """

    layer: str
    replica: int
    state: str  # ready, waiting (up, not ready), silent (up, no answer), or what supervisord says: stopped, backoff
    pid: int | None
    uptime: float | None
    restarts: int
    contract_version: int | None
    implementation: str
    reason: str
    swapped: str = ""


@dataclass(frozen=True)
class NodeStatus:
    """One node. `restarts`: of its supervisord, since the warm parent was started.

    `host`: where it is, as the inventory calls that; "" for this machine. `reason`: why nothing is known of it.
    `generation`: of the bundle that it was started with; "" when it does not run.
    """

    node: str
    state: str  # running, stopped, or unknown (its host does not answer)
    pid: int | None
    restarts: int
    layers: tuple[LayerStatus, ...]
    host: str = ""
    reason: str = ""
    generation: str = ""


@dataclass(frozen=True)
class LinkStatus:
    """One end of a link, as its keysync says; rates in bit/s over the last minute.

    `speed`: seconds of the link's own clock per second here that its settings ask for, 0.0 for as fast as possible;
    None where it has no clock. `last`: the record of the last exchange (`record.proto`), None before the first.
    """

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
    speed: float | None
    last: dict[str, Any] | None


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
class Drift:
    """Something that is no longer as it was deployed.

    Attributes:
        kind: file (the network file says something else now), gone (it cannot be read), generation (a node runs as it
            was placed before), unsent (a host did not get what was deployed last), version (of qkdbus), or unknown.
        nodes: which nodes that concerns; nothing for all.
        text: what it is, for a person, and how to mend it.
    """

    kind: str
    nodes: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class NetworkStatus:
    """A whole network. `warm_parent` is None when nobody would restart a supervisord that dies."""

    network: str
    warm_parent: int | None
    nodes: tuple[NodeStatus, ...]
    links: tuple[LinkStatus, ...]
    streams: tuple[StreamStatus, ...]
    drift: tuple[Drift, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    jobs: tuple[JobsStatus, ...] = ()

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
    names = [node.settings.name for node in here]
    answers = dict(ask_many(_questions(here), patience))
    return NetworkStatus(
        network.name,
        warm.pid if warm else None,
        tuple(_node(node, running, kept, answers) for node in found),
        tuple(link for node in here for link in _links(node, answers)),
        tuple(stream for node in here for stream in _streams(node.settings.name, answers)),
        workers=tuple(one for name in names for one in workers.workers(name, answers.get((name, "workers")))),
        jobs=tuple(one for name in names for one in workers.jobs(name, answers.get((name, "workers")))),
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
            Question((name, "workers"), ipc("dispatcher"), dispatcher.CONTRACT, "list_workers", ListWorkers()),
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
    swapped: dict[str, str] = {}
    with suppress(QkdbusError):
        swapped = swaps.read(node.directory)
    layers = [
        replace(_layer(s, programs.get(s.program), answers.get((s, "ping"))), swapped=swapped.get(s.program, ""))
        for s in node.services
    ]
    known = kept.get(name)
    up = name in running
    found = pidfile.read(node.directory)
    pid = found[0].pid if found else None
    restarts, made = known.restarts if known else 0, running.get(name, "")
    return NodeStatus(name, "running" if up else "stopped", pid, restarts, tuple(layers), generation=made)


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


def _links(node: Node, answers: dict[tuple[object, str], Any]) -> list[LinkStatus]:
    said = answers.get((node.settings.name, "links"))
    return [_link(node, link) for link in (said.links if isinstance(said, Links) else ())]


def _link(node: Node, said: Any) -> LinkStatus:
    own = ("node", "emulator", "speed", "last")
    names = [name for name in LinkStatus.__dataclass_fields__ if name not in own]
    emulator, speed = said.emulator, None
    with suppress(KeyError):  # deployed anew, and its keysync has not read that yet
        settings = node.settings.neighbour(said.peer).link
        emulator = emulator or settings.emulator
        speed = settings.photonic.speed if settings.emulator == "photonic" else None
    return LinkStatus(
        node=node.settings.name,
        emulator=emulator,
        speed=speed,
        last=_record(said.last) if said.HasField("last") else None,
        **{name: getattr(said, name) for name in names},
    )


def _record(record: BlockRecord) -> dict[str, Any]:
    """Return a record as plain data: counts and figures, never a bit of key."""
    fields = {field.name: getattr(record, field.name) for field in record.DESCRIPTOR.fields}
    names = {"block_id": record.block_id.hex(), "trace": record.trace.hex()}
    return {**fields, **names, "stages": dict(record.stages)}


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
