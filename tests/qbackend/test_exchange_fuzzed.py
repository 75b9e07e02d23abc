"""The other end of an exchange says nonsense: this end gives up in good order, and never has another key than it."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.fuzz.octets import scramble

from qkdbus.network.model import LinkSettings
from qkdbus.wire.qbackend_pb2 import Parcel

HEAD = 10  # octets: topic, whether more follows, lane
AT_ONCE = 20
PATIENCE, SLOW = 0.5, 0.75  # s without a word, and without progress
LINKS = [LinkSettings(emulator="ideal", protocol=protocol) for protocol in ("e91-same-bases", "bbm92", "e91")]


def liar(dice: random.Random) -> Callable[[Parcel], Parcel | None]:
    """Change one parcel of each exchange, or some of them; most of their heads stay as they are."""
    when: dict[int, int] = {}

    def pass_on(parcel: Parcel) -> Parcel | None:
        left = when.setdefault(parcel.job, dice.choice((0, 1, 2, 3, 5, 8, 13)))
        when[parcel.job] = left - 1
        if left == 0 or (left < 0 and dice.random() < 0.05):
            parcel.body = _lie(dice, parcel.body)
        return parcel

    return pass_on


def _lie(dice: random.Random, body: bytes) -> bytes:
    kind, head, rest = dice.randrange(8), body[:HEAD], body[HEAD:]
    if kind == 0:
        return scramble(dice, body)
    if kind == 1:
        return head
    if kind == 2:
        return head + dice.randbytes(len(rest))
    if kind == 3:
        return head + b"\xff" * (len(rest) + dice.randrange(9))
    if kind == 4:
        return head + struct.pack("<d", dice.choice((float("nan"), float("inf"), -1.0, 1e308))) + rest[8:]
    if kind == 5:
        return head + dice.choice((2**31, 2**63, 2**64 - 1)).to_bytes(8, "little") + rest[8:]
    if kind == 6:
        return bytes((dice.randrange(9),)) + head[1:2] + dice.randbytes(8) + rest
    return head + scramble(dice, rest)


async def exchanges(workers: Any, link: LinkSettings, count: int, seed: int) -> None:
    both, dice = workers(link, patience=PATIENCE, slow=SLOW), random.Random(seed)
    lies, failed = liar(dice), 0
    for first in range(0, count, AT_ONCE):
        liars = (both.alice, both.bob) if first < count // 2 else (both.bob, both.alice)
        liars[0].wire.pass_on, liars[1].wire.pass_on = lies, lambda parcel: parcel
        jobs = range(1 + first, 1 + first + AT_ONCE)
        told = await asyncio.gather(*(both.exchange(64, job) for job in jobs))
        for ours, theirs in told:
            failed += bool(ours.failure or theirs.failure)
            if not ours.failure and not theirs.failure:
                assert (ours.block.run, ours.block.bits) == (theirs.block.run, theirs.block.bits)
    assert failed, "no lie was noticed"
    assert not both.alice.backend.running and not both.bob.backend.running
    assert both.alice.board.early + both.bob.board.early <= 64 * AT_ONCE


@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.protocol)
async def test_a_lie_ends_an_exchange_in_good_order(workers: Any, link: LinkSettings) -> None:
    await exchanges(workers, link, 2 * AT_ONCE, 1)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("link", LINKS, ids=lambda link: link.protocol)
async def test_a_thousand_lies_end_their_exchanges_in_good_order(workers: Any, link: LinkSettings) -> None:
    await exchanges(workers, link, 50 * AT_ONCE, 2)
