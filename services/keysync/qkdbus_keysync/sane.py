"""Refuse messages whose numbers no database could hold: a neighbour's fault must not end this process."""

from __future__ import annotations

from google.protobuf.message import Message

from qkdbus.wire import keysync_pb2 as wire

LARGEST = 1 << 62


def sane(message: wire.Reconcile) -> bool:
    """Tell whether all numbers of a message but the random ones are below LARGEST, and it says something."""
    kind = message.WhichOneof("kind")
    if kind is None or message.epoch.n >= LARGEST:
        return False
    return bounded(getattr(message, kind))


def bounded(message: Message) -> bool:
    """Tell whether all numbers of a message are below LARGEST; the random part of an epoch may be any."""
    for field, value in message.ListFields():
        if field.name == "r":
            continue
        values = value if field.is_repeated else (value,)
        for item in values:
            if isinstance(item, Message):
                if not bounded(item):
                    return False
            elif isinstance(item, int) and item >= LARGEST:
                return False
    return True
