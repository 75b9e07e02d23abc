"""Whole exchanges over photonic links: two workers, real detection-level physics, lines in memory."""

from __future__ import annotations

from typing import Any

import pytest

from qkdbus.network.model import LinkSettings
from qkdbus.network.photonic import Eavesdropper

FAST = {"clock": "as-fast-as-possible"}


def link(protocol: str, **photonic: Any) -> LinkSettings:
    return LinkSettings.model_validate(
        {"emulator": "photonic", "protocol": protocol, "photonic": {**FAST, **photonic}, "jobs": 1}
    )


SMALL = {"source": {"p_z": 0.7}, "receiver": {"p_z": 0.7, "misalignment": 0.01}, "block": 300_000}  # key in little time
DECOY = link("bb84-decoy", **SMALL)
ONE_DECOY = link("bb84-one-decoy", **SMALL)
FAR = link("bb84-decoy", **SMALL, fibre={"loss_db": 20.0})  # on short links there are few photons that she could block
PAIRS = link("bbm92", block=200_000)
E91 = link("e91", block=200_000)


@pytest.mark.parametrize("settings", [DECOY, ONE_DECOY, PAIRS, E91], ids=lambda settings: settings.protocol)
async def test_both_ends_hold_the_same_finite_key(workers: Any, settings: LinkSettings) -> None:
    ours, theirs = await workers(settings, patience=60.0).exchange(1024)
    assert not ours.failure and ours.block.bits == theirs.block.bits
    record = ours.block.record
    assert record.length == 8 * len(ours.block.bits) > 0.05 * record.kept
    assert record.security == "finite" and 1e-11 < record.epsilon < 1e-9
    assert record.created == record.sifted_out + record.disclosed + record.kept
    assert record.sent > record.created and record.link_time > 0
    assert record.corrected > 0 and record.leaked > 0 and record.rounds > 0
    for name in record.DESCRIPTOR.fields_by_name:
        if name not in ("duration", "finished_at", "stages", "link_time"):
            assert getattr(record, name) == getattr(theirs.block.record, name)


@pytest.mark.parametrize(
    ("settings", "eve", "said"),
    [
        (DECOY, Eavesdropper(intercept_resend=1.0), "qber"),
        (FAR, Eavesdropper(photon_number_splitting=1.0), "nothing secret"),
        (DECOY, Eavesdropper(cut=True), "dark"),
        (PAIRS, Eavesdropper(intercept_resend=0.6), "qber"),
        (E91, Eavesdropper(intercept_resend=1.0, bases=(22.5, 45.0)), "qber"),
    ],
    ids=["intercept-resend", "photon-number-splitting", "cut", "bbm92", "e91"],
)
async def test_an_eavesdropper_leaves_no_key_and_raises_the_alarm(
    workers: Any, settings: LinkSettings, eve: Eavesdropper, said: str
) -> None:
    both = workers(settings, patience=60.0)
    both.alice.eve = eve
    answers = await both.exchange(1024)
    assert not any(answer.HasField("block") for answer in answers)
    assert all(answer.alarm and said in answer.failure for answer in answers), "also where only one end saw why"
    both.alice.eve = Eavesdropper()
    ours, theirs = await both.exchange(1024, job=2)
    assert ours.block.bits and ours.block.bits == theirs.block.bits


async def test_s_is_recorded_with_its_standard_error(workers: Any) -> None:
    record = (await workers(E91, patience=60.0).exchange(1024))[0].block.record
    assert 2.4 < record.s < 2.83 and 0 < record.s_error < 0.02


async def test_beam_splitting_is_not_seen(workers: Any) -> None:
    both = workers(DECOY, patience=60.0)
    both.alice.eve = Eavesdropper(beam_splitting=1.0)
    ours, theirs = await both.exchange(1024)
    assert ours.block.bits and ours.block.bits == theirs.block.bits
