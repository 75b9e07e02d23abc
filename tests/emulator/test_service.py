"""The service as a plain object: two of them, joined in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.errors import Exhausted, Refused, Unavailable
from qkdbus.wire.emulator_pb2 import AwaitPairs, CreatePairs, Discard, Disturb, ListLines
from qkdbus_qbackend.emulators.simulaqron import service as module
from qkdbus_qbackend.emulators.simulaqron.channels import LARGEST_BATCH

if TYPE_CHECKING:
    from .conftest import Two

CALL = Call(OPERATOR, patience=0.3)


async def test_both_ends_measure_what_they_share(two: Two) -> None:
    batch = await two.pairs(30)
    assert await two.arrived() == (batch, 30)
    bases = bytes([0, 1, 2] * 10)
    mine, theirs = await two.at_alice(batch, bases), await two.at_bob(batch, bases)
    assert all((a ^ b) == (basis == 2) for a, b, basis in zip(mine, theirs, bases, strict=True))
    assert len(two.registers) == 0


async def test_the_sink_may_measure_first(two: Two) -> None:
    batch = await two.pairs(8)
    theirs = await two.at_bob(batch, bytes(8))
    assert await two.at_alice(batch, bytes(8)) == theirs


async def test_nothing_of_the_source_passes_before_the_sink_measures_but_numbers(two: Two) -> None:
    batch = await two.pairs(16)
    await two.at_alice(batch, bytes([1] * 16))
    assert two.wire.passed == [("job", batch, 16)]


async def test_batches_arrive_in_order(two: Two) -> None:
    made = [await two.pairs(count) for count in (1, 2, 3)]
    assert [await two.arrived() for _ in made] == [(1, 1), (2, 2), (3, 3)]


async def test_a_waiting_sink_gets_the_batch_when_it_comes(two: Two) -> None:
    waiting = asyncio.create_task(two.arrived())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await two.pairs(5)
    assert await waiting == (1, 5)


async def test_a_sink_that_left_takes_no_batch_with_it(two: Two) -> None:
    with pytest.raises(Exhausted):
        await two.arrived()
    await two.pairs(5)
    assert await two.arrived() == (1, 5)


async def test_a_second_waiter_displaces_the_first(two: Two) -> None:
    first = asyncio.create_task(two.arrived())
    await asyncio.sleep(0.01)
    second = asyncio.create_task(two.arrived())
    await asyncio.sleep(0.01)
    await two.pairs(5)
    with pytest.raises(Exhausted):
        await first
    assert await second == (1, 5)


async def test_a_half_is_measured_once_at_each_end(two: Two) -> None:
    batch = await two.pairs(4)
    await two.at_alice(batch, bytes(4))
    with pytest.raises(Refused):
        await two.at_alice(batch, bytes(4))
    await two.at_bob(batch, bytes(4))
    with pytest.raises(Refused):
        await two.at_bob(batch, bytes(4))


@pytest.mark.parametrize("bases", [b"", bytes(3), bytes(5), bytes([0, 1, 2, 3]), bytes([4] * 4), bytes([255] * 4)])
async def test_bases_that_are_none_are_refused_and_spend_nothing(two: Two, bases: bytes) -> None:
    batch = await two.pairs(4)
    with pytest.raises(Refused):
        await two.at_alice(batch, bases)
    with pytest.raises(Refused):
        await two.at_bob(batch, bases)
    assert await two.at_alice(batch, bytes(4)) == await two.at_bob(batch, bytes(4))


@pytest.mark.parametrize("count", [0, LARGEST_BATCH + 1])
async def test_a_batch_has_a_sensible_size(two: Two, count: int) -> None:
    with pytest.raises(Refused):
        await two.pairs(count)


async def test_one_end_is_the_source_and_the_other_the_sink(two: Two) -> None:
    await two.pairs(2)
    with pytest.raises(Refused):
        await two.alice.await_pairs(AwaitPairs(peer="Bob", line="job"), CALL)
    with pytest.raises(Refused):
        await two.bob.create_pairs(CreatePairs(peer="Alice", line="job", count=1), CALL)


async def test_a_stranger_is_no_peer(two: Two) -> None:
    with pytest.raises(Refused):
        await two.alice.create_pairs(CreatePairs(peer="Eve", line="job", count=1), CALL)
    with pytest.raises(Refused):
        two.alice.disturb(Disturb(peer="Eve"), CALL)


async def test_noise_is_put_on_new_pairs(two: Two) -> None:
    two.alice.disturb(Disturb(peer="Bob", x=1.0), CALL)
    batch = await two.pairs(20)
    mine, theirs = await two.at_alice(batch, bytes(20)), await two.at_bob(batch, bytes(20))
    assert all(a != b for a, b in zip(mine, theirs, strict=True))
    two.alice.disturb(Disturb(peer="Bob"), CALL)
    batch = await two.pairs(20)
    assert await two.at_alice(batch, bytes(20)) == await two.at_bob(batch, bytes(20))


@pytest.mark.parametrize("noise", [(-0.1, 0, 0), (0, 1.1, 0), (0.5, 0.4, 0.2), (float("nan"), 0, 0)])
async def test_noise_that_is_no_probability_is_refused(two: Two, noise: tuple[float, float, float]) -> None:
    with pytest.raises(Refused):
        two.alice.disturb(Disturb(peer="Bob", x=noise[0], y=noise[1], z=noise[2]), CALL)


async def test_a_discarded_line_ends_at_both_ends(two: Two) -> None:
    batch = await two.pairs(6)
    other = await two.pairs(2, line="other")
    two.bob.discard(Discard(peer="Alice", line="job"), CALL)
    assert len(two.registers) == 2
    for attempt in (two.pairs(1), two.arrived(), two.at_alice(batch, bytes(6)), two.at_bob(batch, bytes(6))):
        with pytest.raises(Unavailable, match="discarded"):
            await attempt
    assert await two.at_alice(other, bytes(2), "other") == await two.at_bob(other, bytes(2), "other")


async def test_a_line_discarded_while_pairs_are_made_leaves_no_register(two: Two) -> None:
    ticks = iter(0.02 * tick for tick in range(100_000))
    two.alice._monotonic = lambda: next(ticks)  # each look at the clock ends a turn
    making = asyncio.create_task(two.pairs(50))
    for _ in range(10):
        await asyncio.sleep(0)
    two.alice.discard(Discard(peer="Bob", line="job"), CALL)
    with pytest.raises(Unavailable):
        await making
    assert len(two.registers) == 0


async def test_a_line_discarded_while_it_is_measured_leaves_no_register(two: Two) -> None:
    batch = await two.pairs(50)
    ticks = iter(0.02 * tick for tick in range(100_000))
    two.alice._monotonic = lambda: next(ticks)
    measuring = asyncio.create_task(two.at_bob(batch, bytes(50)))
    for _ in range(10):
        await asyncio.sleep(0)
    two.alice.discard(Discard(peer="Bob", line="job"), CALL)
    with pytest.raises(Unavailable):
        await measuring
    assert len(two.registers) == 0


async def test_lines_to_a_lost_peer_are_unavailable(two: Two) -> None:
    batch = await two.pairs(6)
    waiting = asyncio.create_task(two.bob.await_pairs(AwaitPairs(peer="Alice", line="second"), CALL))
    await asyncio.sleep(0.01)
    two.alice.peer_lost("Bob")
    two.bob.peer_lost("Alice")
    assert len(two.registers) == 0
    with pytest.raises(Unavailable, match="lost"):
        await waiting
    with pytest.raises(Unavailable, match="lost"):
        await two.at_alice(batch, bytes(6))
    with pytest.raises(Unavailable, match="lost"):
        await two.at_bob(batch, bytes(6))
    assert await two.pairs(3, line="a new one") == 1


async def test_pairs_that_nobody_takes_are_not_kept(two: Two) -> None:
    two.wire.there = False
    with pytest.raises(Unavailable):
        await two.pairs(6)
    assert len(two.registers) == 0


async def test_an_idle_line_is_dropped_and_its_name_comes_free_again(two: Two) -> None:
    await two.pairs(6)
    two.now[0] = module.IDLE - 1
    two.alice.sweep()
    assert len(two.registers) == 6
    two.now[0] = module.IDLE + 1
    two.alice.sweep()
    assert len(two.registers) == 0
    with pytest.raises(Unavailable, match="nobody used"):
        await two.pairs(1)
    with pytest.raises(Unavailable):
        await two.arrived()
    two.now[0] = 3 * module.IDLE
    two.alice.sweep()
    two.bob.sweep()
    assert await two.pairs(1) == 1


async def test_too_many_pairs_at_once_are_refused_for_now(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REGISTERS", 10)
    await two.pairs(8)
    with pytest.raises(Exhausted):
        await two.pairs(3, line="other")
    await two.pairs(2, line="other")


async def test_a_link_whose_engine_is_missing_says_so(two: Two) -> None:
    two.alice._channels["Bob"].fault = "SimulaQron's engine 'qutip' needs a package"
    with pytest.raises(Unavailable, match="needs a package"):
        await two.pairs(1)


async def test_lines_can_be_listed(two: Two) -> None:
    await two.pairs(6)
    listed = two.alice.list_lines(ListLines(), CALL)
    assert (list(listed.peers_up), listed.registers, listed.engine) == (["Bob"], 6, "stabilizer")


async def test_a_line_has_one_turn_from_its_first_pair_to_its_end(two: Two) -> None:
    await asyncio.gather(two.pairs(4), two.pairs(4), two.pairs(4, "other"))
    assert (two.turns.taken, len(two.turns.held)) == (2, 2)
    two.alice.discard(Discard(peer="Bob", line="job"), CALL)
    assert len(two.turns.held) == 1
    two.alice.peer_lost("Bob")
    assert two.turns.held == []


async def test_a_line_that_rests_has_no_turn_and_goes_on_without(two: Two) -> None:
    batch = await two.pairs(4)
    two.now[0] = module.RESTING_LAST - 0.1
    two.alice.sweep()
    assert len(two.turns.held) == 1, "there are pairs to be measured"
    two.now[0] = module.RESTING_LAST + 0.1
    two.alice.sweep()
    assert two.turns.held == []
    await two.pairs(4)
    assert await two.at_alice(batch, bytes(4)) == await two.at_bob(batch, bytes(4))
    two.alice.discard(Discard(peer="Bob", line="job"), CALL)
    assert (two.turns.taken, two.turns.held) == (1, [])


async def test_a_line_whose_pairs_are_all_measured_rests_soon(two: Two) -> None:
    batch = await two.pairs(4)
    assert await two.at_alice(batch, bytes(4)) == await two.at_bob(batch, bytes(4))
    two.now[0] = module.RESTING - 0.1
    two.alice.sweep()
    assert len(two.turns.held) == 1
    two.now[0] = module.RESTING + 0.1
    two.alice.sweep()
    assert two.turns.held == []


async def test_a_line_that_waits_for_its_turn_is_in_use_and_has_it_in_full(two: Two) -> None:
    two.turns.open.clear()
    arriving = asyncio.create_task(
        two.bob.await_pairs(AwaitPairs(peer="Alice", line="job"), Call(OPERATOR, patience=60))
    )
    making = asyncio.create_task(two.pairs(4))
    await asyncio.sleep(0.01)
    two.now[0] = module.IDLE + 1
    two.alice.sweep()
    two.bob.sweep()
    two.turns.open.set()
    assert await making == (await arriving).batch == 1
    two.alice.sweep()
    assert len(two.turns.held) == 1, "it has just begun"
