"""A line of entangled pairs on a photonic link: coincidences drawn one by one, never the pairs that get lost.

Who does what: the source's emulator measures its half as its protocol asks, with a fair outcome of the system's
generator; what is then on its way (a state collapsed, met by an eavesdropper and by noise) goes over the quantum plane;
the sink's emulator decides by Born's rule from its own protocol's bases. Channel noise comes from a seeded generator,
outcomes never do. Like any emulation plane it is trusted: no protocol code sees what passes there.

The link's clock decides how many pairs there can be: waiting times between coincidences are exponential, so that of
`count` of them is a gamma variate, and what came of them in a shorter time a binomial one.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from qkdbus.errors import Unavailable
from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.setup import PairSetup

from ...bits import octet_count, wipe
from ...failure import Broken
from ..ideal import Quantum
from ..port import Bases, Bits, Pairs, Role, Y
from . import born
from .chance import Keystream
from .clock import LinkClock
from .coincidences import Coincidences, way

_HEAD = struct.Struct("<QQQdB")  # batch, pairs detected, pairs sent, s of link time, her angles
_ANGLE = np.dtype("<f8")
_MOST = 1 << 56  # pairs sent, or s, that another end may tell of
_ALL = float(1 << 32)  # what a probability of 1 is among draws of 32 bits
States = npt.NDArray[np.uint8]  # shape (count,): octets as in `born.outcomes_of_states`; SECRET


class PairLine:
    """One end of the one line that a quantum plane carries. See `port.Line`.

    `eve` says who is in the channel now. `token` gives the outcomes (the system's random generator), `seed` the noise.

    Attributes:
        link_time: s of the link's clock that its batches took.
    """

    def __init__(
        self,
        quantum: Quantum,
        setup: PairSetup,
        eve: Callable[[], Eavesdropper],
        clock: LinkClock,
        token: Callable[[int], bytes],
        seed: int,
        role: Role,
    ) -> None:
        self._quantum, self._setup, self._eve, self._clock = quantum, setup, eve, clock
        self._stream = Keystream(token)
        self._dice = np.random.default_rng([seed, role == "sink"])
        self.link_time = 0.0
        self._made = 0
        self._fresh: dict[int, tuple[born.Way, float]] = {}  # source: batches that were not measured
        self._arrived: dict[int, tuple[States, tuple[float, ...]]] = {}  # sink: the same
        self._open = True
        clock.enter()

    async def create_pairs(self, count: int) -> Pairs:
        """See `port.Line`. The batch leaves when its half here is measured."""
        eve = self._eve()
        rate = Coincidences.of(self._setup, eve.cut).total
        seconds, found = self._wait(count, rate)
        await self._clock.until(self._clock.reserve(seconds))
        self.link_time += seconds
        # Pairs that both ends detected had been sent; so had Poissonian many more (but for accidental ones).
        lost = self._dice.poisson(max(0.0, self._setup.rate_hz - rate) * seconds)
        pairs = Pairs(self._made, found, found + int(lost))
        self._made += 1
        self._fresh[pairs.batch] = way(self._setup, eve), seconds
        return pairs

    async def await_pairs(self) -> Pairs:
        """See `port.Line`."""
        pairs, seconds, angles, states = _read(await self._quantum.sense())
        self._arrived[pairs.batch] = states, angles
        self._clock.count(seconds)
        self.link_time += seconds
        return pairs

    async def measure(self, pairs: Pairs, bases: Bases) -> Bits:
        """See `port.Line`."""
        if np.any(bases >= born.CODES):
            raise ValueError("a basis that the port does not have")
        self._stream.renew()
        if pairs.batch in self._fresh:
            return self._send(pairs, bases, *self._fresh.pop(pairs.batch))
        if pairs.batch in self._arrived:
            return self._detect(bases, *self._arrived.pop(pairs.batch))
        raise Unavailable(f"photonic: no batch {pairs.batch} to measure")

    async def discard(self) -> None:
        """See `port.Line`."""
        wipe(*(states for states, _ in self._arrived.values()))
        self._arrived.clear()
        self._fresh.clear()
        if self._open:
            self._open = False
            self._clock.leave()

    def _wait(self, count: int, rate: float) -> tuple[float, int]:
        """Return the link time, s, until `count` coincidences, or as long as a batch may take with what came so far."""
        longest = self._clock.longest
        if not rate:
            return longest, 0
        needed = self._dice.standard_gamma(count) / rate
        if needed <= longest:
            return needed, count
        # The last one comes after `longest`; the others fall evenly on the time until then.
        return longest, int(self._dice.binomial(count - 1, longest / needed))

    def _send(self, pairs: Pairs, bases: Bases, way: born.Way, seconds: float) -> Bits:
        """Measure this half; send the other one on its way."""
        fair = self._stream.words(octet_count(pairs.count) // 8 + 1).view(np.uint8)
        outcomes = np.unpackbits(fair, count=pairs.count, bitorder="little")
        wipe(fair)
        states = bases << 2 | outcomes ^ (bases == Y)
        angles = self._hers(way)
        if way.intercepted:
            self._intercept(states, bases, way.intercepted, angles)
        if way.dephased:
            states |= (self._dice.random(pairs.count) < way.dephased).view(np.uint8) << 1
        if way.mixed:
            states[self._dice.random(pairs.count) < way.mixed] = born.MIXED << 2
        head = _HEAD.pack(pairs.batch, pairs.count, pairs.sent, seconds, len(angles))
        self._quantum.signal(head + np.array(angles, _ANGLE).tobytes() + states.tobytes())
        wipe(states)
        return outcomes

    def _hers(self, way: born.Way) -> tuple[float, ...]:
        """Return the angles that the eavesdropper uses in a batch: hers, or as many of them as an octet can tell."""
        if not way.intercepted or len(way.angles) <= born.MOST_ANGLES:
            return way.angles if way.intercepted else ()
        return tuple(self._dice.choice(way.angles, born.MOST_ANGLES, replace=False).tolist())

    def _intercept(self, states: States, bases: Bases, share: float, angles: tuple[float, ...]) -> None:
        """Let her measure a share of the states, in place: each is then as she found it, at her angle."""
        hit = np.flatnonzero(self._dice.random(len(states)) < share)
        chosen = self._dice.integers(0, len(angles), len(hit), np.uint8)
        turned = self._dice.random(len(hit)) < born.eavesdropping(angles)[bases[hit], chosen]
        states[hit] = (chosen + born.CODES) << 2 | (states[hit] & 1) ^ turned

    def _detect(self, bases: Bases, states: States, angles: tuple[float, ...]) -> Bits:
        """Decide the outcomes by Born's rule."""
        draws = self._stream.words(len(states) // 2 + 1).view(np.uint32)[: len(states)]
        outcomes: Bits = (draws < _thresholds(angles)[states, bases]).view(np.uint8)
        wipe(states)
        if self._setup.misalignment:
            outcomes ^= (self._dice.random(len(outcomes)) < self._setup.misalignment).view(np.uint8)
        return outcomes


def _read(signal: bytes) -> tuple[Pairs, float, tuple[float, ...], States]:
    """Return a signal's batch, its link time, her angles, and the states."""
    view = memoryview(signal)
    if len(view) >= _HEAD.size:
        batch, count, sent, seconds, angles = _HEAD.unpack_from(view)
        start = _HEAD.size + angles * _ANGLE.itemsize
        if len(view) == start + count and angles <= born.MOST_ANGLES and sent < _MOST and 0 <= seconds < _MOST:
            hers = np.frombuffer(view[_HEAD.size : start], _ANGLE)
            if np.isfinite(hers).all():
                return Pairs(batch, count, sent), seconds, tuple(hers.tolist()), _copy(view[start:])
    raise Broken("a quantum signal that cannot be read")


def _copy(octets: memoryview) -> States:
    return np.frombuffer(bytearray(octets), np.uint8)


@functools.lru_cache(8)
def _thresholds(angles: tuple[float, ...]) -> npt.NDArray[np.uint64]:
    """Return what a draw of 32 bits has to stay below for the outcome 1: shape (256, bases of the port)."""
    thresholds: npt.NDArray[np.uint64] = np.rint(born.outcomes_of_states(angles) * _ALL).astype(np.uint64)
    return thresholds
