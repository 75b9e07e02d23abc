"""The channel of weak pulses: in what share of the slots something can click, and what it then is.

Nobody draws pulses that cannot click. Of those that can (the candidates) we need, from the yields Y_n = P(click | n
photons sent), the joint distribution of intensity and origin. With eta = transmittance x efficiency, Y0 the dark
probability and mu_k the mean photon numbers (Ma, Qi, Zhao, Lo, PRA 72, 012326 (2005), whose Q_mu = Y0 + 1 -
exp(-eta mu) differs from ours by the coincidences Y0 eta mu):

    y_k = 1 - exp(-eta mu_k)            a photon of intensity k is detected
    c_k = 1 - (1 - Y0) (1 - y_k)        candidate: a photon, or a dark count without one
    P(candidate) = sum p_k c_k,         P(k | candidate) = p_k c_k / P(candidate)
    E_k c_k = e y_k + (c_k - y_k) / 2   where e is what misalignment and the channel do to a photon's outcome

A pulse clicks in one detector: where several of its photons are detected, one of them decides. A double click that is
given a random bit (squashing) has the same statistics up to two photons; three detected ones would err a little more.

The eavesdropper changes the yields only where she must, by photon-number splitting or a cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, expm1, lgamma, log, sqrt

from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.setup import PulseSetup, transmittance

ZX = (0.0, 45.0)  # degrees: what an eavesdropper uses who was not told any bases


@dataclass(frozen=True, slots=True)
class Light:
    """What a slot holds, by intensity k where it is a tuple.

    Attributes:
        click: P(candidate) of a slot.
        intensities: P(k | candidate).
        random: P(no photon's state left | k, candidate): a dark count, or light of random state.
        tapped: P(the eavesdropper holds a photon of the pulse | k, candidate).
        intercepted: P(measured and sent on | the state is left), at one of `angles` (degrees), each as likely.
        dephased: P(Z acts on the state).
    """

    click: float
    intensities: tuple[float, ...]
    random: tuple[float, ...]
    tapped: tuple[float, ...]
    intercepted: float
    angles: tuple[float, ...]
    dephased: float


def light(setup: PulseSetup, eve: Eavesdropper) -> Light:
    """Return what reaches the detectors of `setup` past `eve`."""
    dark = setup.dark_probability
    split = _Splitting.of(setup, eve)
    photon = [0.0 if eve.cut else split.detected(mu) for mu in setup.intensities]
    clicks = [dark + (1 - dark) * detected for detected in photon]
    weights = [p * click for p, click in zip(setup.probabilities, clicks, strict=True)]
    total = sum(weights)
    intact = (1 - eve.jam) * (1 - setup.depolarising)
    return Light(
        click=total,
        intensities=tuple(_share(weight, total) for weight in weights),
        random=tuple(1 - intact * _share(one, click) for one, click in zip(photon, clicks, strict=True)),
        tapped=tuple(
            _share(one, click) * split.held(mu)
            for one, click, mu in zip(photon, clicks, setup.intensities, strict=True)
        ),
        intercepted=eve.intercept_resend,
        angles=eve.bases or ZX,
        dephased=setup.dephasing,
    )


@dataclass(frozen=True, slots=True)
class _Splitting:
    """Photon-number splitting of a share `part` of the pulses, and beam splitting of all.

    She counts the photons of a pulse. Of two or more she keeps one and sends the rest on through a channel without
    loss; single photons pass, through the same channel, with probability `single` only, several with `several`: so
    that the gain of the signal stays what it was, if it can (Brassard et al., PRL 85, 1330 (2000)). She does not know
    the intensity, so the gains of the decoys shift.
    """

    eta: float
    efficiency: float
    part: float
    single: float
    several: float
    lost_to_her: float  # of a photon sent, by beam splitting

    @classmethod
    def of(cls, setup: PulseSetup, eve: Eavesdropper) -> _Splitting:
        signal = setup.intensities[0]
        wanted = -expm1(-setup.eta * signal)
        of_several = _several(signal, setup.efficiency)
        of_single = signal * exp(-signal) * setup.efficiency
        several = min(1.0, _share(wanted, of_several)) if of_several else 1.0
        single = min(1.0, _share(max(0.0, wanted - several * of_several), of_single))
        tap = eve.beam_splitting * (1 - transmittance(setup.loss_db))
        return cls(setup.eta, setup.efficiency, eve.photon_number_splitting, single, several, tap)

    def detected(self, mu: float) -> float:
        """Return the probability that a photon of a pulse of mean `mu` is detected."""
        passed = self.single * mu * exp(-mu) * self.efficiency
        return self._untouched(mu) + self.part * (passed + self._kept(mu))

    def held(self, mu: float) -> float:
        """Return the probability that she holds a photon of a pulse of which another one was detected."""
        # The parts of coherent light that a beam splitter makes are independent.
        tapped = self._untouched(mu) * -expm1(-self.lost_to_her * mu)
        return _share(tapped + self.part * self._kept(mu), self.detected(mu))

    def _untouched(self, mu: float) -> float:
        return (1 - self.part) * -expm1(-self.eta * mu)

    def _kept(self, mu: float) -> float:
        return self.several * _several(mu, self.efficiency)


def _several(mu: float, efficiency: float) -> float:
    """Return P(two photons or more, and one of all but one of them is detected), without loss on the way."""
    if mu <= 0:
        return 0.0
    most = int(mu + 12 * sqrt(mu)) + 30
    chances = (exp(n * log(mu) - mu - lgamma(n + 1)) * (1 - (1 - efficiency) ** (n - 1)) for n in range(2, most))
    return sum(chances)


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
