"""What to expect of a setup: detections, sifted bits, QBER, S and secret key per s of the link's clock.

By formula, for keys of infinite length; a block of finite length gives less. Nothing is drawn here: the network file's
`validate`, the bench and the patience of exchanges ask for these figures before a link runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .decoy import E0
from .entangled import NOBODY, Tap, chsh, coincidences, correlation, phase_error
from .entropy import entropy, odd, one_way_share
from .finite import ASYMPTOTIC, Goal, Secret, sampled
from .finite_bell import Bell, e91
from .finite_decoy import DecoyCounts, decoy
from .setup import PairSetup, PulseSetup, Setup

EFFICIENCY = 1.1  # f of error correction where nothing better is known: what Cascade is sure to reach
_MANY = 1e15  # sifted bits that stand for infinitely many
_KEPT = {"bbm92": 1 / 2, "e91-same-bases": 1 / 3, "e91": 2 / 9}  # share of the coincidences that sifting keeps
_KEY_ANGLES = {"bbm92": (0.0, 45.0), "e91": (22.5, 45.0)}


@dataclass(frozen=True, slots=True)
class Expected:
    """What theory gives for a link.

    Attributes:
        sent_hz: pulses or pairs that leave the source, per s.
        detected_hz: of them, pulses that click, or coincidences.
        sifted_hz: bits in the key basis, before anything of them is disclosed.
        qber: of the sifted bits.
        phase_error: as far as decoys or the other basis bound it; of single photons, with pulses.
        secret_hz: secret bits per s, asymptotic; 0 when there is no key.
        s: CHSH value; 0 where the protocol does not measure it.
    """

    sent_hz: float
    detected_hz: float
    sifted_hz: float
    qber: float
    phase_error: float
    secret_hz: float
    s: float = 0.0

    def seconds(self, sifted_bits: int) -> float:
        """Return how long so many sifted bits take on the link's clock; infinite where nothing is detected."""
        return sifted_bits / self.sifted_hz if self.sifted_hz else math.inf


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which a key is formed.

    Attributes:
        efficiency: f of the error correction.
        disclose: share of the sifted bits of pairs that is published to estimate the QBER (decoy BB84 publishes the
            other basis instead, which is no part of `sifted_hz`).
        block: sifted bits that make one key, with statistics counted (`finite`); 0: infinitely many.
        epsilon: failure probability of its secrecy.
        tap: an eavesdropper who intercepts and resends; the key is what an honest estimate then leaves.
    """

    efficiency: float = EFFICIENCY
    disclose: float = 0.0
    block: int = 0
    epsilon: float = 1e-10
    tap: Tap = NOBODY

    @property
    def goal(self) -> Goal:
        """The sense of "secret" of the proofs."""
        return Goal("finite", self.epsilon) if self.block else ASYMPTOTIC


def expected(setup: Setup, protocol: str, terms: Terms = Terms()) -> Expected:
    """Return what a setup gives under a protocol (as in the network file): pulses under bb84-*, pairs under the others.

    Raises:
        KeyError: a protocol of pairs that is not known.
    """
    return _pulses(setup, terms) if isinstance(setup, PulseSetup) else _pairs(setup, protocol, terms)


# ---- weak pulses


def clicks(setup: PulseSetup, tap: Tap = NOBODY) -> tuple[float, DecoyCounts]:
    """Return all clicks per s, and those in equal bases with their errors, per s and by intensity."""
    sent = [setup.rate_hz * p for p in setup.probabilities]
    gains = [1 - (1 - setup.dark_probability) * math.exp(-setup.eta * k) for k in setup.intensities]
    candidates = [rate * gain for rate, gain in zip(sent, gains, strict=True)]
    live = _live(setup, sum(candidates))
    clicked = [live * rate for rate in candidates]
    key, test = setup.p_z_source * setup.p_z_receiver, (1 - setup.p_z_source) * (1 - setup.p_z_receiver)
    wrong_z, wrong_x = _wrong(setup, 0.0, 0.0, tap), _wrong(setup, 45.0, setup.dephasing, tap)
    counts = DecoyCounts(
        n_z=tuple(key * n for n in clicked),
        n_x=tuple(test * n for n in clicked),
        m_x=tuple(test * n * share for n, share in zip(clicked, wrong_x, strict=True)),
        m_z=tuple(key * n * share for n, share in zip(clicked, wrong_z, strict=True)),
    )
    return sum(clicked), counts


def _wrong(setup: PulseSetup, angle: float, dephasing: float, tap: Tap) -> list[float]:
    """Return the error rate of the clicks in the basis at an angle (degrees), by intensity."""
    error = (1 - correlation(angle, angle, tap=tap)) / 2  # what Eve sends on errs alike, whoever prepared the state
    error = odd(error, setup.misalignment, setup.depolarising / 2, dephasing)
    light = [-math.expm1(-setup.eta * k) for k in setup.intensities]
    dark = [setup.dark_probability * (1 - share) for share in light]
    return [(error * a + E0 * b) / (a + b) if a + b else E0 for a, b in zip(light, dark, strict=True)]


def _pulses(setup: PulseSetup, terms: Terms) -> Expected:
    detected, rates = clicks(setup, terms.tap)
    sifted = sum(rates.n_z)
    qber = sum(rates.m_z) / sifted if sifted else E0
    if not sifted or not sum(rates.n_x):
        return Expected(setup.rate_hz, detected, sifted, qber, E0, 0.0)
    bits = terms.block or _MANY
    seconds = bits / sifted
    block = DecoyCounts(*(tuple(n * seconds for n in part) for part in (rates.n_z, rates.n_x, rates.m_x, rates.m_z)))
    told = terms.efficiency * bits * entropy(qber)
    key = decoy(block, setup.intensities, setup.probabilities, told, terms.goal)
    return Expected(setup.rate_hz, detected, sifted, qber, key.phase_error, key.length / seconds)


def _live(setup: Setup, clicks: float) -> float:
    """Return the share of the time in which a detector is not blind, when both outcomes' share so many clicks per s."""
    return 1 / (1 + clicks * setup.dead_time_s / (2 * setup.detectors))


