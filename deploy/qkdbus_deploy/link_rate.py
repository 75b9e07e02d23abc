"""Secret key rate and QBER of a photonic link against its length: run end to end, and by formula.

At each length a network of two nodes is deployed; the link's clock goes as fast as the machine can. Blocks go through
all of it, from pulses or pairs to keys that applications at both ends fetch and compare. Rates are per s of the link's
own clock: sum of key bits over sum of link time, blocks that gave no key included.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt

from qkdbus.network.model import Buffers, Config, LinkSettings, Network, Node, Protocol, Sense
from qkdbus.network.photonic import AS_FAST_AS_POSSIBLE, Fibre, Photonic
from qkdbus.physics.entropy import entropy
from qkdbus.physics.expected import EFFICIENCY, Expected, Terms, expected

from .blocks import BlockEars, Heard, total
from .both_ends import BothEnds, wait
from .sandbox import Sandbox, sandbox

ALICE, BOB = "Alice", "Bob"  # the source of pulses or pairs is the arbiter, whose name comes first
WINDOW = 64 << 20  # octets of key that may wait: more than a block gives
CHUNKS = 16  # keys that a block is cut into, about
SMALLEST, LARGEST = 8, 1 << 16  # octets of a key
PATIENCE = 300.0  # s of wall clock for one block
DELIVERY = 10.0  # s until the last key is there
HOPELESS = 20  # exchanges that did not even begin
SHANNON = 1.0  # f below which no error correction comes
PROBE = 1 << 16  # sifted bits of the one block that is tried where even endless ones would give no key; at most
PROBE_S = 1e5  # s of link time that it may take; but at least
LEAST = 1 << 10  # sifted bits
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sweep:
    """What is measured at each length.

    Attributes:
        preset: name of a published system.
        protocol: of the network file; one that the preset's source is made for.
        security: sense in which keys are secret.
        block: sifted bits in the key basis that make one block.
        blocks: exchanges at each length.
    """

    preset: str
    protocol: Protocol
    security: Sense
    block: int
    blocks: int

    def link(self, length_km: float) -> LinkSettings:
        """Return the link of a length. Its physics alone says whether there is a key, no limit on the QBER."""
        photonic = Photonic(
            preset=self.preset, fibre=Fibre(length_km=length_km), clock=AS_FAST_AS_POSSIBLE, block=self.block
        )
        return LinkSettings(
            emulator="photonic",
            protocol=self.protocol,
            photonic=photonic,
            security=self.security,
            jobs=1,
            qber_abort=0.5,
        )

    def network(self, length_km: float) -> Network:
        """Return two nodes with that link between them."""
        return Network(
            name="link-rate",
            config=Config(qkd_protocol=self.protocol),
            nodes=(Node(node_name=ALICE, neighbour_nodes=(BOB,)), Node(node_name=BOB, neighbour_nodes=(ALICE,))),
            link_defaults=self.link(length_km),
            buffers=Buffers(window_bytes=WINDOW),
        )

    def formula(self, length_km: float, efficiency: float = EFFICIENCY, *, endless: bool = False) -> Expected:
        """Return what the formulas give: for blocks of this length and in this sense, or for endless ones."""
        link = self.link(length_km)
        block = 0 if endless or self.security == "asymptotic" else self.block
        terms = Terms(efficiency=efficiency, disclose=link.disclose, block=block, epsilon=link.epsilon)
        return expected(link.photonic.setup(self.protocol), self.protocol, terms)

    def at(self, length_km: float) -> Sweep:
        """Return what is run at a length: where even endless blocks would give no key, one block as a probe."""
        if self.formula(length_km, SHANNON, endless=True).secret_hz:
            return self
        soon = int(PROBE_S * self.formula(length_km).sifted_hz)
        return replace(self, block=max(LEAST, min(self.block, PROBE, soon)), blocks=1)

    def block_s(self, length_km: float) -> float:
        """Return how long a block that is run at a length takes, by formula; s of link time."""
        return self.formula(length_km).seconds(self.at(length_km).block)

    def loss_db(self, length_km: float) -> float:
        """Return the loss of the whole channel."""
        return self.link(length_km).photonic.loss_db(self.protocol)


@dataclass(frozen=True)
class Row:
    """One length: what was measured beside what the formulas give. Rates in bit per s of link time.

    Attributes:
        sent, detected, sifted: pulses or pairs; of them clicks or coincidences; of them bits in the key basis, kept.
        link_s, wall_s: time on the link's clock, and on ours, of all blocks together.
        key_bits: handed up.
        key_hz, key_error: rate, and its standard error over the blocks (0 for one block).
        qber: of the kept bits, as error correction found it.
        phase_error: that privacy amplification reckoned with (mean over the blocks with a key).
        efficiency: f = leaked / (kept h(qber)); 0 where nothing was corrected.
        exchanges, with_key: blocks, and those that gave a key.
        keys_equal: keys fetched at both ends and found equal.
        why: what kept most of the others from giving one.
        formula, endless: by formula, with the f that was measured; see `Sweep.formula`.
        trouble: what went wrong besides.
    """

    length_km: float
    loss_db: float
    sent: int
    detected: int
    sifted: int
    link_s: float
    wall_s: float
    key_bits: int
    key_hz: float
    key_error: float
    qber: float
    phase_error: float
    s: float
    efficiency: float
    rounds: float
    exchanges: int
    with_key: int
    keys_equal: int
    why: str
    trouble: str
    formula: Expected
    endless: Expected


def link_rate(sweep: Sweep, lengths_km: Sequence[float], say: Say = lambda text: None) -> Iterator[Row]:
    """Measure a link at several lengths; yield each row as it is found. Every network is gone afterwards."""
    for length in lengths_km:
        say(f"{length:g} km ({sweep.loss_db(length):.3g} dB): starting two nodes")
        here = sweep.at(length)
        with sandbox(here.network(length)) as box:
            heard, equal, trouble = _measure(box, here, length, say)
        yield _row(sweep, length, heard, equal, trouble)


def _measure(box: Sandbox, sweep: Sweep, length_km: float, say: Say) -> tuple[list[Heard], int, str]:
    """Return what was heard of `sweep.blocks` blocks, keys found equal, and what went wrong."""
    chunk = _chunk(sweep, length_km)
    with (
        BlockEars(box.home / box.name, ALICE) as ears,
        BothEnds(box.home, box.name, (ALICE, BOB), chunk) as reading,
    ):
        heard, trouble = _blocks(ears, sweep, reading, say)
        due = int(total(heard, "length")) // (8 * chunk)
        wait(reading, lambda: reading.equal >= due, DELIVERY)
        if not trouble and reading.equal < due:
            trouble = f"{reading.equal} of {due} keys came at both ends"
        return heard, reading.equal, reading.trouble or trouble


def _blocks(ears: BlockEars, sweep: Sweep, reading: BothEnds, say: Say) -> tuple[list[Heard], str]:
    heard: list[Heard] = []
    stillborn = 0
    while len(heard) < sweep.blocks:
        some = list(ears.hear(PATIENCE if not reading.trouble else 0.0))
        if not some:
            return heard, reading.trouble or f"no block within {PATIENCE:g} s"
        for one in some:
            if one.record.link_time:
                heard.append(one)
                say(f"  block {len(heard)} of {sweep.blocks}: {one.failure or f'{one.record.length} bits of key'}")
            else:
                stillborn += 1
        if stillborn > HOPELESS:
            return heard, some[-1].failure
    return heard[: sweep.blocks], ""


def _chunk(sweep: Sweep, length_km: float) -> int:
    """Return a size of keys, in octets, of which a block makes several."""
    by_formula = sweep.formula(length_km)
    share = by_formula.secret_hz / by_formula.sifted_hz if by_formula.sifted_hz else 0.0
    return min(LARGEST, max(SMALLEST, int(share * sweep.block / 8 / CHUNKS)))


def _row(sweep: Sweep, length_km: float, heard: Sequence[Heard], equal: int, trouble: str) -> Row:
    with_key = [one for one in heard if not one.failure]
    reasons = Counter(one.failure.partition(":")[0] for one in heard if one.failure)
    kept, leaked, corrected = (total(heard, figure) for figure in ("kept", "leaked", "corrected"))
    qber = corrected / kept if corrected else _mean([one.record.qber for one in heard if one.record.disclosed])
    efficiency = leaked / (kept * entropy(qber)) if corrected else 0.0
    rate, error = _rate(heard)
    return Row(
        length_km=length_km,
        loss_db=sweep.loss_db(length_km),
        sent=int(total(heard, "sent")),
        detected=int(total(heard, "created")),
        sifted=int(kept),
        link_s=total(heard, "link_time"),
        wall_s=total(heard, "duration"),
        key_bits=int(total(heard, "length")),
        key_hz=rate,
        key_error=error,
        qber=qber,
        phase_error=_mean([one.record.phase_error for one in with_key]),
        s=_mean([one.record.s for one in heard if one.record.s]),
        efficiency=efficiency,
        rounds=_mean([one.record.rounds for one in heard if one.record.rounds]),
        exchanges=len(heard),
        with_key=len(with_key),
        keys_equal=equal,
        why=reasons.most_common(1)[0][0] if reasons else "",
        trouble=trouble,
        formula=sweep.formula(length_km, efficiency or EFFICIENCY),
        endless=sweep.formula(length_km, efficiency or EFFICIENCY, endless=True),
    )


def _rate(heard: Sequence[Heard]) -> tuple[float, float]:
    """Return bits per s of link time, and the standard error of that ratio of sums (0 for fewer than two blocks)."""
    seconds = total(heard, "link_time")
    if not seconds:
        return 0.0, 0.0
    rate = total(heard, "length") / seconds
    off = [one.record.length - rate * one.record.link_time for one in heard]
    error = statistics.stdev(off) * sqrt(len(off)) / seconds if len(off) > 1 else 0.0
    return rate, error


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else 0.0
