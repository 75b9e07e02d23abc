"""Files and requests as they should not be: real ones mangled, and values of any kind where others belong."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

WORDS = (
    "",
    "x",
    "Alice",
    "\x00",
    "\x1b[2J",
    "\u202e",
    "../..",
    "/etc/passwd",
    "'",
    '"',
    "[[" * 40,
    "9" * 5000,
    "nan",
    "\ud7ff",
)
NUMBERS = (0, 1, -1, 2**31, 2**63, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan"))
PIECES = (
    *(
        b"- ",
        b": ",
        b"\n",
        b"  ",
        b"[",
        b"]",
        b"{",
        b"}",
        b"&a ",
        b"*a",
        b"!!int ",
        b"!!timestamp ",
        b"!!float ",
        b"!x ",
    ),
    *(
        b"'",
        b'"',
        b"|",
        b">",
        b"<<: *a",
        b"\t",
        b"? ",
        b"\x00",
        b"\xff",
        b"%YAML 9",
        b"---\n",
        b"...\n",
        b"!!python/name:os",
    ),
    *(b"2026-99-99", b"0x", b"1e999", b"[" * 300, b"{a: " * 200),
)


def value(dice: random.Random, depth: int = 3) -> Any:
    """Return a value of any kind that JSON has."""
    kind = dice.randrange(8 if depth > 0 else 6)
    if kind < 2:
        return dice.choice(WORDS)
    if kind < 4:
        return dice.choice(NUMBERS)
    if kind < 6:
        return dice.choice((None, True, False, dice.getrandbits(70)))
    if kind == 6:
        return [value(dice, depth - 1) for _ in range(dice.randrange(4))]
    return {dice.choice(WORDS): value(dice, depth - 1) for _ in range(dice.randrange(4))}


def twisted(dice: random.Random, real: Any, chance: float = 0.15) -> Any:
    """Return a value of JSON with some of it replaced, dropped, or doubled."""
    if dice.random() < chance:
        return value(dice)
    if isinstance(real, Mapping):
        kept = {name: twisted(dice, inner, chance) for name, inner in real.items() if dice.random() > chance / 2}
        return kept | ({dice.choice(WORDS): value(dice)} if dice.random() < chance else {})
    if isinstance(real, Sequence) and not isinstance(real, str):
        return [twisted(dice, inner, chance) for inner in real for _ in range(dice.choice((1, 1, 1, 1, 0, 2)))]
    return real


def mangled(dice: random.Random, octets: bytes) -> bytes:
    """Return the octets of a file with some of them changed, moved, or put in."""
    broken = bytearray(octets)
    for _ in range(dice.choice((1, 1, 2, 5))):
        at, kind = dice.randrange(len(broken) + 1), dice.randrange(5)
        if kind == 0:
            broken[at:at] = dice.choice(PIECES)
        elif kind == 1:
            del broken[at : at + dice.choice((1, 3, 40))]
        elif kind == 2:
            broken[at:at] = broken[dice.randrange(len(broken) + 1) :][:60]
        elif kind == 3 and at < len(broken):
            broken[at] = dice.randrange(256)
        else:
            del broken[at + 200 * dice.randrange(9) :]
    return bytes(broken)


def json_text(dice: random.Random, real: Any) -> bytes:
    """Return what may or may not be JSON, like `real`."""
    chance = dice.random()
    if chance < 0.02:
        return dice.choice((b"", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"nul", b"[" + b"1," * 1000 + b"1]"))
    text = json.dumps(twisted(dice, real)).encode()
    return mangled(dice, text) if chance < 0.3 else text
