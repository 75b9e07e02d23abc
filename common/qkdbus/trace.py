"""The trace of a call: 8 octets that follow it through the layers, so that their logs read as one story.

A ninth octet says that somebody wants to read it: then each layer that the work reaches logs what it did at level
info, else at debug. The trace of the work under way is ambient (a context variable): tasks inherit it, the bus sends
it on with every call, logs and events carry it. So no layer has to hand it around, and any may.
"""

from __future__ import annotations

import hashlib
import os
from contextvars import ContextVar, Token
from types import TracebackType

SIZE = 8  # octets of a name
LONGEST = SIZE + 1
WATCHED = b"\x01"  # the ninth

CURRENT: ContextVar[bytes] = ContextVar("qkdbus_trace", default=b"")


def new(*, watch: bool = False) -> bytes:
    """Return a trace that nobody had before."""
    return os.urandom(SIZE) + (WATCHED if watch else b"")


def read(name: str | bytes, *, watch: bool = True) -> bytes:
    """Return the trace of this name: 8 octets, or 16 hexadecimal digits. ValueError when it is neither."""
    octets = bytes.fromhex(name) if isinstance(name, str) else bytes(name)
    if len(octets) != SIZE:
        raise ValueError(f"a trace is {SIZE} octets ({2 * SIZE} hexadecimal digits), not {len(octets)}")
    return octets + (WATCHED if watch else b"")


def name(trace: bytes) -> str:
    """Return what logs call it: 16 hexadecimal digits; "" for none."""
    return trace[:SIZE].hex()


def watched(trace: bytes) -> bool:
    """Whether somebody wants to read it."""
    return len(trace) > SIZE


def of_job(epoch_n: int, epoch_r: int, job: int) -> bytes:
    """Return the trace of an exchange: both ends of the link know it by the job's name, without a word."""
    named = b"qkdbus job" + epoch_n.to_bytes(8, "little") + epoch_r.to_bytes(8, "little") + job.to_bytes(8, "little")
    return hashlib.sha256(named).digest()[:SIZE]


class following:  # noqa: N801  (reads as `with following(trace):`)
    """Let what is done inside, and every task that it begins, belong to a trace; b"" for none."""

    __slots__ = ("_token", "_trace")

    def __init__(self, trace: bytes) -> None:
        self._trace = trace if len(trace) <= LONGEST else b""

    def __enter__(self) -> None:
        self._token: Token[bytes] = CURRENT.set(self._trace)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        CURRENT.reset(self._token)
