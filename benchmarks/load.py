"""The load generator and the bare echo of `benchmarks.get_key`: one program, so that both servers meet the same client.

A generator is a process with one DEALER socket that keeps `in_flight` calls under way: the frames of the bus
(`b"", b"qkdbus/1", Head, GetKey`), every call numbered, `settled` said, and sent again after half a second without any
answer. What it sends and what it does with an answer is the same whoever is at the other end.

The echo is the least a pyzmq server can do: a thread in `recv_multipart` on a ROUTER (CURVE, or ipc in the clear) that
sends back the envelope, protocol and Head frames as they came, and a body as long as the key manager's.

    python -m benchmarks.load call | echo        (a job as JSON on stdin; see `Job`, `echo`)
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import zmq

from qkdbus.wire.head_pb2 import Head
from qkdbus.wire.keymanager_pb2 import GetKey, GetKeys, Key, Keys

PROTOCOL = b"qkdbus/1"
REPEAT_MS = 500  # without any answer, all calls under way are sent again
PATIENCE_MS = 30_000
GIVE_UP = 40  # times without any answer
QUANTILES = 2_000  # what a generator tells of its latencies
BINS = 10  # a second
NO_KEY = b"\x08"  # how an answer begins whose first field, the status, is not 0


class Way(TypedDict):
    """Where a server is, and the keys to it (CURVE, Z85); without `server_key` in the clear."""

    endpoint: str
    server_key: str
    public_key: str
    secret_key: str


class Job(TypedDict):
    """What one generator does: `count` keys a call (0: get_key) of the stream `ksid`, for `seconds`, `most` calls."""

    way: Way
    ksid: str
    count: int
    most: int
    in_flight: int
    seconds: float
    ours: bool  # the key manager answers, whose keys are to be looked at; else the echo


class Generator:
    """One caller of one stream. Keeps the answers' bodies as they came and reads them after the time is over."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], job: Job) -> None:
        self._in_flight, self._seconds, self._ours = job["in_flight"], job["seconds"], job["ours"]
        self._many, self._most = bool(job["count"]), job["most"]
        self._ksid = bytes.fromhex(job["ksid"])
        request = GetKeys(ksid=self._ksid, count=job["count"]) if self._many else GetKey(ksid=self._ksid)
        self._body = request.SerializeToString()
        method = "get_keys" if self._many else "get_key"
        self._head = Head(method=method, caller=os.urandom(16), patience_ms=PATIENCE_MS)
        self._waiting: dict[int, float] = {}  # number -> when it was sent, oldest first
        self._number = 0
        self._latencies: list[float] = []
        self._bodies: list[bytes] = []
        self._repeats = 0
        self._socket = _socket(context, zmq.DEALER, job["way"])
        self._socket.setsockopt(zmq.RCVTIMEO, REPEAT_MS)
        self._socket.connect(job["way"]["endpoint"])

    def greet(self) -> None:
        """Have one call answered, of which nothing is kept: the connection is there."""
        self._call(Head(method="ping"), b"")
        self._receive()

    def run(self, at: float) -> dict[str, Any]:
        """Call from `at` on (monotonic clock) for the time agreed; return what came, by tenths of a second."""
        time.sleep(max(0.0, at - time.monotonic()))
        ends = at + self._seconds
        for _ in range(min(self._in_flight, self._most)):
            self._send()
        bins = self._go_on(at, ends)
        in_time = sum(bins)
        while self._waiting:
            self._take(self._receive())
        self._settle()
        keys = self._keys() if self._ours else {}
        return {"bins": bins, "repeats": self._repeats, "latencies": self._quantiles(in_time), **keys}

    def _go_on(self, at: float, ends: float) -> list[int]:
        """Be the loop that is timed: an answer comes, the next call goes. Returns the answers by tenths of a second.

        The list is shorter when the calls were used up before the time.
        """
        bins = [0] * math.ceil(BINS * self._seconds)
        while (now := self._take(self._receive())) < ends:
            bins[int((now - at) * BINS)] += 1
            while len(self._waiting) < self._in_flight and self._number < self._most:
                self._send()
            if not self._waiting:
                return bins[: 1 + int((now - at) * BINS)]
        return bins

    def _send(self) -> None:
        self._number += 1
        head = self._head
        head.call = self._number
        head.settled = next(iter(self._waiting), self._number)
        self._socket.send_multipart([b"", PROTOCOL, head.SerializeToString(), self._body])
        self._waiting[self._number] = time.monotonic()

    def _receive(self) -> list[bytes]:
        for _ in range(GIVE_UP):
            try:
                return self._socket.recv_multipart()
            except zmq.Again:
                self._repeat()
        raise SystemExit("no answer")

    def _repeat(self) -> None:
        for number in self._waiting:
            self._head.call, self._head.settled = number, next(iter(self._waiting))
            self._call(self._head, self._body)
            self._repeats += 1

    def _call(self, head: Head, body: bytes) -> None:
        self._socket.send_multipart([b"", PROTOCOL, head.SerializeToString(), body])

    def _take(self, frames: list[bytes]) -> float:
        now = time.monotonic()
        head, body = Head.FromString(frames[2]), frames[3]
        sent = self._waiting.pop(head.call, None)
        if sent is not None:
            if head.outcome or body[:1] == NO_KEY:
                raise SystemExit(f"no key: {head.reason or Key.FromString(body).reason}")
            self._latencies.append(now - sent)
            self._bodies.append(body)
        return now

    def _settle(self) -> None:
        """Say that every answer has come, with a call that delivers nothing: index 0 is delivered long since."""
        self._number += 1
        settled = Head(method="get_key", caller=self._head.caller, call=self._number, settled=self._number)
        self._call(settled, GetKey(ksid=self._ksid, index=0).SerializeToString())
        self._receive()

    def _quantiles(self, calls: int) -> list[float]:
        told = sorted(self._latencies[:calls])
        step = max(1, len(told) // QUANTILES)
        return [round(seconds, 7) for seconds in told[step // 2 :: step]]

    def _keys(self) -> dict[str, Any]:
        """Say which indices came, and what their bits are, in a digest over the order of index."""
        kind = Keys if self._many else Key
        answers = sorted((kind.FromString(body) for body in self._bodies), key=lambda answer: answer.index)
        first = after = answers[0].index if answers else 0
        digest = hashlib.sha256()
        for answer in answers:
            if answer.index != after:
                raise SystemExit(f"index {answer.index} came where {after} was due")
            after += answer.count if isinstance(answer, Keys) else 1
            digest.update(answer.keys if isinstance(answer, Keys) else answer.key)
        return {"first": first, "count": after - first, "digest": digest.hexdigest()}


def start(what: str, job: Any) -> subprocess.Popen[str]:
    """Start a generator ("call") or the echo ("echo") with its job."""
    command = [sys.executable, "-m", "benchmarks.load", what]
    root = Path(__file__).parents[1]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
    say(process, json.dumps(job))
    return process


def say(process: subprocess.Popen[str], text: str) -> None:
    """Write it a line."""
    assert process.stdin is not None
    print(text, file=process.stdin, flush=True)


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line that it writes. RuntimeError when it has ended."""
    assert process.stdout is not None
    said = process.stdout.readline().strip()
    if not said:
        raise RuntimeError(f"a load generator ended with {process.wait()}")
    return said


def call() -> None:
    """Be one generator: a job on stdin, "ready", the time to begin on stdin, the result."""
    job: Job = json.loads(sys.stdin.readline())
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    generator = Generator(context, job)
    generator.greet()
    print("ready", flush=True)
    print(json.dumps(generator.run(float(sys.stdin.readline()))), flush=True)
    context.destroy(linger=0)


def echo() -> None:
    """Be the bare echo until killed; a job of `endpoint`, `server_secret`, `count` on stdin, where it is on stdout."""
    asked = json.loads(sys.stdin.readline())
    body = Key(index=1 << 20, key=bytes(32)).SerializeToString()
    if asked["count"]:
        body = Keys(index=1 << 20, count=asked["count"], keys=bytes(32 * asked["count"])).SerializeToString()
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    if asked["server_secret"]:
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_SECRETKEY, asked["server_secret"].encode())
    socket.bind(asked["endpoint"])
    print(socket.getsockopt_string(zmq.LAST_ENDPOINT), flush=True)
    while True:
        identity, empty, protocol, head, _ = socket.recv_multipart()
        socket.send_multipart([identity, empty, protocol, head, body])


def merge(latencies: list[list[float]]) -> tuple[float, float]:
    """Return (p50, p99) in s of the latencies that several generators told."""
    told: Iterator[float] = (value for each in latencies for value in each)
    pool = sorted(told)
    return pool[len(pool) // 2], pool[min(len(pool) - 1, len(pool) * 99 // 100)]


def _socket(context: zmq.Context[zmq.Socket[bytes]], kind: int, way: Way) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    if way["server_key"]:
        socket.setsockopt(zmq.CURVE_SERVERKEY, way["server_key"].encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, way["public_key"].encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, way["secret_key"].encode())
    return socket


if __name__ == "__main__":
    {"call": call, "echo": echo}[sys.argv[1]]()
