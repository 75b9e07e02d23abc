"""Both ends of a line of entangled pairs on a photonic link, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.setup import PairSetup
from qkdbus_qbackend.emulators.photonic.clock import LinkClock
from qkdbus_qbackend.emulators.photonic.pairs import PairLine
from qkdbus_qbackend.emulators.port import Pairs
from qkdbus_qbackend.protocols import PROTOCOLS
from qkdbus_qbackend.protocols.sifting import Sifted
from qkdbus_qbackend.protocols.talk import drive

NOBODY = Eavesdropper()
LOSSLESS = PairSetup(1e6, (0.0, 0.0), (1.0, 1.0), (0.0, 0.0), 1e-15)


class Plane:
    """A quantum plane in memory."""

    def __init__(self) -> None:
        self.signals: asyncio.Queue[bytes] = asyncio.Queue()

    def signal(self, body: bytes) -> None:
        self.signals.put_nowait(body)

    async def sense(self) -> bytes:
        return await self.signals.get()


class Wall:
    """A wall clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.longest = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.longest, until = max(self.longest, seconds), self.now + seconds
        await asyncio.sleep(0)
        self.now = max(self.now, until)


Eve = Callable[[], Eavesdropper]


class PairBench:
    """Both ends of a line. Even what a real line takes from the system's generator is the same in each run."""

    def __init__(
        self,
        setup: PairSetup = LOSSLESS,
        eve: Eavesdropper | Eve = NOBODY,
        speed: float = 0.0,
        seed: int = 1,
        token: Callable[[int], bytes] | None = None,
    ) -> None:
        self.wall, self.plane = Wall(), Plane()
        self.token = token = token or np.random.default_rng(1000 + seed).bytes
        here = eve if callable(eve) else lambda: eve
        self.clocks = [LinkClock(speed, self.wall, self.wall.sleep) for _ in range(2)]
        mine, other = self.clocks
        self.source = PairLine(self.plane, setup, here, mine, token, seed, "source")
        self.sink = PairLine(self.plane, setup, here, other, token, seed, "sink")

    async def measure(self, pairs: Pairs, mine: Any, theirs: Any) -> tuple[Any, Any]:
        one = await self.source.measure(pairs, np.broadcast_to(np.uint8(mine), pairs.count))
        arrived = await self.sink.await_pairs()
        assert arrived == pairs
        return one, await self.sink.measure(arrived, np.broadcast_to(np.uint8(theirs), pairs.count))

    async def differ(self, mine: int, theirs: int, count: int = 40_000) -> float:
        """Return the share of pairs whose outcomes differ, for one basis at each end."""
        one, other = await self.measure(await self.source.create_pairs(count), mine, theirs)
        return float(np.mean(one != other))

    async def exchange(self, name: str, count: int) -> tuple[Sifted, Sifted]:
        """Sift one batch with a protocol of pairs."""
        protocol = PROTOCOLS[name]
        assert protocol.signal == "pairs"
        there, back = asyncio.Queue[bytes](), asyncio.Queue[bytes]()
        pairs = await self.source.create_pairs(count)
        source = drive(protocol.source(pairs, self.token), there.put_nowait, back.get, self.source)

        async def sink() -> Sifted:
            arrived = await self.sink.await_pairs()
            return await drive(protocol.sink(arrived, self.token), back.put_nowait, there.get, self.sink)

        ours, theirs = await asyncio.gather(source, sink())
        return ours, theirs


@pytest.fixture
def pair_bench() -> type[PairBench]:
    """Return a maker of benches."""
    return PairBench
