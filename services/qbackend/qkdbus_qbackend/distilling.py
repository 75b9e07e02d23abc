"""From sifted bits to key: estimate, reconcile, verify, judge what is secret, amplify, authenticate."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from qkdbus.physics.finite import Goal
from qkdbus.physics.finite_decoy import DecoyCounts
from qkdbus.physics.setup import PulseSetup

from .authkeys import AuthKeys
from .bits import Bits, wipe
from .channel import Channel, Topic
from .distil import amplify, authenticate, estimate, reconcile, secrecy, verify
from .distil.authenticate import Transcript
from .distil.reconcile import Reconciled
from .distil.secrecy import Block
from .failure import NoKey
from .forming import Harvest
from .order import Order
from .protocols.chsh import Correlations
from .protocols.sifting import Token
from .protocols.talk import T, Talk, drive
from .tally import Tally

Octets = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Means:
    """What distillation needs of the world.

    Attributes:
        token: random octets of the system's generator.
        keys: for the authentication of the classical channel to this neighbour.
        monotonic: s.
        progress: called when something moves.
    """

    token: Token
    keys: AuthKeys
    monotonic: Callable[[], float]
    progress: Callable[[], None] = lambda: None


@dataclass(slots=True)
class _Kept:
    """What estimation leaves: bits as octets, SECRET; their marks; what to expect of their errors."""

    octets: Octets = field(repr=False)
    marks: npt.NDArray[np.uint8] | None = field(repr=False)
    qber: float
    sampled: int = 0
    differed: int = 0
    dropped: int = 0

    @property
    def count(self) -> int:
        return 8 * len(self.octets)


class Distiller:
    """One end's distillation of one block."""

    def __init__(self, order: Order, channel: Channel, transcript: Transcript, tally: Tally, means: Means) -> None:
        self._order, self._channel, self._transcript = order, channel, transcript
        self._tally, self._means, self._topic = tally, means, Topic.DISTIL

    async def distil(self, harvest: Harvest) -> Octets:
        """Return the key's octets, which both ends then hold alike: SECRET. NoKey when there is none to be had."""
        kept = await self._staged("estimation", self._estimate(harvest))
        self._check(harvest)
        try:
            found = await self._staged("reconciliation", self._reconcile(kept))
            if found.octets is not kept.octets:
                wipe(kept.octets)
            kept.octets = found.octets
            await self._staged("verification", self._verify(kept.octets))
            corrected = await self._staged("verification", self._count(harvest, kept, found))
            length = self._judge(harvest, kept, found, corrected)
            key = await self._staged("amplification", self._amplify(kept, length))
        finally:
            wipe(kept.octets)
        return await self._staged("authentication", self._authenticate(key))

    # -- the stages
    async def _estimate(self, harvest: Harvest) -> _Kept:
        tally, bits = self._tally, harvest.bits
        if isinstance(harvest.evidence, DecoyCounts):
            return self._of_decoys(bits, harvest.marks, harvest.evidence)
        share = self._order.link.disclose
        arbiter = self._order.arbiter
        talk = estimate.source(bits, share, self._means.token) if arbiter else estimate.sink(bits, share)
        estimated = await self._talk(talk)
        wipe(bits)
        tally.disclosed += estimated.disclosed
        tally.qber = estimated.qber
        differed = round(estimated.qber * estimated.disclosed)
        kept = _packed(estimated.kept)
        tally.kept = 8 * len(kept)
        return _Kept(kept, None, secrecy.guess(differed, estimated.disclosed), estimated.disclosed, differed)

    def _of_decoys(self, bits: Bits, marks: npt.NDArray[np.uint8] | None, counts: DecoyCounts) -> _Kept:
        """The other basis, published whole, says what to expect. What fills no octet is dropped."""
        dropped = len(bits) % 8
        whole = len(bits) - dropped
        self._tally.qber, self._tally.kept = counts.qber, whole
        kept = _packed(bits[:whole])
        wipe(bits)
        expected = secrecy.guess(int(sum(counts.m_x)), int(sum(counts.n_x)))
        return _Kept(kept, None if marks is None else marks[:whole], expected, dropped=dropped)

    def _check(self, harvest: Harvest) -> None:
        """NoKey, with an alarm, where the quantum channel is worse than the network file allows."""
        link, tally, said = self._order.link, self._tally, harvest.evidence
        wrong = [f"qber {tally.qber:.4f} is above {link.qber_abort:g}"] if tally.qber > link.qber_abort else []
        if isinstance(said, Correlations) and not math.isinf(said.error):
            tally.s, tally.s_error = said.s, said.error
            if not said.violates(link.s_abort, link.s_sigmas):
                wrong.append(f"chsh S {said.s:.3f} +- {said.error:.3f} is not above {link.s_abort:g}")
        elif isinstance(said, Correlations) and not wrong:
            raise NoKey("chsh: too few pairs to tell S; ask for larger blocks (block_bits)")
        if wrong:
            raise NoKey("; ".join(wrong), alarm=True)

    async def _reconcile(self, kept: _Kept) -> Reconciled:
        arguments = kept.octets, kept.count, kept.qber
        fast, tally = self._order.fast, self._tally
        method = reconcile.method(reconcile.DEFAULT)
        talk = (
            method.source(*arguments, self._means.token, fast=fast)
            if self._order.arbiter
            else method.sink(*arguments, fast=fast)
        )
        found = await self._talk(talk)
        tally.leaked, tally.corrected, tally.rounds = found.leaked, found.corrected, found.rounds
        return found

    async def _verify(self, octets: Octets) -> None:
        self._tally.verification_bits = verify.TAG_BITS
        fast = self._order.fast
        await self._talk(
            verify.source(octets, self._means.token, fast=fast)
            if self._order.arbiter
            else verify.sink(octets, fast=fast)
        )

    async def _count(self, harvest: Harvest, kept: _Kept, found: Reconciled) -> tuple[int, ...]:
        """Return the errors by mark: the follower knows them, for it has corrected its bits."""
        if not isinstance(harvest.evidence, DecoyCounts) or kept.marks is None:
            return (found.corrected,)
        bits = tuple(int(count) for count in harvest.evidence.n_z)
        if self._order.arbiter:
            return await self._talk(secrecy.hear(bits))
        assert found.flipped is not None
        return await self._talk(secrecy.tell(secrecy.by_mark(kept.marks, found.flipped, len(bits))))

    def _judge(self, harvest: Harvest, kept: _Kept, found: Reconciled, corrected: tuple[int, ...]) -> int:
        """Return the octets of key that are secret. NoKey, with an alarm, when there are none."""
        link, tally = self._order.link, self._tally
        block = Block(
            kept=kept.count,
            leaked=found.leaked,
            corrected=corrected,
            sampled=kept.sampled,
            differed=kept.differed,
            dropped=kept.dropped,
            created=tally.created,
        )
        goal = Goal(link.sense, link.epsilon)
        secret = secrecy.judge(tally.protocol, block, harvest.evidence, goal, self._setup)
        tally.phase_error, tally.security, tally.epsilon = secret.phase_error, secret.security, secret.epsilon
        if secret.length < 8:
            raise NoKey(
                f"nothing secret: {kept.count} bits, qber {tally.qber:.4f}, phase error {secret.phase_error:.4f}",
                alarm=True,
            )
        return secret.length // 8

    async def _amplify(self, kept: _Kept, length: int) -> Octets:
        arguments = kept.octets, kept.count, 8 * length
        fast = self._order.fast
        return await self._talk(
            amplify.source(*arguments, self._means.token, fast=fast)
            if self._order.arbiter
            else amplify.sink(*arguments, fast=fast)
        )

    async def _authenticate(self, key: Octets) -> Octets:
        tally, keys = self._tally, self._means.keys
        end = authenticate.source if self._order.arbiter else authenticate.sink
        self._topic = Topic.AUTHENTICATE
        done = await self._talk(end(self._transcript, keys, tally.run, key))
        tally.authentication_bits = 8 * done.charged
        tally.length = 8 * len(done.octets)
        if tally.epsilon:
            tally.epsilon += done.epsilon
        return done.octets

    # -- carrying out
    @property
    def _setup(self) -> PulseSetup | None:
        setup = self._order.setup
        return setup if isinstance(setup, PulseSetup) else None

    async def _staged(self, stage: str, work: Awaitable[T]) -> T:
        with self._tally.stage(stage, self._means.monotonic):
            return await work

    async def _talk(self, talk: Talk[T]) -> T:
        def tell(body: bytes) -> None:
            self._channel.tell(self._topic, body)

        self._means.progress()
        run = self._in_thread if self._order.fast else None
        return await drive(talk, tell, lambda: self._channel.hear(self._topic), work=run)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        self._means.progress()
        return await asyncio.to_thread(work)


def _packed(bits: Bits) -> Octets:
    """Pack bits, a whole number of octets, and wipe them."""
    octets = np.packbits(bits, bitorder="little")
    wipe(bits)
    return octets
