"""BB84 with decoy states: weak pulses, key from basis Z, basis X watches; two or three intensities.

Bennett, Brassard, Proc. IEEE Int. Conf. Computers, Systems and Signal Processing, 175 (1984); biased bases: Lo, Chau,
Ardehali, J. Cryptol. 18, 133 (2005); decoy states: Ma, Qi, Zhao, Lo, PRA 72, 012326 (2005). The counts are those that
Lim et al., PRA 89, 022307 (2014) (signal, decoy, vacuum) and Rusca et al., APL 112, 171104 (2018) (signal, decoy) need:

    sink    which pulses clicked, in which basis each, and its bits in X
    source  its bases; of the pulses in equal bases the intensities; its bits of those in X

Matched Z: key, whatever the intensity. Matched X: disclosed. The rest is sifted out. Neither end says anything before
the receiver has detected, and no bit of basis Z is ever said.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from qkdbus.physics.finite_decoy import DecoyCounts
from qkdbus.physics.setup import PulseSetup

from ..bits import octet_count, wipe
from ..emulators.port import Clicks, Pulses, Sent, X
from ..failure import Broken
from .bb84_kernels import Kernels, Words, bits_of, kernels, none, read, words_of, write
from .sifting import Sifted, Token
from .talk import Detect, Hear, Recall, Talk, Tell, Work

_HEAD = struct.Struct("<QQ")  # clicks, octets that name them


@dataclass(frozen=True, slots=True)
class DecoyBB84:
    """The protocol, at either end.

    Attributes:
        name: as in the network file.
        intensities: 3 (signal, decoy, vacuum) or 2 (signal, decoy).
        p_z_source, p_z_receiver: probability of basis Z at the ends: what is expected (`on`), not what is done here.
        fast: use numba where it helps; the result is the same without.
    """

    name: str
    intensities: int
    p_z_source: float = 0.5
    p_z_receiver: float = 0.5
    fast: bool = True

    def on(self, setup: PulseSetup) -> DecoyBB84:
        """Return the protocol as it runs on a setup. ValueError when that has another number of intensities."""
        if len(setup.intensities) != self.intensities:
            raise ValueError(f"{self.name} takes {self.intensities} intensities, not {len(setup.intensities)}")
        return replace(self, p_z_source=setup.p_z_source, p_z_receiver=setup.p_z_receiver)

    @property
    def signal(self) -> Literal["pulses"]:
        """It runs on weak pulses."""
        return "pulses"

    @property
    def kept(self) -> float:
        """Expected share of the clicks that become key bits."""
        return self.p_z_source * self.p_z_receiver

    @property
    def disclosed_share(self) -> float:
        """Expected share of the clicks whose bits are told in public."""
        return (1 - self.p_z_source) * (1 - self.p_z_receiver)

    def sink(self, pulses: Pulses, token: Token) -> Talk[Sifted]:
        """The end that detects. It draws nothing itself: its receiver chose the bases."""
        clicks: Clicks = yield Detect(pulses)
        end: _Sink = yield Work(lambda: _Sink.of(clicks, self.fast))
        yield Tell(end.first(clicks.which))
        said = yield Hear()
        sifted: Sifted = yield Work(lambda: end.conclude(pulses, said, self.intensities - 1))
        return sifted

    def source(self, pulses: Pulses, token: Token) -> Talk[Sifted]:
        """The end that sent the pulses. It draws nothing itself: its transmitter chose bases, bits and intensities."""
        first = _First.read((yield Hear()), pulses.sent, kernels(self.fast))
        sent: Sent = yield Recall(pulses, first.which)
        if not len(sent.bases) == len(sent.bits) == len(sent.intensities) == first.number:
            raise Broken("another number of clicks than was named")
        done: tuple[bytes, Sifted] = yield Work(lambda: _answer(pulses, first, sent, self.intensities, self.fast))
        answer, sifted = done
        yield Tell(answer)
        return sifted


BB84_DECOY = DecoyBB84("bb84-decoy", 3)
BB84_ONE_DECOY = DecoyBB84("bb84-one-decoy", 2)


@dataclass(frozen=True, slots=True)
class _Sink:
    """The sink's clicks as bitmaps: `bases` 1 for X; `bits` SECRET where that is 0."""

    number: int
    bases: Words
    bits: Words
    kernels: Kernels

    def __repr__(self) -> str:
        return f"_Sink({self.number} clicks)"

    @classmethod
    def of(cls, clicks: Clicks, fast: bool) -> _Sink:
        sink = cls(clicks.count, words_of(clicks.bases == X), words_of(clicks.bits), kernels(fast))
        wipe(clicks.bits)
        return sink

    def first(self, which: bytes) -> bytes:
        """Return what the sink says."""
        in_x = self.kernels.compress(self.bits, self.bases)
        told = write(self.bases, self.number) + write(in_x, self.kernels.ones(self.bases))
        return _HEAD.pack(self.number, len(which)) + which + told

    def conclude(self, pulses: Pulses, said: bytes, fainter: int) -> Sifted:
        """Return what the sink keeps, having heard the source; `fainter` intensities there are beside the signal."""
        reader, compress = _Reader(said), self.kernels.compress
        bases = reader.bitmap(self.number)
        key, test = none(bases | self.bases, self.number), bases & self.bases
        kept, disclosed = self.kernels.ones(key), self.kernels.ones(test)
        key_marks = _Marks.read(reader, kept, fainter, self.kernels)
        test_marks = _Marks.read(reader, disclosed, fainter, self.kernels)
        theirs = reader.bitmap(disclosed)
        reader.close()
        found = _Found(pulses, self.number, key_marks, test_marks, compress(self.bits, test) ^ theirs)
        sifted = found.sifted(compress(self.bits, key))
        self.bits.fill(0)
        return sifted


