"""What stands on the bench: a source, a channel and a receiver, in numbers that are all given.

The network file leaves most of them to a preset (`qkdbus.network.photonic`); here nothing is left open.
"""

from __future__ import annotations

from dataclasses import dataclass


def transmittance(loss_db: float) -> float:
    """Return the share of the light that a loss in dB lets through."""
    return float(10 ** (-loss_db / 10))


@dataclass(frozen=True, slots=True)
class PulseSetup:
    """Weak coherent pulses for decoy BB84.

    Attributes:
        rate_hz: pulses per s.
        intensities: mean photon numbers per pulse, brightest (signal) first: signal, decoy and perhaps vacuum.
        probabilities: of choosing each of them; their sum is 1.
        p_z_source, p_z_receiver: probability of choosing the key basis Z (the rest is X).
        loss_db: of the channel (fibre or free space), in total.
        efficiency: that a photon which reaches the receiver is detected: its optics and its detector.
        dark_probability: that a pulse slot without a photon clicks all the same (dark counts and stray light), Y0.
        dead_time_s: for which a detector is blind after a click.
        detectors: detectors or pixels per outcome; a click blinds one of them.
        misalignment: that a photon ends in the wrong detector of the right basis, e_d.
        depolarising: that a state is replaced by a random one on its way.
        dephasing: that Z acts on a state on its way (turns outcomes in X, not in Z).
    """

    rate_hz: float
    intensities: tuple[float, ...]
    probabilities: tuple[float, ...]
    p_z_source: float
    p_z_receiver: float
    loss_db: float
    efficiency: float
    dark_probability: float
    dead_time_s: float = 0.0
    detectors: int = 1
    misalignment: float = 0.0
    depolarising: float = 0.0
    dephasing: float = 0.0

    @property
    def eta(self) -> float:
        """Probability that a photon sent is detected."""
        return transmittance(self.loss_db) * self.efficiency


@dataclass(frozen=True, slots=True)
class PairSetup:
    """A source of entangled pairs between the two ends (or at one of them).

    Attributes:
        rate_hz: pairs per s that leave the source.
        loss_db: of the two channels, to the link's arbiter and to its follower.
        efficiency: of the two receivers, as in PulseSetup.
        dark_rate_hz: counts per s without light, of each receiver (all of its detectors together).
        window_s: coincidence window; a slot of this length is what `dark` and accidental counts refer to.
        dead_time_s, detectors: as in PulseSetup; the same at both ends.
        visibility: V of the Werner state as it leaves the source (QBER = (1 - V) / 2 without other noise).
        misalignment, depolarising, dephasing: as in PulseSetup, on the follower's half.
    """

    rate_hz: float
    loss_db: tuple[float, float]
    efficiency: tuple[float, float]
    dark_rate_hz: tuple[float, float]
    window_s: float
    dead_time_s: float = 0.0
    detectors: int = 1
    visibility: float = 1.0
    misalignment: float = 0.0
    depolarising: float = 0.0
    dephasing: float = 0.0

    @property
    def eta(self) -> tuple[float, float]:
        """Probability, at each end, that a photon of a pair is detected."""
        one, other = (transmittance(loss) * part for loss, part in zip(self.loss_db, self.efficiency, strict=True))
        return one, other


Setup = PulseSetup | PairSetup
