"""What a layer shows of itself at its endpoint, whatever it is doing at the time. Asking changes nothing.

These checks can be made of any process that runs: on a stage, and in a network that is deployed.
"""

# ruff: noqa: D103 (a check is explained by its sentence)

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable

from google.protobuf.message import Message

from ..network.model import LayerName
from ..status import unknown_stream
from ..wire import dispatcher_pb2 as dispatcher
from ..wire import emulator_pb2 as emulator
from ..wire import keymanager_pb2 as keymanager
from ..wire import keysync_pb2 as keysync
from ..wire import qbackend_pb2 as qbackend
from ..wire.head_pb2 import REFUSED, Describe, Description
from .check import Check, Suite, hold
from .line import Answer, Kind
from .stage import Subject

EVERY, KEYMANAGER, KEYSYNC, DISPATCHER, QBACKEND, EMULATOR = (Suite(alone=True) for _ in range(6))
ETSI = "ETSI GS QKD 004 V2.1.1"
STREAM_STATES = {"known", "half", "ready", "draining", "closing"}
LINK_STATES = {"up", "silent", "alarm", "down"}
WORKER_STATES = {"unknown", "waiting", "ready", "silent"}
NOBODY = "nobody of this name"


@EVERY.must("Counters only grow, and no gauge or histogram is anything but a number.", "head.proto")
async def meters_can_be_believed(subject: Subject) -> None:
    first, later = [await _ask(subject, "describe", Describe(), Description) for _ in range(2)]
    shrunk = sorted(name for name, value in first.counters.items() if later.counters.get(name, 0) < value)
    hold(not shrunk, "counters that grow", f"{', '.join(shrunk)} is less than a moment before")
    odd = sorted(name for name, value in later.gauges.items() if not math.isfinite(value))
    hold(not odd, "gauges that are numbers", f"{', '.join(odd)} is none")
    for name, histogram in later.histograms.items():
        bounds = list(histogram.bounds)
        fits = bounds == sorted(set(bounds)) and len(histogram.counts) == len(bounds) + 1
        hold(fits, f"{name}: bounds in order, and one count more than bounds", f"{len(histogram.counts)} counts")


@KEYMANAGER.must("Each stream of `list_streams` is named once, with its ends, state, QoS.", "keymanager.proto")
async def streams_are_listed(subject: Subject) -> None:
    streams = (await _ask(subject, "list_streams", keymanager.ListStreams(), keymanager.Streams)).streams
    _once((stream.ksid for stream in streams), "KSID")
    for stream in streams:
        hold(len(stream.ksid) == 16, "KSIDs of 16 octets", f"{len(stream.ksid)} octets")
        hold(stream.source and stream.destination, "both applications' URIs", "an empty one")
        _among(stream.state, STREAM_STATES, "a stream")
        hold(stream.qos.key_chunk_size > 0, "a key_chunk_size", "none")


@KEYMANAGER.must("A KSID that was never here: no key, status 9 (3 with `strict_status`).", f"{ETSI} (none); ruling C11")
async def an_unknown_stream_is_told(subject: Subject) -> None:
    ksid, right = os.urandom(16), _unknown(subject)
    key = await _ask(subject, "get_key", keymanager.GetKey(ksid=ksid), keymanager.Key)
    keys = await _ask(subject, "get_keys", keymanager.GetKeys(ksid=ksid, count=3), keymanager.Keys)
    closed = await _ask(subject, "close", keymanager.Close(ksid=ksid), keymanager.Closed)
    hold(not key.key and not keys.keys, "no key", "one")
    for method, status in (("get_key", key.status), ("get_keys", keys.status), ("close", closed.status)):
        hold(status in right, f"{method}: status {' or '.join(map(str, sorted(right)))}", f"status {status}")


@KEYSYNC.must("Each link of `link_status` is named once, with a state and figures that can be.", "keysync.proto")
async def links_are_listed(subject: Subject) -> None:
    links = (await _ask(subject, "link_status", keysync.LinkStatusAsked(), keysync.Links)).links
    _once((link.peer for link in links), "link")
    for link in links:
        hold(link.peer, "the neighbour's name", "none")
        _among(link.state, LINK_STATES, f"the link to {link.peer}")
        hold((link.state == "alarm") <= bool(link.alarm), "a reason of the alarm", "none")
        hold(0 <= link.qber <= 1, "a QBER from 0 to 1", f"{link.qber}")
        hold(link.key_rate >= 0 and math.isfinite(link.key_rate), "a key rate, bit/s", f"{link.key_rate}")
        parts = link.sifted_out + link.disclosed + link.kept
        hold(parts <= link.created, "no more sifted out, disclosed and kept than created", f"{parts} of {link.created}")


