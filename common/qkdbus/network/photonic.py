"""The photonic block of a link: source, fibre, receiver and noise, over a preset that says what is not given.

Every figure is optional. What the file leaves out is as in the preset, a published system (`presets.py`);
`Photonic.setup` says what stands on the bench in the end, `Photonic.speed` how fast its clock goes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from ..physics.setup import PairSetup, PulseSetup, Setup
from .base import Model, Probability

if TYPE_CHECKING:
    from .system import Origin, Preset

T = TypeVar("T")
REAL_TIME, AS_FAST_AS_POSSIBLE = "real-time", "as-fast-as-possible"
_SAYS = {  # which figures of a preset a field goes before, where that is not just the one of its name
    "length_km": ("length_km", "loss_db"),
    "db_per_km": ("db_per_km", "loss_db"),
    "loss_db": ("loss_db", "length_km", "db_per_km"),
    "dark_probability": ("dark_probability", "dark_rate_hz"),
    "dark_rate_hz": ("dark_probability", "dark_rate_hz"),
    "dead_time_ns": ("dead_time_s",),
    "window_ns": ("window_s",),
    "visibility": ("visibility", "misalignment"),
}
PULSES = frozenset({"bb84-decoy", "bb84-one-decoy"})  # protocols of weak pulses; the others want pairs
DEFAULT_PULSES, DEFAULT_PAIRS = "yuan-2018", "wengerowsky-2019"


def _clock(value: object) -> str | float:
    if value in (REAL_TIME, AS_FAST_AS_POSSIBLE):
        return str(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1e6:
        return float(value)
    known = f"`{REAL_TIME}`, `{AS_FAST_AS_POSSIBLE}` or a factor (0.25 is four times slower than real)"
    raise PydanticCustomError("clock", f"should be {known}")


Clock = Annotated[str | float, PlainValidator(_clock)]
Positive = Annotated[float, Field(gt=0)]
Decibels = Annotated[float, Field(ge=0, le=200)]


class Eavesdropper(Model):
    """Who sits in the quantum channel. All zero: nobody."""

    intercept_resend: Probability = 0.0  # share of the signals that she measures and sends on
    bases: tuple[Annotated[float, Field(ge=-180, le=180)], ...] = ()  # polariser angles, degrees; none: 0 and 45
    photon_number_splitting: Probability = 0.0  # share of the pulses of which she keeps one photon of several
    beam_splitting: Probability = 0.0  # share of the channel's loss that is hers
    jam: Probability = 0.0  # share of the signals that she replaces by light of random state
    cut: bool = False  # nothing passes

    @property
    def there(self) -> bool:
        """Whether anybody is in the channel."""
        return self.cut or any((self.intercept_resend, self.photon_number_splitting, self.beam_splitting, self.jam))


class Source(Model):
    """Weak pulses (BB84) or entangled pairs (BBM92, E91)."""

    rate_hz: Annotated[float, Field(gt=0, le=1e12)] | None = None  # pulses or pairs per s
    intensities: Annotated[tuple[Annotated[float, Field(ge=0, le=2)], ...], Field(max_length=3)] | None = None
    probabilities: Annotated[tuple[Probability, ...], Field(max_length=3)] | None = None  # of the intensities
    p_z: Probability | None = None  # of the key basis; pulses only
    at: Literal["middle", "arbiter"] | None = None  # where a source of pairs stands: halfway, or at the arbiter's


class Fibre(Model):
    """The way of the light, fibre or not."""

    length_km: Annotated[float, Field(ge=0, le=20_000)] | None = None
    db_per_km: Annotated[float, Field(ge=0, le=100)] | None = None
    loss_db: Decibels | None = None  # in total; goes before length x db_per_km


class Receiver(Model):
    """The detectors and what stands before them; the same at both ends of a link with pairs."""

    p_z: Probability | None = None  # of the key basis; pulses only
    efficiency: Annotated[float, Field(gt=0, le=1)] | None = None  # that a photon which arrives is detected
    dark_probability: Probability | None = None  # that a slot (a pulse, a coincidence window) clicks without light
    dark_rate_hz: Annotated[float, Field(ge=0)] | None = None  # the same per s, of the whole receiver
    dead_time_ns: Annotated[float, Field(ge=0)] | None = None
    detectors: Annotated[int, Field(ge=1, le=4096)] | None = None  # or pixels, per outcome
    misalignment: Annotated[float, Field(ge=0, le=0.5)] | None = None  # that a photon ends in the wrong detector
    visibility: Probability | None = None  # pairs: V of the Werner state; pulses: misalignment (1 - V) / 2
    window_ns: Positive | None = None  # coincidence window; pairs only


class ChannelNoise(Model):
    """What happens to the state on its way, besides loss."""

    depolarising: Probability | None = None  # that it is replaced by a random one
    dephasing: Probability | None = None  # that Z acts on it: turns outcomes in X, not in Z


class Photonic(Model):
    """A photonic link. `preset` None: yuan-2018 for pulses, wengerowsky-2019 for pairs."""

    preset: str | None = None
    source: Source = Source()
    fibre: Fibre = Fibre()
    receiver: Receiver = Receiver()
    noise: ChannelNoise = ChannelNoise()
    clock: Clock = REAL_TIME  # a factor: 0.25 is four times slower than real
    block: Annotated[int, Field(ge=1024, le=1 << 24)] | None = None  # sifted bits in the key basis of one block

    @property
    def speed(self) -> float:
        """Seconds of the link's clock per second of wall clock: 1.0 real time, 0.0 as fast as possible."""
        if self.clock == REAL_TIME:
            return 1.0
        return 0.0 if self.clock == AS_FAST_AS_POSSIBLE else float(self.clock)

    def system(self, protocol: str) -> Preset:
        """Return the preset that says what is not given. KeyError when there is none of that name."""
        from .presets import PRESETS  # only photonic links wait for them

        return PRESETS[self.preset or (DEFAULT_PULSES if protocol in PULSES else DEFAULT_PAIRS)]

    def block_bits(self, protocol: str) -> int:
        """Return how many sifted bits in the key basis make one block (n_Z)."""
        return self.block or self.system(protocol).block

    def loss_db(self, protocol: str) -> float:
        """Return the loss of the whole channel in dB (of both arms for pairs)."""
        preset, fibre = self.system(protocol), self.fibre
        if fibre.loss_db is not None:
            return fibre.loss_db
        if fibre.length_km is None and fibre.db_per_km is None:
            return preset.loss_db
        length = preset.length_km if fibre.length_km is None else fibre.length_km
        return preset.loss_at(length) if fibre.db_per_km is None else length * fibre.db_per_km

    def assumed(self, protocol: str) -> dict[str, Origin]:
        """Return the preset's figures that are in use here and are not published, and in what sense they are not."""
        given = {field for block in (self.source, self.fibre, self.receiver) for field in block.model_fields_set}
        said = {name for field in given for name in _SAYS.get(field, (field,))}
        return {name: origin for name, origin in self.system(protocol).assumed.items() if name not in said}

    def setup(self, protocol: str) -> Setup:
        """Return what stands on the bench, all open figures resolved.

        Raises:
            KeyError: no preset of that name.
            ValueError: a preset of pulses for a protocol of pairs, or the other way round.
        """
        preset = self.system(protocol).setup
        if isinstance(preset, PulseSetup) != (protocol in PULSES):
            wanted = "pulses" if protocol in PULSES else "pairs"
            raise ValueError(f"the preset {self.preset} is not a source of {wanted}, which {protocol} needs")
        return self._pulses(preset, protocol) if isinstance(preset, PulseSetup) else self._pairs(preset, protocol)

    def _pulses(self, preset: PulseSetup, protocol: str) -> PulseSetup:
        source, receiver = self.source, self.receiver
        intensities, probabilities = _for(protocol, preset.intensities, preset.probabilities)
        rate = _or(source.rate_hz, preset.rate_hz)
        # A rate of dark counts is a figure of the detectors: it stays when the source gets another clock.
        dark = preset.dark_probability * preset.rate_hz / rate
        if receiver.dark_rate_hz is not None:
            dark = receiver.dark_rate_hz / rate
        wrong = preset.misalignment if receiver.visibility is None else (1 - receiver.visibility) / 2
        return replace(
            preset,
            rate_hz=rate,
            intensities=_or(source.intensities, intensities),
            probabilities=_or(source.probabilities, probabilities),
            p_z_source=_or(source.p_z, preset.p_z_source),
            p_z_receiver=_or(receiver.p_z, preset.p_z_receiver),
            loss_db=self.loss_db(protocol),
            efficiency=_or(receiver.efficiency, preset.efficiency),
            dark_probability=min(1.0, _or(receiver.dark_probability, dark)),
            dead_time_s=preset.dead_time_s if receiver.dead_time_ns is None else receiver.dead_time_ns * 1e-9,
            detectors=_or(receiver.detectors, preset.detectors),
            misalignment=_or(receiver.misalignment, wrong),
            depolarising=_or(self.noise.depolarising, preset.depolarising),
            dephasing=_or(self.noise.dephasing, preset.dephasing),
        )

    def _pairs(self, preset: PairSetup, protocol: str) -> PairSetup:
        source, receiver = self.source, self.receiver
        window = preset.window_s if receiver.window_ns is None else receiver.window_ns * 1e-9
        dark = preset.dark_rate_hz
        if receiver.dark_rate_hz is not None:
            dark = (receiver.dark_rate_hz,) * 2
        elif receiver.dark_probability is not None:
            dark = (receiver.dark_probability / window,) * 2
        return replace(
            preset,
            rate_hz=_or(source.rate_hz, preset.rate_hz),
            loss_db=self._arms(preset, protocol),
            efficiency=preset.efficiency if receiver.efficiency is None else (receiver.efficiency,) * 2,
            dark_rate_hz=dark,
            window_s=window,
            dead_time_s=preset.dead_time_s if receiver.dead_time_ns is None else receiver.dead_time_ns * 1e-9,
            detectors=_or(receiver.detectors, preset.detectors),
            visibility=_or(receiver.visibility, preset.visibility),
            misalignment=_or(receiver.misalignment, preset.misalignment),
            depolarising=_or(self.noise.depolarising, preset.depolarising),
            dephasing=_or(self.noise.dephasing, preset.dephasing),
        )

    def _arms(self, preset: PairSetup, protocol: str) -> tuple[float, float]:
        total, at = self.loss_db(protocol), self.source.at
        if at == "middle":
            return total / 2, total / 2
        whole = sum(preset.loss_db)
        share = preset.loss_db[0] / whole if at is None and whole else 0.0
        return total * share, total * (1 - share)


def _or(given: T | None, otherwise: T) -> T:
    return otherwise if given is None else given


def _for(
    protocol: str, intensities: tuple[float, ...], probabilities: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return a preset's intensities for a protocol: without the vacuum, or with one made of half of the decoys."""
    if protocol == "bb84-one-decoy" and len(intensities) == 3:
        both = probabilities[0] + probabilities[1]
        return intensities[:2], (probabilities[0] / both, probabilities[1] / both)
    if protocol == "bb84-decoy" and len(intensities) == 2:
        return (*intensities, 0.0), (probabilities[0], probabilities[1] / 2, probabilities[1] / 2)
    return intensities, probabilities
