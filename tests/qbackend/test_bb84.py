"""Decoy BB84: both ends against a device that clicks, and against ends that say what cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qkdbus.physics.setup import PulseSetup
from qkdbus_qbackend.bits import pack
from qkdbus_qbackend.emulators.port import Clicks, Pulses, Sent, X, Z
from qkdbus_qbackend.failure import Broken
from qkdbus_qbackend.protocols import PROTOCOLS, bb84
from qkdbus_qbackend.protocols.bb84 import BB84_DECOY, BB84_ONE_DECOY, DecoyBB84
from qkdbus_qbackend.protocols.bb84_kernels import bits_of, kernels, portable, words_of
from qkdbus_qbackend.protocols.talk import Detect, Hear, Recall, Tell, Work, converse

both = pytest.mark.parametrize("protocol", [BB84_DECOY, BB84_ONE_DECOY], ids=lambda protocol: protocol.name)


class Device:
    """A batch of pulses of which `count` clicked: equal bases agree but for some errors."""

    def __init__(self, count: int, intensities: int, p_z: float = 0.7, wrong: float = 0.05, seed: int = 1) -> None:
        chance = np.random.default_rng(seed)
        self.pulses = Pulses(7, 20 * count)
        self.which = b"names of the clicks"
        self.one, self.other = ((chance.random(count) > p_z).astype(np.uint8) for _ in range(2))  # Z 0, X 1
        self.intensities = chance.choice(intensities, count).astype(np.uint8)
        self.sent = chance.integers(0, 2, count, np.uint8)
        self.seen = np.where(
            self.one == self.other, self.sent ^ (chance.random(count) < wrong), chance.integers(0, 2, count)
        ).astype(np.uint8)
        self.given: list[Any] = []

    def source(self, wish: Recall) -> Sent:
        assert (wish.pulses, wish.which) == (self.pulses, self.which)
        self.given.append(self.sent.copy())
        return Sent(self.one, self.given[-1], self.intensities)

    def sink(self, wish: Detect) -> Clicks:
        assert wish.pulses == self.pulses
        self.given.append(self.seen.copy())
        return Clicks(len(self.seen), self.which, self.other, self.given[-1])

    def run(self, protocol: DecoyBB84) -> Any:
        talks = protocol.source(self.pulses, os.urandom), protocol.sink(self.pulses, os.urandom)
        return converse(*talks, hands=(self.source, self.sink))


@both
@pytest.mark.parametrize("fast", [False, True], ids=["portable", "fast"])
@pytest.mark.parametrize("count", [0, 1, 7, 63, 64, 65, 1000, 20_011])
def test_both_ends_keep_the_matched_z_bits_and_count_alike(protocol: DecoyBB84, fast: bool, count: int) -> None:
    device = Device(count, protocol.intensities)
    ours, theirs = device.run(replace(protocol, fast=fast))
    key = (device.one == Z) & (device.other == Z)
    test = (device.one == X) & (device.other == X)
    assert (ours.bits == device.sent[key]).all() and (theirs.bits == device.seen[key]).all()
    assert len(ours.bits) == len(theirs.bits) == np.count_nonzero(key)
    for end in (ours, theirs):
        assert (end.marks == device.intensities[key]).all() and len(end.marks) == len(end.bits)
        assert (end.batch, end.created, end.sent) == (7, count, 20 * count)
        assert end.disclosed == np.count_nonzero(test)
    wrong = device.sent != device.seen
    expected = [
        tuple(int(np.count_nonzero(chosen & (device.intensities == k))) for k in range(protocol.intensities))
        for chosen in (key, test, test & wrong)
    ]
    assert ours.evidence == theirs.evidence
    assert [ours.evidence.n_z, ours.evidence.n_x, ours.evidence.m_x] == expected


@both
def test_batches_add_up(protocol: DecoyBB84) -> None:
    one, other = (Device(2000, protocol.intensities, seed=seed).run(protocol)[0].evidence for seed in (1, 2))
    both_together = one + other
    assert sum(both_together.n_z) == sum(one.n_z) + sum(other.n_z)
    assert both_together.qber == pytest.approx(0.05, abs=0.04)


def transcript(device: Device, protocol: DecoyBB84) -> list[bytes]:
    """All that both ends say."""
    said: list[bytes] = []

    def overheard(talk: Any) -> Any:
        answer: Any = None
        while True:
            try:
                wish = talk.send(answer)
            except StopIteration as end:
                return end.value
            if isinstance(wish, Tell):
                said.append(wish.body)
            answer = yield wish

    source, sink = protocol.source(device.pulses, os.urandom), protocol.sink(device.pulses, os.urandom)
    converse(overheard(source), overheard(sink), hands=(device.source, device.sink))
    return said


@both
def test_what_is_said_does_not_depend_on_any_bit_of_basis_z(protocol: DecoyBB84) -> None:
    device, turned, watched = (Device(5000, protocol.intensities) for _ in range(3))
    said = transcript(device, protocol)
    turned.sent ^= turned.one == Z
    turned.seen ^= turned.other == Z
    assert transcript(turned, protocol) == said and len(said) == 2
    watched.seen ^= watched.other == X
    assert transcript(watched, protocol) != said  # bits in X are told


@both
def test_the_receiver_speaks_first_and_only_after_detection(protocol: DecoyBB84) -> None:
    device = Device(100, protocol.intensities)
    source, sink = (end(device.pulses, os.urandom) for end in (protocol.source, protocol.sink))
    assert isinstance(next(source), Hear)
    assert isinstance(next(sink), Detect)
    wish: Any = sink.send(device.sink(Detect(device.pulses)))
    while isinstance(wish, Work):
        wish = sink.send(wish.work())
    assert isinstance(wish, Tell)


@both
def test_the_bits_that_were_given_are_wiped(protocol: DecoyBB84) -> None:
    device = Device(1000, protocol.intensities)
    device.run(protocol)
    assert [bits.any() for bits in device.given] == [False, False]


@both
def test_the_bitmaps_of_the_key_are_wiped_too(protocol: DecoyBB84, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def remembered(bits: Any) -> Any:
        made.append((bits_of(words := words_of(bits), len(bits)), words))
        return words

    monkeypatch.setattr(bb84, "words_of", remembered)
    device = Device(1000, protocol.intensities)
    device.run(protocol)
    for secret in (device.sent, device.seen):
        (words,) = [words for was, words in made if (was == secret).all()]
        assert not words.any()


@both
def test_nothing_that_shows_itself_shows_bits(protocol: DecoyBB84) -> None:
    device = Device(1000, protocol.intensities)
    ours, _ = device.run(protocol)
    assert "array" not in repr(ours) and "array" not in repr(device.sink(Detect(device.pulses)))


# ---- what cannot be


def first(device: Device) -> bytes:
    return transcript(device, BB84_DECOY)[0]


def hear_first(body: bytes, device: Device) -> Any:
    talk: Any = BB84_DECOY.source(device.pulses, os.urandom)
    next(talk)
    return talk.send(body)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda said: b"",
        lambda said: said[:15],
        lambda said: said[:16],
        lambda said: said[:-1],
        lambda said: said + b"\0",
        lambda said: (2**63).to_bytes(8, "little") + said[8:],
        lambda said: (20_001).to_bytes(8, "little") + said[8:],
        lambda said: (990).to_bytes(8, "little") + said[8:],
        lambda said: said[:8] + (2**64 - 1).to_bytes(8, "little") + said[16:],
        lambda said: said[:8] + (3).to_bytes(8, "little") + said[16:],
        lambda said: said[:40] + b"\xff" * 100 + said[140:],
    ],
)
def test_a_sink_that_says_what_cannot_be_is_refused(spoil: Any) -> None:
    device = Device(1000, 3)
    with pytest.raises(Broken):
        hear_first(spoil(first(device)), device)


def test_more_clicks_than_pulses_are_refused() -> None:
    device = Device(1000, 3)
    said = first(device)
    device.pulses = Pulses(7, 999)
    with pytest.raises(Broken, match="more clicks"):
        hear_first(said, device)


def test_as_many_pulses_must_be_recalled_as_clicked() -> None:
    device = Device(1000, 3)
    talk: Any = BB84_DECOY.source(device.pulses, os.urandom)
    next(talk)
    assert isinstance(talk.send(first(device)), Recall)
    with pytest.raises(Broken, match="another number"):
        talk.send(Sent(device.one[1:], device.sent[1:], device.intensities[1:]))


def conclude(device: Device, protocol: DecoyBB84, body: bytes) -> None:
    talk: Any = protocol.sink(device.pulses, os.urandom)
    wish = talk.send(None)
    answer: Any = device.sink(wish)
    while not isinstance(wish := talk.send(answer), Hear):
        answer = wish.work() if isinstance(wish, Work) else None
    wish = talk.send(body)
    wish.work()


@both
@pytest.mark.parametrize(
    "spoil",
    [
        lambda said: b"",
        lambda said: said[:124],
        lambda said: said[:-1],
        lambda said: said + b"\0",
        lambda said: b"\xff" * 125 + said[125:],
        lambda said: bytes(125) + said[125:],
    ],
)
def test_a_source_that_says_what_cannot_be_is_refused(protocol: DecoyBB84, spoil: Any) -> None:
    device = Device(1000, protocol.intensities)
    said = transcript(device, protocol)[1]
    conclude(device, protocol, said)  # as it is, it is heard
    with pytest.raises(Broken):
        conclude(device, protocol, spoil(said))


def test_a_pulse_of_two_intensities_is_refused() -> None:
    device = Device(1000, 3)
    said = transcript(device, BB84_DECOY)[1]
    key = np.count_nonzero((device.one == Z) & (device.other == Z))
    octets = -(-key // 8)
    everything = pack(np.ones(key, np.uint8))
    with pytest.raises(Broken, match="two intensities"):
        conclude(device, BB84_DECOY, said[:125] + 2 * everything + said[125 + 2 * octets :])


# ---- kernels


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 127, 128, 5000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_fast_and_portable_kernels_agree(count: int, share: float) -> None:
    chance = np.random.default_rng(count)
    bits, mask = chance.integers(0, 2, count, np.uint8), chance.random(count) < share
    words, marked = words_of(bits), words_of(mask)
    for one in (kernels(True), portable()):
        kept = one.compress(words, marked)
        assert (bits_of(kept, np.count_nonzero(mask)) == bits[mask]).all()
        assert len(kept) == -(-np.count_nonzero(mask) // 64)
        assert one.ones(kept) == np.count_nonzero(bits[mask])


def test_numba_is_imported_only_when_it_is_wanted() -> None:
    script = """
import sys
from qkdbus_qbackend.protocols import PROTOCOLS, bb84
from qkdbus_qbackend.protocols.bb84_kernels import kernels
kernels(False)
assert "numba" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


# ---- the table


def test_the_protocols_are_in_the_table_and_know_their_setup() -> None:
    assert PROTOCOLS["bb84-decoy"] is BB84_DECOY and PROTOCOLS["bb84-one-decoy"] is BB84_ONE_DECOY
    setup = PulseSetup(1e9, (0.5, 0.1), (0.7, 0.3), 0.9, 0.8, 10.0, 0.5, 1e-6)
    there = BB84_ONE_DECOY.on(setup)
    assert there.kept == pytest.approx(0.72) and there.disclosed_share == pytest.approx(0.02)
    assert there.signal == "pulses" and there.name == "bb84-one-decoy"
    with pytest.raises(ValueError, match="3 intensities"):
        BB84_DECOY.on(setup)
