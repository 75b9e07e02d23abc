"""Makes hostile messages of the shape of real ones: seeded, so that a run can be repeated.

A message is written octet by octet along its descriptor, so that any field can hold what its type forbids. Values that
mean something where they are sent (a KSID that lives, the epoch of a link) are learnt from real messages.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Kind
from google.protobuf.message import Message

from qkdbus.bus.frames import PROTOCOL
from qkdbus.contracts.contract import Contract
from qkdbus.wire.head_pb2 import Head

from . import octets
from .octets import DELIMITED, FIXED32, FIXED64, FLOATS, INTEGERS, VARINT

TEXTS = (
    *("", "x", "a@Alice", "a@Bob", "qkd://a@Bob?key=1", "Alice", "Bob", "operator", "*", "local", "tcp://127.0.0.1:1"),
    *("\x00", "a\x00@Bob", "\x1b[2J\x1b]0;owned\x07", "\r\n{}", "a b@Bob", "\u202egnp.exe@Bob", "\u00e9" * 40),
    *("\U0001f511@Bob", "../../etc/passwd", "'; DROP TABLE open; --", "%s%n{0}", "a" * 2001 + "@Bob", "9" * 400),
    *("e91", "bb84", "ideal", "application/json;" + "x" * 300),
)
LENGTHS = (0, 1, 8, 15, 16, 16, 16, 17, 32, 300)
DEPTH = 5  # messages in messages
MOST_CALLERS = 64  # that call again and again; others call once
FIELDS, MANY_FIELDS = 60, 5000  # of a message; few have many
_VARINTS = {
    *(Kind.TYPE_INT32, Kind.TYPE_INT64, Kind.TYPE_UINT32, Kind.TYPE_UINT64, Kind.TYPE_SINT32, Kind.TYPE_SINT64),
    *(Kind.TYPE_BOOL, Kind.TYPE_ENUM),
}
_FIXED = {
    **dict.fromkeys((Kind.TYPE_DOUBLE, Kind.TYPE_FIXED64, Kind.TYPE_SFIXED64), FIXED64),
    **dict.fromkeys((Kind.TYPE_FLOAT, Kind.TYPE_FIXED32, Kind.TYPE_SFIXED32), FIXED32),
}
Value = int | str | bytes


@dataclass(frozen=True, slots=True)
class Slot:
    """A field of a message, as far as writing one goes."""

    number: int
    name: str
    type: int
    repeated: bool
    inner: Any  # descriptor of a message field


@cache
def slots(descriptor: Any) -> tuple[Slot, ...]:
    """Return the fields of a message."""
    return tuple(
        Slot(f.number, f.name, f.type, f.is_repeated, f.message_type if f.type == Kind.TYPE_MESSAGE else None)
        for f in descriptor.fields
    )


class Mutator:
    """A source of hostile messages.

    Attributes:
        known: field name -> values that mean something to who hears the message.
    """

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.known: dict[str, list[Value]] = {}
        self.samples: dict[type[Message], list[bytes]] = {}
        self._callers = [self.dice.randbytes(16) for _ in range(MOST_CALLERS)]
        self._numbers = dict.fromkeys(self._callers, 0)
        self._room = 0  # fields that may still be added to the message being made

    # -- learning
    def learn(self, **values: Iterable[Value]) -> None:
        """Remember values that mean something, by field name."""
        for name, some in values.items():
            held = self.known.setdefault(name, [])
            held += [value for value in some if value not in held]
            del held[:-32]

    def learn_from(self, message: Message) -> None:
        """Remember a real message, and what stands in it."""
        samples = self.samples.setdefault(type(message), [])
        samples.append(message.SerializeToString())
        del samples[:-64]
        self._learn(message)

    def _learn(self, message: Message) -> None:
        for found, value in message.ListFields():
            for one in value if found.is_repeated and not isinstance(value, dict) else (value,):
                if isinstance(one, Message):
                    self._learn(one)
                elif isinstance(one, int | str | bytes):
                    self.learn(**{found.name: [one]})

    # -- bodies
    def body(self, kind: type[Message]) -> bytes:
        """Return what may or may not be a message of that kind: a real one twisted, or one made up."""
        dice, real = self.dice, self.samples.get(kind)
        self._room = FIELDS if dice.random() < 0.995 else MANY_FIELDS
        if real and dice.random() < 0.6:
            made = self._twist(dice.choice(real), kind.DESCRIPTOR, DEPTH)
        else:
            made = self._invent(kind.DESCRIPTOR, DEPTH)
        return octets.scramble(dice, made) if dice.random() < 0.2 else made

    def _invent(self, descriptor: Any, depth: int) -> bytes:
        dice = self.dice
        out = []
        for slot in slots(descriptor):
            chance = dice.random()
            if chance < 0.3 or self._room <= 0:
                continue
            if chance > 0.98:
                out.append(octets.wrong(dice, slot.number))
                continue
            for _ in range(min(dice.choice((0, 1, 1, 2, 3, 1000)), max(1, self._room)) if slot.repeated else 1):
                out.append(self._hostile(slot, depth))
        if dice.random() < 0.05:
            dice.shuffle(out)
        return b"".join(out)

    def _twist(self, real: bytes, descriptor: Any, depth: int) -> bytes:
        """Return a real message with some of its fields as they should not be."""
        dice, shape = self.dice, {slot.number: slot for slot in slots(descriptor)}
        out = []
        for number, kind, value in octets.take_apart(real):
            slot, chance = shape.get(number), dice.random()
            if slot is not None and slot.inner is not None and chance < 0.7:
                out.append(octets.field(number, DELIMITED, self._twist(value, slot.inner, depth - 1)))
            elif chance < 0.7 or slot is None:
                out.append(octets.field(number, kind, value))
            elif chance < 0.93:
                out.append(self._hostile(slot, depth))
            elif chance < 0.96:
                out += [octets.field(number, kind, value)] * dice.choice((2, 2, 40))
        return b"".join(out)

    def _hostile(self, slot: Slot, depth: int) -> bytes:
        dice = self.dice
        self._room -= 1
        if slot.inner is not None:
            inner = self._invent(slot.inner, depth - 1) if depth > 0 else b""
            return octets.field(slot.number, DELIMITED, inner)
        known = self.known.get(slot.name)
        value = dice.choice(known) if known and dice.random() < 0.6 else None
        if slot.type in _VARINTS:
            number = value if isinstance(value, int) and value >= 0 else self._integer()
            return octets.field(slot.number, VARINT, octets.varint(number % 2**64))
        if slot.type in _FIXED:
            return octets.field(slot.number, _FIXED[slot.type], self._fixed(slot.type, value))
        if isinstance(value, str):
            value = value.encode()
        if not isinstance(value, bytes):
            value = self._text() if slot.type == Kind.TYPE_STRING else self._bytes()
        return octets.field(slot.number, DELIMITED, value)

    def _integer(self) -> int:
        dice = self.dice
        chance = dice.random()
        if chance < 0.4:
            return dice.choice(INTEGERS)
        return dice.randrange(20) if chance < 0.7 else dice.getrandbits(dice.choice((8, 16, 32, 64)))

    def _fixed(self, kind: int, value: Value | None) -> bytes:
        if kind in (Kind.TYPE_DOUBLE, Kind.TYPE_FLOAT):
            number = self.dice.choice(FLOATS)
            if kind == Kind.TYPE_DOUBLE:
                return struct.pack("<d", number)
            return struct.pack("<I", self.dice.getrandbits(32))
        size = 8 if _FIXED[kind] == FIXED64 else 4
        number = value if isinstance(value, int) else self._integer()
        return (number & (1 << 8 * size) - 1).to_bytes(size, "little")

    def _text(self) -> bytes:
        dice = self.dice
        if dice.random() < 0.06:
            return dice.randbytes(dice.choice((1, 3, 40)))  # most likely no UTF-8
        return dice.choice(TEXTS).encode()

    def _bytes(self) -> bytes:
        return self.dice.randbytes(self.dice.choice(LENGTHS))

    # -- whole messages
    def call(self, contract: Contract, methods: Sequence[str] = ()) -> list[bytes]:
        """Return the frames of one hostile message, after the envelope's delimiter and with it."""
        dice = self.dice
        name = dice.choice(methods or tuple(contract.methods))
        head, body = self._head(name), self.body(contract.methods[name].request)
        if dice.random() < 0.97:
            return [b"", PROTOCOL, head, body]
        return self._misframed(head, body)

    def _misframed(self, head: bytes, body: bytes) -> list[bytes]:
        wrongs = (
            *([b""], [b"x"], [b"", b""], [b"", PROTOCOL], [b"", PROTOCOL, head], [PROTOCOL, head, body]),
            *([b"", b"qkdbus/2", head, body], [b"", PROTOCOL, head, body, b""], [b"", b"", PROTOCOL, head, body]),
            *([b"", PROTOCOL, body, head], [b"", PROTOCOL, b"\xff" * 40, body], [head] * 20, [b"", *[PROTOCOL] * 60]),
            [b"x", b"y", b"", PROTOCOL, head, body],
        )
        return [*self.dice.choice(wrongs)]

    def _head(self, method: str) -> bytes:
        dice = self.dice
        chance = dice.random()
        if chance < 0.03:
            return octets.scramble(dice, self._invent(Head.DESCRIPTOR, 1))
        if chance < 0.06:
            method = dice.choice((*TEXTS, method.upper(), f"_{method}", f"{method} ", "__init__", "commit"))
        caller = self._caller()
        number = self._numbers.get(caller, 0)
        call = dice.choice((number + 1, number + 1, number + 1, number, max(0, number - 3), 0))
        settled = dice.choice((number, number, number, 0, call))
        if dice.random() < 0.06:  # beyond all that comes: this caller will hardly be heard again
            call, settled = dice.choice(((call, dice.choice(INTEGERS)), (dice.choice(INTEGERS), settled)))
            self._replace(caller)
        elif caller in self._numbers:
            self._numbers[caller] = number + 1
        # mostly short: what is waited for is not the point
        patience = dice.choice((1, 20, 20, 50)) if dice.random() < 0.95 else dice.choice((0, 2**32 - 1))
        head = Head(method=method, caller=caller, call=call, settled=settled, patience_ms=patience)
        head.trace = dice.randbytes(8)
        return bytes(head.SerializeToString())

    def _replace(self, caller: bytes) -> None:
        if self._numbers.pop(caller, None) is not None:
            new = self.dice.randbytes(16)
            self._callers[self._callers.index(caller)] = new
            self._numbers[new] = 0

    def _caller(self) -> bytes:
        dice = self.dice
        chance = dice.random()
        if chance < 0.7:
            return dice.choice(self._callers)
        return dice.randbytes(16) if chance < 0.9 else dice.randbytes(dice.choice((0, 0, 1, 15, 300)))