@KEYSYNC.must("`list_opens` names associations of 16 octets, each once.", "agreement 4")
async def associations_are_listed(subject: Subject) -> None:
    oids = (await _ask(subject, "list_opens", keysync.ListOpens(), keysync.Opens)).oids
    _once(oids, "association")
    hold(all(len(oid) == 16 for oid in oids), "oids of 16 octets", "others")


@KEYSYNC.must("An association that nobody opened is GONE, without chunks.", "agreement 4")
async def an_unknown_association_is_gone(subject: Subject) -> None:
    taken = await _ask(subject, "take", keysync.Take(oid=os.urandom(16), max_bytes=1 << 16), keysync.Taken)
    hold(taken.state == keysync.GONE and not taken.runs, "GONE", keysync.StreamState.Name(taken.state))


@DISPATCHER.must(
    "Each worker of `list_workers` is named once, and no more is promised there than its capacity.", "dispatcher.proto"
)
async def workers_add_up(subject: Subject) -> None:
    said = await _ask(subject, "list_workers", dispatcher.ListWorkers(), dispatcher.Workers)
    hold(said.workers, "a worker at least", "none")
    _once((worker.worker for worker in said.workers), "worker")
    _once((link.peer for link in said.links), "link")
    for worker in said.workers:
        _among(worker.state, WORKER_STATES, f"worker {worker.worker}")
        # what runs may be more for a while: a job that was promised room, and begins late, is not turned away
        most, promised = worker.capacity, worker.reserved
        hold(promised <= most, f"room for at most {most} jobs promised at worker {worker.worker}", f"{promised}")


@DISPATCHER.must("Cancelling a job that is not there is no mistake.", "dispatcher.proto")
async def cancelling_nothing_is_no_mistake(subject: Subject) -> None:
    await _ask(subject, "cancel", dispatcher.Cancel(name=_no_job()), dispatcher.Cancelled)


@QBACKEND.must("Aborting an exchange that is not there is no mistake.", "qbackend.proto")
async def aborting_nothing_is_no_mistake(subject: Subject) -> None:
    await _ask(subject, "abort", qbackend.Abort(name=_no_job()), qbackend.Aborted)


@QBACKEND.must("No channel to a node that is no neighbour is here, and nobody is in it.", "qbackend.proto (Attack)")
async def no_channel_to_nobody_is_here(subject: Subject) -> None:
    answer = await _answer(subject, "attack", qbackend.Attack(peer=NOBODY))
    if answer.head.outcome != REFUSED:
        hold(not answer.read(qbackend.Attacked).here, "that it is not here, or REFUSED", "that it is here")


@EMULATOR.must("`list_lines` names each neighbour once.", "emulator.proto")
async def neighbours_are_listed(subject: Subject) -> None:
    said = await _ask(subject, "list_lines", emulator.ListLines(), emulator.Lines)
    _once(said.peers_up, "neighbour")


@EMULATOR.must("Pairs for a peer without a link are refused, and so is asking about its channel.", "emulator.proto")
async def a_peer_without_a_link_is_refused(subject: Subject) -> None:
    pairs = emulator.CreatePairs(peer=NOBODY, line="x", count=1)
    for method, asked in (("create_pairs", pairs), ("attack", qbackend.Attack(peer=NOBODY))):
        answer = await _answer(subject, method, asked)
        hold(answer.head.outcome == REFUSED, f"REFUSED for {method}", answer.words)


_OF: dict[LayerName, Suite] = {
    "keymanager": KEYMANAGER,
    "keysync": KEYSYNC,
    "dispatcher": DISPATCHER,
    "qbackend": QBACKEND,
    "emulator": EMULATOR,
}


def of(layer: LayerName) -> list[Check]:
    """Return the checks of a layer that need nothing but its endpoint, beyond those of the bus."""
    return [*EVERY.checks, *_OF[layer].checks]


def _unknown(subject: Subject) -> set[int]:
    """Return the statuses that may be said of an unknown stream; of a process elsewhere the settings are not known."""
    stage = subject.stage
    if stage is None:
        return {unknown_stream(False), unknown_stream(True)}
    return {unknown_stream(stage.settings(name).security.strict_status) for name in list(stage.processes)[:1]}


def _no_job() -> dispatcher.JobName:
    return dispatcher.JobName(peer=NOBODY, epoch_n=1, epoch_r=int.from_bytes(os.urandom(8)), job=1)


async def _answer(subject: Subject, method: str, request: Message) -> Answer:
    line = subject.line()
    try:
        return await line.ask(method, request)
    finally:
        line.close()


async def _ask(subject: Subject, method: str, request: Message, kind: type[Kind]) -> Kind:
    return (await _answer(subject, method, request)).read(kind)


def _once(names: Iterable[object], what: str) -> None:
    every = list(names)
    hold(len(set(every)) == len(every), f"each {what} once", f"{len(every) - len(set(every))} of them again")


def _among(state: str, states: Collection[str], who: str) -> None:
    hold(state in states, f"{who}: one of {', '.join(sorted(states))}", repr(state[:40]))
