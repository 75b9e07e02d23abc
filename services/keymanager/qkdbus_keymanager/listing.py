"""The streams of a node, for `qkdbus status` and for applications that look after their own."""

from __future__ import annotations

from qkdbus.contracts.call import OPERATOR
from qkdbus.wire.keymanager_pb2 import StreamInfo, Streams

from .registry import Known, Registry
from .stream import EVERYONE, State, Stream


def list_streams(registry: Registry, user: str) -> Streams:
    """Return the streams that `user` may use, and for the operator those that only a neighbour holds."""
    everything = user in (EVERYONE, OPERATOR)
    streams = [_info(s) for s in registry.streams.values() if everything or s.app == user]
    if everything:
        streams += [_known(ksid, known) for ksid, known in registry.known.items()]
    return Streams(streams=streams)


def _info(stream: Stream) -> StreamInfo:
    return StreamInfo(
        ksid=stream.ksid,
        source=stream.source,
        destination=stream.destination,
        peer=stream.peer,
        state=_state(stream),
        qos=stream.qos,
        delivered=stream.delivered,
        expired=stream.expired,
        buffered=stream.fresh,
        next_index=stream.next_index,
    )


def _state(stream: Stream) -> str:
    if stream.state == State.CLOSING:
        return "closing"
    if stream.draining_since:
        return "draining"
    return "ready" if stream.peer_attached else "half"


def _known(ksid: bytes, known: Known) -> StreamInfo:
    ends = known.source, known.destination
    return StreamInfo(ksid=ksid, source=ends[0], destination=ends[1], peer=known.peer, state="known", qos=known.qos)
