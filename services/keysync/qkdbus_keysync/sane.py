"""Refuse messages that no honest neighbour says: its fault must not end this process, nor fill its memory."""

from __future__ import annotations

from google.protobuf.message import Message

from qkdbus.wire import keysync_pb2 as wire

LARGEST = 1 << 62
FAR = 1 << 61  # epochs: up to there an end may be behind by any number (its store may be new), beyond it by LEAP
LEAP = 1024
LONGEST_ID = 64  # octets: of a run, a chain, an association
LONGEST_TEXT = 4096  # characters: of an endpoint, a reason
SHOWN = 300  # characters of a neighbour's text that somebody may get to see
_TEXTS = {"failed": ("reason", "alarm"), "drop": ("alarm",)}  # said to a person in the end


def sane(message: wire.Reconcile, here: int) -> bool:
    """Tell whether a message says something, its numbers but the random ones are below LARGEST, its names short.

    `here` is the number of this end's epoch. Each epoch has a higher number than the last, for the whole life of a
    link: a neighbour shall not use all numbers up with one word.
    """
    kind = message.WhichOneof("kind")
    if kind is None or message.epoch.n >= LARGEST or FAR < message.epoch.n > here + LEAP:
        return False
    return len(message.trace) <= LONGEST_ID and bounded(getattr(message, kind))


def bounded(message: Message) -> bool:
    """Tell whether all numbers and names of a message are of a sane size; the random part of an epoch may be any."""
    for field, value in message.ListFields():
        if field.name == "r":
            continue
        values = value if field.is_repeated else (value,)
        if not all(_fits(item, field.name) for item in values):
            return False
    return True


def _fits(item: object, name: str) -> bool:
    if isinstance(item, Message):
        return bounded(item)
    if isinstance(item, str):
        return len(item) <= LONGEST_TEXT
    if isinstance(item, bytes):
        return name == "entry" or len(item) <= LONGEST_ID
    return not isinstance(item, int) or item < LARGEST


def clean(message: wire.Reconcile) -> None:
    """Make what a person will read of a message readable: short, and nothing that a terminal would obey."""
    kind = message.WhichOneof("kind") or ""
    said = getattr(message, kind, None)
    for name in _TEXTS.get(kind, ()):
        text = getattr(said, name)[:SHOWN]
        setattr(said, name, "".join(letter if letter.isprintable() else "?" for letter in text))
