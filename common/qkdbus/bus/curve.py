"""CURVE on every TCP socket: who we are, whom we let in (ZAP, RFC 27).

A door has a name ("peers", "north"); the ZAP handler of the process answers, for a client's public key, under
which name it may come in through that door. The name is then `Call.user`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from ..errors import BadFile
from .pump import Pump

Renewed = Callable[[], "tuple[KeyPair, str] | None"]  # our pair and the server's key, if they are others than before
ZAP = "inproc://zeromq.zap.01"
SENDER = "X-Sender"  # property of each message that came through a guarded door: the sender's public key, Z85
# What reading a file raises that holds no list of keys: no JSON, no names, keys that are no Z85.
NO_LIST = (ValueError, TypeError, AttributeError, LookupError, RecursionError, struct.error)
Names = Callable[[], Mapping[bytes, str]]  # public key (32 octets) -> name


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair, Z85 text (RFC 32). Never shows its secret."""

    public: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls) -> KeyPair:
        """Make a pair from the system's random generator."""
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())

    @classmethod
    def read(cls, file: Path) -> KeyPair:
        """Read `{"public_key": ..., "secret_key": ...}`. BadFile when it is not that."""
        try:
            said = json.loads(file.read_text())
            return cls(said["public_key"], said["secret_key"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadFile(f"{file}: no CURVE key pair there ({type(error).__name__})") from None


def secure_server(socket: zmq.Socket[bytes], pair: KeyPair, door: str) -> None:
    """Make a socket, before it binds, a CURVE server whose door is guarded by ZAP."""
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.encode())
    socket.setsockopt(zmq.ZAP_DOMAIN, door.encode())


def secure_client(socket: zmq.Socket[bytes], pair: KeyPair, server_key: str) -> None:
    """Make a socket, before it connects, a CURVE client that talks only to `server_key`."""
    socket.setsockopt(zmq.CURVE_SERVERKEY, server_key.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, pair.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, pair.secret.encode())


class AppsFile:
    """`apps.json` ({application: public key}), read again whenever it changes on disk."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp: tuple[int, int] | None = None
        self._names: dict[bytes, str] = {}

    def __call__(self) -> Mapping[bytes, str]:
        """Return who is known now: public key (32 octets) -> application."""
        try:
            found = self._file.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp != self._stamp:
                said = json.loads(self._file.read_text())
                self._names = {z85.decode(key.encode()): name for name, key in said.items()}
                self._stamp = stamp
        except (OSError, *NO_LIST):
            self._names, self._stamp = {}, None  # closed rather than open
        return self._names


class Gatekeeper:
    """The ZAP handler of one process: ROUTER on the well-known inproc address, one answer a handshake."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], refused: Callable[[str, str], None]) -> None:
        self._doors: dict[bytes, Names] = {}
        self._refused = refused
        self._socket = context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(ZAP)
        self._pump = Pump(self._socket, self._drain)

    def guard(self, door: str, names: Names) -> None:
        """Let in through `door` those whom `names()` knows at that moment."""
        self._doors[door.encode()] = names

    def close(self) -> None:
        """Let nobody in any more."""
        self._pump.close()
        self._socket.close()

    def _drain(self, most: int) -> bool:
        for _ in range(most):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            cut = frames.index(b"") + 1
            self._socket.send_multipart([*frames[:cut], *self._judge(frames[cut:])])
            self._pump.nudge()
        return True

    def _judge(self, asked: list[bytes]) -> list[bytes]:
        version, number, door, address, _identity, mechanism, *credentials = asked
        names = self._doors.get(door)
        name = names().get(credentials[0]) if names and mechanism == b"CURVE" and credentials else None
        if name is None:
            self._refused(door.decode(errors="replace"), address.decode(errors="replace"))
            # 300, not 400: a client that was told 400 never tries again, even when it is let in a moment later
            return [version, number, b"300", b"not known here", b"", b""]
        return [version, number, b"200", b"OK", name.encode(), _property(SENDER, z85.encode(credentials[0]))]


def _property(name: str, value: bytes) -> bytes:
    """Encode a property as ZMTP 3.1 does: the name with its length in one octet, the value with its in four."""
    return bytes([len(name)]) + name.encode() + len(value).to_bytes(4, "big") + value