class _First(NamedTuple):
    """What the sink said: `which` of the pulses clicked, `bases` 1 for X, `bits` of those in X."""

    number: int
    which: bytes
    bases: Words
    bits: Words

    @classmethod
    def read(cls, said: bytes, sent: int, using: Kernels) -> _First:
        """Broken when the sink cannot have said that of `sent` pulses."""
        if len(said) < _HEAD.size:
            raise Broken("no clicks named")
        number, length = _HEAD.unpack_from(said)
        if number > sent:
            raise Broken("more clicks than pulses")
        reader = _Reader(said, _HEAD.size)
        which, bases = bytes(reader.octets(length)), reader.bitmap(number)
        bits = reader.bitmap(using.ones(bases))
        reader.close()
        return cls(number, which, bases, bits)


def _answer(pulses: Pulses, first: _First, sent: Sent, intensities: int, fast: bool) -> tuple[bytes, Sifted]:
    """Return what the source says, and what it keeps."""
    using = kernels(fast)
    compress = using.compress
    bases, bits = words_of(sent.bases == X), words_of(sent.bits)
    wipe(sent.bits)
    planes = [words_of(sent.intensities == index) for index in range(1, intensities)]
    key, test = none(bases | first.bases, first.number), bases & first.bases
    key_marks, test_marks = (
        _Marks(using.ones(mask), tuple(compress(plane, mask) for plane in planes), using) for mask in (key, test)
    )
    ours, theirs = compress(bits, test), compress(first.bits, compress(bases, first.bases))
    said = write(bases, first.number), *key_marks.write(), *test_marks.write(), write(ours, test_marks.number)
    sifted = _Found(pulses, first.number, key_marks, test_marks, ours ^ theirs).sifted(compress(bits, key))
    bits.fill(0)
    return b"".join(said), sifted


class _Marks(NamedTuple):
    """Intensities of `number` pulses: a bitmap of each but the brightest, which is where none of them is set."""

    number: int
    planes: tuple[Words, ...]
    kernels: Kernels

    @classmethod
    def read(cls, reader: _Reader, number: int, fainter: int, using: Kernels) -> _Marks:
        """Broken where a pulse has two intensities."""
        planes = tuple(reader.bitmap(number) for _ in range(fainter))
        if fainter == 2 and (planes[0] & planes[1]).any():
            raise Broken("a pulse of two intensities")
        return cls(number, planes, using)

    def write(self) -> list[bytes]:
        return [write(plane, self.number) for plane in self.planes]

    def counts(self, among: Words | None = None) -> tuple[int, ...]:
        """Count the pulses by intensity: all, or those in a bitmap."""
        ones = self.kernels.ones
        fainter = [ones(plane if among is None else plane & among) for plane in self.planes]
        return (self.number if among is None else ones(among)) - sum(fainter), *fainter

    def array(self) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        """Return the intensity of each pulse: shape (number,)."""
        marks = bits_of(self.planes[0], self.number)
        for index, plane in enumerate(self.planes[1:], 2):
            marks += np.uint8(index) * bits_of(plane, self.number)
        return marks


class _Found(NamedTuple):
    """What either end knows when both have spoken. `differ`: whether the bits of each matched pulse in X do."""

    pulses: Pulses
    clicks: int
    key: _Marks
    test: _Marks
    differ: Words

    def sifted(self, key: Words) -> Sifted:
        """Return it with this end's key bits, a bitmap that is wiped."""
        sifted = Sifted(
            batch=self.pulses.batch,
            created=self.clicks,
            bits=bits_of(key, self.key.number),
            disclosed=self.test.number,
            evidence=DecoyCounts(self.key.counts(), self.test.counts(), self.test.counts(self.differ)),
            marks=self.key.array(),
            sent=self.pulses.sent,
        )
        key.fill(0)
        return sifted


class _Reader:
    """Takes a message apart, bitmap by bitmap. Broken when there is less, or more, than is asked for."""

    def __init__(self, said: bytes, offset: int = 0) -> None:
        self._rest = memoryview(said)[offset:]

    def octets(self, length: int) -> memoryview:
        if length > len(self._rest):
            raise Broken(f"expected {length} octets, got {len(self._rest)}")
        taken, self._rest = self._rest[:length], self._rest[length:]
        return taken

    def bitmap(self, count: int) -> Words:
        return read(self.octets(octet_count(count)), count)

    def close(self) -> None:
        if len(self._rest):
            raise Broken(f"{len(self._rest)} octets too many")