# ---- entangled pairs


def _pairs(setup: PairSetup, protocol: str, terms: Terms) -> Expected:
    true, accidental = _detected(setup)
    together = true + accidental
    clean = true / together if together else 0.0
    contrast = clean * setup.visibility * (1 - 2 * setup.misalignment) * (1 - setup.depolarising)
    qber = (1 - contrast * _agreement(protocol, setup.dephasing, terms.tap)) / 2
    sifted = together * _KEPT[protocol]
    s = contrast * chsh(1.0, setup.dephasing, terms.tap) if protocol == "e91" else 0.0
    if terms.block and sifted:
        key = _finite(protocol, qber, s, terms)
        return Expected(setup.rate_hz, together, sifted, qber, key.phase_error, sifted * key.length / terms.block, s)
    phase = phase_error(s, qber) if protocol == "e91" else qber
    secret = sifted * (1 - terms.disclose) * one_way_share(qber, phase, terms.efficiency)
    return Expected(setup.rate_hz, together, sifted, qber, phase, secret, s)


def _finite(protocol: str, qber: float, s: float, terms: Terms) -> Secret:
    """Return what is secret of one block of sifted pairs."""
    sample = terms.block * terms.disclose
    kept = terms.block - sample
    told = terms.efficiency * kept * entropy(qber)
    if protocol != "e91":
        return sampled(kept, sample, qber * sample, told, terms.goal)
    pairs = terms.block / _KEPT[protocol]
    bell = Bell(pairs, terms.block, terms.block, qber * terms.block, s, signed=s * pairs / 9)
    return e91(kept, bell, told, terms.goal)


def _detected(setup: PairSetup) -> tuple[float, float]:
    singles = [setup.rate_hz * eta + dark for eta, dark in zip(setup.eta, setup.dark_rate_hz, strict=True)]
    live = math.prod(_live(setup, rate) for rate in singles)
    true, accidental = coincidences(setup.rate_hz, setup.eta, setup.dark_rate_hz, setup.window_s)
    return true * live, accidental * live


def _agreement(protocol: str, dephasing: float, tap: Tap) -> float:
    """Return the mean of P(equal) - P(different) over the key bases, for pure pairs."""
    if protocol in _KEY_ANGLES:
        values = [correlation(a, a, dephasing, tap) for a in _KEY_ANGLES[protocol]]
    else:  # Z, X, and Y, of which Eve's linear polarisers tell nothing (and which agree once one end is turned over)
        values = [correlation(a, a, dephasing, tap) for a in (0.0, 45.0)] + [(1 - 2 * dephasing) * (1 - tap.share)]
    return sum(values) / len(values)
