"""Secrecy: how many bits of a block, equal at both ends by now, an eavesdropper knows nothing of.

What was counted in public goes in, the length comes out; both ends compute it alike. `Secret.length` is what is left
after error correction and verification (64 bits, once); what authentication takes is for the caller to subtract.

bb84-decoy, bb84-one-decoy: Lim et al. 2014 and Rusca et al. 2018 (`qkdbus.physics.finite_decoy`).

bbm92, e91-same-bases: a random sample of the sifted bits of all bases together bounds the phase errors of the rest. A Z
bit's phase error is the error that its pair would have shown in X; an X bit's, in Z (of three bases: in the next one).
Which basis a pair was measured in was drawn with equal probability and independently of the pair. So turning over the
bases of the kept pairs, and of these only, gives a choice that was just as likely: the sample is a random sample of the
pairs measured like that too, and its errors bound the kept bits' phase errors by Serfling's or Hoeffding's inequality,
basis by basis mixed as they come (Tomamichel et al. 2012, `qkdbus.physics.finite`). It does not matter whether Z and X
have the same error rate.

e91: its two key bases are not complementary, so a sample would not do; CHSH and the errors together bound the phase
errors (`qkdbus.physics.finite_bell`).

Small blocks. SimulaQron makes blocks of some 1000 to 4000 bits. At a failure probability of 1e-10 a sample of 100 bits
without an error proves a phase error rate under 43 %, one of 400 bits under 13 %: a block of 1000 bits has no finite
key, one of 4000 has some on a line with hardly any noise. So such links run in the asymptotic sense unless told
otherwise: the rates that were seen are taken for the true ones, the length is what such blocks would give on average,
and nothing is claimed of the single block. Its record says so ("asymptotic", epsilon 0).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qkdbus.physics.entropy import entropy
from qkdbus.physics.finite import Goal, Secret, sampled
from qkdbus.physics.finite_bell import Bell, e91
from qkdbus.physics.finite_decoy import DecoyCounts, decoy
from qkdbus.physics.setup import PulseSetup

from ..failure import Broken
from ..protocols.chsh import SIGNS, Correlations
from ..protocols.sifting import Evidence
from ..protocols.talk import Hear, Talk, Tell
from .verify import TAG_BITS

SIGMAS = 2.0  # by which a block may turn out worse than expected, and still be long enough
LEAST_SHARE = 0.05  # secret share below which more bits are not asked for: the line is too noisy
MARGIN = 16  # bits: what rounding to octets and frames may cost
_COUNT = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Block:
    """What was counted of a block; the same at both ends.

    Attributes:
        kept: bits that both ends hold alike.
        leaked: bits told by error correction.
        corrected: errors that it found, by mark (intensity); one number where bits have no marks.
        sampled, differed: of pairs, sifted bits published as a random sample, and how many of them differed.
        dropped: sifted bits that were neither published nor kept (they did not fill a frame).
        created: pairs that were detected at both ends, whatever their bases. E91 needs it.
        verification_bits: given up for the verification tag.
    """

    kept: int
    leaked: int
    corrected: tuple[int, ...]
    sampled: int = 0
    differed: int = 0
    dropped: int = 0
    created: int = 0
    verification_bits: int = TAG_BITS

    @property
    def told(self) -> int:
        """Bits of the block that are not secret, or not there, for other reasons than the quantum channel."""
        return self.leaked + self.verification_bits + self.dropped

    @property
    def seen(self) -> tuple[int, int]:
        """Errors that are known, published or corrected, and the number of bits among which they are."""
        return self.differed + sum(self.corrected), self.sampled + self.kept


def judge(
    protocol: str, block: Block, evidence: Evidence | None, goal: Goal, setup: PulseSetup | None = None
) -> Secret:
    """Return how many bits of a block are secret, and in which sense.

    Args:
        protocol: as in the network file.
        block: what was counted.
        evidence: what sifting found in public: DecoyCounts with pulses, Correlations with e91.
        goal: the sense; its `eps_cor` is replaced by what the verification leaves of a block of this length.
        setup: of the pulses: intensities and their probabilities.

    Raises:
        ValueError: an evidence that does not belong to the protocol.
    """
    goal = replace(goal, eps_cor=undetected(block.kept))
    if isinstance(evidence, DecoyCounts) and setup is not None:
        counts = replace(evidence, m_z=_at_most(block))
        return decoy(counts, setup.intensities, setup.probabilities, block.told, goal)
    if protocol == "e91" and isinstance(evidence, Correlations):
        return e91(block.kept + block.dropped, _bell(block, evidence), block.told, goal)
    if protocol not in ("bbm92", "e91-same-bases"):
        raise ValueError(f"{protocol} without its evidence")
    return _of_sample(block, goal)


def undetected(bits: int) -> float:
    """Return the probability that verification takes different blocks of `bits` for equal: see `verify`."""
    return math.ceil(bits / 64) / (2.0**64 - 1)


def guess(wrong: int, of: int) -> float:
    """Return the error rate to reckon with after `wrong` errors among `of` bits: Laplace's rule, never 0 nor 1."""
    return (wrong + 1) / (of + 2)


