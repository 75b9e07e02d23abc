"""Hearing of every block that the nodes of a network on this machine make, as their qbackend workers tell it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import zmq

from qkdbus.wire.head_pb2 import Event
from qkdbus.wire.record_pb2 import BlockRecord

from . import nodes

MADE, FAILED = "key_distilled", "exchange_failed"
SUBSCRIBED = 0.1  # s until a publisher surely knows of us
_STAGE = "stage_"


class Heard(NamedTuple):
    """An exchange that is over; `failure` says why there is no key, "" when there is one."""

    record: BlockRecord
    failure: str


class BlockEars:
    """Listens to the workers of one node. What was said before is not heard."""

    def __init__(self, network: Path, node: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        for event in (MADE, FAILED):
            self._socket.setsockopt(zmq.SUBSCRIBE, f"{node}.qbackend.{event}".encode())
        for worker in nodes.read(network, node).of("qbackend"):
            self._socket.connect(f"{worker.endpoint}.events")
        time.sleep(SUBSCRIBED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._context.destroy(linger=0)

    def hear(self, patience: float) -> Iterator[Heard]:
        """Yield what has come, having waited for it up to `patience` s."""
        ends = time.monotonic() + patience
        while self._socket.poll(max(0, int(1e3 * (ends - time.monotonic())))):
            _, body = self._socket.recv_multipart()
            yield read(Event.FromString(body))
            ends = time.monotonic()


def read(event: Event) -> Heard:
    """Return the record that an event tells. ValueError when a figure is none."""
    record = BlockRecord()
    for name, text in event.fields.items():
        field = BlockRecord.DESCRIPTOR.fields_by_name.get(name)
        if name.startswith(_STAGE):
            record.stages[name.removeprefix(_STAGE)] = float(text)
        elif name in ("block_id", "trace"):
            setattr(record, name, bytes.fromhex(text))
        elif field is not None:
            setattr(record, name, _value(field.cpp_type, text))
    return Heard(record, event.fields["reason"] if event.name == FAILED else "")


def _value(kind: int, text: str) -> str | int | float:
    from google.protobuf.descriptor import FieldDescriptor

    if kind == FieldDescriptor.CPPTYPE_STRING:
        return text
    return float(text) if kind == FieldDescriptor.CPPTYPE_DOUBLE else int(text)


def total(heard: Sequence[Heard], figure: str) -> float:
    """Add up a figure of the records."""
    return float(sum(getattr(one.record, figure) for one in heard))
