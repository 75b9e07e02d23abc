"""An application that fetches keys in bulk as fast as they come, and keeps a digest of all of them.

Its digest is a chain, d(i) = SHA-256(d(i - 1), key i), so that two ends which have the same d(i) have had the same keys
up to i, whole and in the same order.

    python -m benchmarks.key_reader      (a job as JSON on stdin; what came as JSON on stdout)
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from typing import TypedDict

from qkdbus_client import Client

AT_ONCE = 1 << 20  # octets asked for in one call


class Job(TypedDict):
    """Read the stream `ksid` of keys of `chunk` octets at `node` until monotonic time `until`."""

    home: str
    network: str
    node: str
    ksid: str
    chunk: int
    until: float


class Got(TypedDict):
    """What came.

    Attributes:
        arrivals: monotonic time, and octets of key so far, of every answer with keys.
        digests: the chain's value after each key, in hexadecimal.
        cpu_s: processor time that it took.
    """

    arrivals: list[tuple[float, int]]
    digests: list[str]
    cpu_s: float


def read(job: Job) -> Got:
    """Carry out a job."""
    arrivals: list[tuple[float, int]] = []
    digests: list[str] = []
    chain, octets = b"", 0
    with Client(job["node"], network=job["network"], home=job["home"]) as client:
        while time.monotonic() < job["until"]:
            got = client.get_keys(job["ksid"], AT_ONCE // job["chunk"])
            assert not got.count or got.index == len(digests), "a key is missing"
            for key in got.keys:
                chain = hashlib.sha256(chain + key).digest()
                digests.append(chain.hex())
                octets += len(key)
            if got.count:
                arrivals.append((time.monotonic(), octets))
    return {"arrivals": arrivals, "digests": digests, "cpu_s": time.process_time()}


def main() -> None:
    """Read the job, read the keys, say what came."""
    json.dump(read(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main()