def by_mark(marks: npt.NDArray[np.uint8], corrected: npt.NDArray[np.int64], classes: int) -> tuple[int, ...]:
    """Return how many of the `corrected` positions, shape (errors,), have each mark; `marks` has shape (kept,)."""
    return tuple(np.bincount(marks[corrected], minlength=classes).tolist())


def tell(corrected: tuple[int, ...]) -> Talk[tuple[int, ...]]:
    """The end that corrected its bits tells how many it turned over, by mark. Positions are not told."""
    yield Tell(b"".join(map(_COUNT.pack, corrected)))
    return corrected


def hear(bits: tuple[int, ...]) -> Talk[tuple[int, ...]]:
    """The other end hears it; `bits` has the number of bits by mark. Broken where that cannot be."""
    said = yield Hear()
    if len(said) != _COUNT.size * len(bits):
        raise Broken("no number of errors by mark")
    corrected = tuple(count for (count,) in _COUNT.iter_unpack(said))
    if any(count > most for count, most in zip(corrected, bits, strict=True)):
        raise Broken("more errors than bits")
    return corrected


def wanted(bits: int, qber: float, efficiency: float = 1.2, phase_error: float | None = None) -> int:
    """Return how many kept bits probably leave `bits` secret ones, in the asymptotic sense (pairs).

    Args:
        bits: that error correction and privacy amplification shall leave: key, tag, authentication.
        qber: to be expected, `guess` after a sample.
        efficiency: f, of the error correction.
        phase_error: to be expected, where that is not the QBER.

    On lines with hardly any key, or none, it does not grow beyond `bits` / `LEAST_SHARE`: `judge` will say so.
    """
    phase = qber if phase_error is None else phase_error
    share = max(LEAST_SHARE, 1 - efficiency * entropy(min(qber, 0.5)) - entropy(min(phase, 0.5)))
    # what the number of errors, if it is SIGMAS deviations too high, costs per root of a bit
    steep = (1 + efficiency) * math.log2((1 - qber) / qber) if 0 < qber < 0.5 else 0.0
    spread = SIGMAS * steep * math.sqrt(qber * (1 - qber))
    needed = bits + MARGIN
    root = (spread + math.sqrt(spread**2 + 4 * share * needed)) / (2 * share)
    return math.ceil(min(root**2, needed / LEAST_SHARE))


def _at_most(block: Block) -> tuple[int, ...]:
    """Return the most errors that the key bits have by intensity: those of dropped bits were never found."""
    return tuple(found + block.dropped for found in block.corrected)


def _of_sample(block: Block, goal: Goal) -> Secret:
    held = block.kept + block.dropped
    if goal.finite:
        return sampled(held, block.sampled, block.differed, block.told, goal)
    # where rates are taken as they were seen, all that were seen count: a sample of few bits says little
    wrong, compared = block.seen
    return sampled(held, compared, wrong, block.told, goal)


def _bell(block: Block, found: Correlations) -> Bell:
    wrong, compared = block.seen
    return Bell(
        pairs=block.created,
        matched=block.sampled + block.kept + block.dropped,
        compared=compared,
        wrong=wrong,
        s=found.s,
        signed=sum(sign * (same - other) for sign, same, other in zip(SIGNS, found.agree, found.differ, strict=True)),
    )
