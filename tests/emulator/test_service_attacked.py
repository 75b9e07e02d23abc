"""The service as a plain object when somebody is in the channel, when bases are turned, when the engine is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.errors import Refused, Unavailable
from qkdbus.network.photonic import Eavesdropper
from qkdbus.wire.emulator_pb2 import CreatePairs
from qkdbus.wire.qbackend_pb2 import Attack
from qkdbus_qbackend.emulators.simulaqron.channels import SLOW_BATCH

if TYPE_CHECKING:
    from .conftest import Two

CALL = Call(OPERATOR, patience=0.3)


async def test_turned_bases_are_refused_with_what_would_do(two: Two) -> None:
    batch = await two.pairs(4)
    with pytest.raises(Refused, match=r"not at 22\.5 or 67\.5 degrees: choose `engine: qutip`"):
        await two.at_bob(batch, bytes([0, 1, 3, 4]))


async def test_she_is_in_the_channel_from_the_next_batch_on_and_gone_when_she_leaves(two: Two) -> None:
    here = [Eavesdropper()]
    two.alice._channels["Bob"].eve = lambda: here[0]
    wrong = []
    for eve in (Eavesdropper(), Eavesdropper(intercept_resend=1.0, bases=(45.0,)), Eavesdropper()):
        here[0] = eve
        batch = await two.pairs(60)
        mine, theirs = await two.at_alice(batch, bytes(60)), await two.at_bob(batch, bytes(60))
        wrong.append(sum(a != b for a, b in zip(mine, theirs, strict=True)))
    assert wrong[0] == wrong[2] == 0
    assert 8 < wrong[1] < 52, "measured in X, a half tells nothing in Z"


async def test_nothing_arrives_over_a_cut_channel(two: Two) -> None:
    two.alice._channels["Bob"].eve = lambda: Eavesdropper(cut=True)
    with pytest.raises(Unavailable, match="nothing arrives: the channel is cut"):
        await two.pairs(4)
    assert len(two.registers) == 0
    assert two.wire.passed == []


async def test_an_attack_is_for_the_channels_of_this_node(two: Two) -> None:
    assert two.alice.attack(Attack(peer="Bob"), CALL).here
    assert not two.bob.attack(Attack(peer="Alice"), CALL).here
    with pytest.raises(Refused, match="no SimulaQron link to 'Eve' here"):
        two.alice.attack(Attack(peer="Eve"), CALL)


async def test_a_slow_engine_gives_what_half_a_second_allows(two: Two) -> None:
    ticks = iter(0.1 * tick for tick in range(1000))
    two.alice._monotonic = lambda: next(ticks)
    made = await two.alice.create_pairs(CreatePairs(peer="Bob", line="job", count=500), CALL)
    assert 1 <= made.count < 10
    assert await two.arrived() == (made.batch, made.count)
    assert len(await two.at_bob(made.batch, bytes(made.count))) == made.count


async def test_a_slow_engine_makes_small_batches_one_at_a_time(two: Two) -> None:
    channel = two.alice._channels["Bob"]
    channel.engine = "projectq"  # in name only: its queue and its limits
    assert (channel.slow, channel.most) == (True, SLOW_BATCH)
    async with channel.turn():
        assert channel.queue.locked()
