"""A line of weak pulses: the two ends of one exchange's use of a photonic link. See `port.PulseLine`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from qkdbus.errors import Refused, Unavailable
from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.setup import PulseSetup

from ...failure import Broken
from ..ideal import Quantum
from ..port import Clicks, Pulses, Sent
from .chance import Dice, Keystream, Token
from .channel import Light, light
from .clock import LinkClock
from .detector import Detector, blindness
from .sampler import MOST_INTENSITIES, Prepared, emit, prepare
from .signal import Signal

T = TypeVar("T")
LARGEST = 1 << 20  # candidates in a batch, about
AT_ONCE = 1 << 17  # candidates that take less time than handing them to a thread is worth


class PulseSource:
    """The end that sends."""

    def __init__(
        self,
        quantum: Quantum,
        setup: PulseSetup,
        eve: Callable[[], Eavesdropper],
        clock: LinkClock,
        token: Token,
        seed: int,
    ) -> None:
        if not 1 <= len(setup.intensities) <= MOST_INTENSITIES:
            raise Refused(f"1 to {MOST_INTENSITIES} intensities, not {len(setup.intensities)}")
        self._quantum, self._setup, self._eve, self._clock = quantum, setup, eve, clock
        self._keys, self._dice = Keystream(token), Dice(seed, "source")
        self._prepared: dict[int, Prepared] = {}
        self._made = self._sent = 0
        self._light: tuple[Eavesdropper, Light] | None = None
        self._turn = asyncio.Lock()  # batches leave one after the other
        self.tapped = 0
        clock.enter()

    @property
    def link_time(self) -> float:
        """Seconds on the link's clock."""
        return self._sent / self._setup.rate_hz

    async def send_pulses(self, clicks: int) -> Pulses:
        """See `port.PulseLine`. Returns when the last pulse has left."""
        async with self._turn:
            arriving = self._arriving()
            sent = self._slots(arriving, clicks)
            slot = self._clock.reserve(sent / self._setup.rate_hz)
            count = int(self._dice.numbers.binomial(sent, arriving.click))
            pulses = Pulses(self._made, sent)
            self._made += 1
            prepared, signal = await _elsewhere(self._setup, count, lambda: self._draw(arriving, pulses, count))
            self._prepared[pulses.batch] = prepared
            self._tap(arriving, prepared)
            await self._clock.until(slot)
            self._sent += sent
            self._quantum.signal(signal)
            return pulses

    async def recall(self, pulses: Pulses, which: bytes) -> Sent:
        """See `port.PulseLine`. Unavailable the second time."""
        prepared = self._prepared.pop(pulses.batch, None)
        if prepared is None:
            raise Unavailable(f"photonic: no batch {pulses.batch} to recall")
        try:
            return await _elsewhere(self._setup, prepared.count, lambda: prepared.of(which))
        finally:
            prepared.wipe()

    def close(self) -> None:
        """Forget what was sent."""
        for prepared in self._prepared.values():
            prepared.wipe()
        self._prepared.clear()

    def _arriving(self) -> Light:
        """Return the light past whoever is in the channel now."""
        eve = self._eve()
        if self._light is None or self._light[0] != eve:
            self._light = eve, light(self._setup, eve)
        return self._light[1]

    def _slots(self, arriving: Light, clicks: int) -> int:
        """Return how many pulses to send."""
        most = max(1, int(self._clock.longest * self._setup.rate_hz))
        if not arriving.click:
            return most
        candidates = min(clicks * (1 + blindness(self._setup, arriving.click)), LARGEST)
        return max(1, min(most, round(candidates / arriving.click)))

    def _draw(self, arriving: Light, pulses: Pulses, count: int) -> tuple[Prepared, bytes]:
        prepared = prepare(arriving, self._setup.p_z_source, count, self._keys)
        signal = emit(prepared, arriving, pulses.batch, pulses.sent, self._dice)
        body = signal.pack()
        signal.wipe()
        return prepared, body

    def _tap(self, arriving: Light, prepared: Prepared) -> None:
        if any(arriving.tapped):
            for count, part in zip(prepared.tally(), arriving.tapped, strict=False):
                self.tapped += int(self._dice.numbers.binomial(count, part))


class PulseSink:
    """The end that receives."""

    def __init__(self, quantum: Quantum, setup: PulseSetup, clock: LinkClock, token: Token, seed: int) -> None:
        self._quantum, self._setup, self._clock = quantum, setup, clock
        self._detector = Detector(setup, Keystream(token), Dice(seed, "sink"))
        self._signals: dict[int, Signal] = {}
        self._sent = 0
        self._turn = asyncio.Lock()  # one batch after the other falls on the detectors
        clock.enter()

    @property
    def link_time(self) -> float:
        """Seconds on the link's clock."""
        return self._sent / self._setup.rate_hz

    async def await_pulses(self) -> Pulses:
        """See `port.PulseLine`."""
        signal = Signal.unpack(await self._quantum.sense())
        if signal.batch in self._signals:
            raise Broken("two batches of one name")
        self._signals[signal.batch] = signal
        self._sent += signal.sent
        self._clock.count(signal.sent / self._setup.rate_hz)
        return Pulses(signal.batch, signal.sent)

    async def detect(self, pulses: Pulses) -> Clicks:
        """See `port.PulseLine`. Unavailable the second time."""
        signal = self._signals.pop(pulses.batch, None)
        if signal is None:
            raise Unavailable(f"photonic: no batch {pulses.batch} to detect")
        async with self._turn:
            return await _elsewhere(self._setup, signal.count, lambda: self._detector.detect(signal))

    def close(self) -> None:
        """Forget what has not been measured."""
        for signal in self._signals.values():
            signal.wipe()
        self._signals.clear()


class WeakPulses:
    """One end of a line: a source or a sink."""

    def __init__(self, end: PulseSource | PulseSink, clock: LinkClock) -> None:
        self._end, self._clock = end, clock
        self._open = True

    @property
    def link_time(self) -> float:
        """Seconds that the line has taken on the link's clock."""
        return self._end.link_time

    @property
    def tapped(self) -> int:
        """Clicks, dead time aside, in whose pulses an eavesdropper has kept a photon: she can read those bits."""
        return self._end.tapped if isinstance(self._end, PulseSource) else 0

    async def send_pulses(self, clicks: int) -> Pulses:
        """See `port.PulseLine`."""
        return await self._source.send_pulses(clicks)

    async def await_pulses(self) -> Pulses:
        """See `port.PulseLine`."""
        return await self._sink.await_pulses()

    async def detect(self, pulses: Pulses) -> Clicks:
        """See `port.PulseLine`."""
        return await self._sink.detect(pulses)

    async def recall(self, pulses: Pulses, which: bytes) -> Sent:
        """See `port.PulseLine`."""
        return await self._source.recall(pulses, which)

    async def discard(self) -> None:
        """See `port.PulseLine`."""
        if self._open:
            self._open = False
            self._end.close()
            self._clock.leave()

    @property
    def _source(self) -> PulseSource:
        if not isinstance(self._end, PulseSource) or not self._open:
            raise Unavailable("photonic: no source of pulses here")
        return self._end

    @property
    def _sink(self) -> PulseSink:
        if not isinstance(self._end, PulseSink) or not self._open:
            raise Unavailable("photonic: no receiver of pulses here")
        return self._end


async def _elsewhere(setup: PulseSetup, candidates: int, work: Callable[[], T]) -> T:
    """Do what takes long in a thread, so that other exchanges go on: large batches, and loops that are compiled."""
    if candidates < AT_ONCE and not setup.dead_time_s:
        return work()
    return await asyncio.to_thread(work)
