"""Eve in the channel between two emulator programs, over the real bus."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from qkdbus.errors import Refused
from qkdbus.wire.qbackend_pb2 import Attack, Attacked, Eavesdropper
from qkdbus_qbackend.emulators.port import A22, A67, Line, Pairs, X, Z
from qkdbus_qbackend.eve import LOOK_EVERY
from qkdbus_qbackend.failure import NoKey

DICE = np.random.default_rng()
ALICE, BOB = (Z, A22, X), (A22, X, A67)  # E91 (physics reference, section 5)
Ends = list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]


async def attack(lab: Any, node: str, peer: str, **eve: Any) -> Attacked:
    request = Attack(peer=peer, eve=Eavesdropper(**eve))
    answer = await lab.asker(node).ask("attack", request, patience=30.0)
    assert isinstance(answer, Attacked)
    return answer


async def measured(lab: Any, name: str, pairs: int, bases: tuple[tuple[int, ...], tuple[int, ...]]) -> Ends:
    """One exchange from Alice to Bob: (bases, outcomes) of both ends."""

    async def end(line: Line, take: Callable[[int], Awaitable[Pairs]], mine: tuple[int, ...]) -> tuple[Any, Any]:
        drawn, outcomes, left = [], [], pairs
        while left:
            batch = await take(left)
            chosen = DICE.choice(mine, batch.count).astype(np.uint8)
            drawn.append(chosen)
            outcomes.append(await line.measure(batch, chosen))
            left -= batch.count
        return np.concatenate(drawn), np.concatenate(outcomes)

    source = lab.emulator("Alice").line("source", "Bob", name)
    sink = lab.emulator("Bob").line("sink", "Alice", name)
    return list(
        await asyncio.gather(
            end(source, lambda left: source.create_pairs(min(256, left)), bases[0]),
            end(sink, lambda _left: sink.await_pairs(), bases[1]),
        )
    )


def qber(ends: Ends) -> tuple[float, int]:
    """Errors in equal bases, and how many pairs that were."""
    (mine, bits), (theirs, others) = ends
    same = mine == theirs
    return float((bits ^ others)[same].mean()), int(same.sum())


async def test_she_comes_and_goes_while_the_link_runs(lab: Any) -> None:
    both = ((Z, X), (Z, X))
    assert (await attack(lab, "Alice", "Bob", intercept_resend=1.0)).here
    found, counted = qber(await measured(lab, "with Eve", 1000, both))
    assert abs(found - 0.25) < 5 * math.sqrt(0.25 * 0.75 / counted)
    await attack(lab, "Alice", "Bob")
    assert qber(await measured(lab, "without", 200, both))[0] == 0


async def test_a_cut_channel_gives_nothing_until_it_is_mended(lab: Any) -> None:
    await attack(lab, "Alice", "Bob", cut=True)
    source = lab.emulator("Alice").line("source", "Bob", "cut")
    with pytest.raises(NoKey, match="dark: nothing arrives: the channel is cut") as dark:
        await source.create_pairs(8)
    assert dark.value.alarm
    await attack(lab, "Alice", "Bob")
    assert (await source.create_pairs(8)).count == 8
    await source.discard()
    async with asyncio.timeout(30.0):
        while (await lab.lines("Alice")).registers:
            await asyncio.sleep(0.01)


async def test_the_sinks_program_says_that_the_channel_is_not_its_own(lab: Any) -> None:
    assert not (await attack(lab, "Bob", "Alice", jam=1.0)).here
    with pytest.raises(Refused, match="beam splitting cannot be done on a SimulaQron link"):
        await attack(lab, "Alice", "Bob", beam_splitting=0.5)


@pytest.mark.slow
async def test_she_survives_the_program(make_lab: Callable[..., Any]) -> None:
    """The file has somebody; a live attack goes before, and holds when the program was killed and started again."""
    lab = make_lab("Alice", "Bob", eavesdropper={"jam": 1.0})
    await lab.up()
    both = ((Z, X), (Z, X))
    assert qber(await measured(lab, "jammed", 200, both))[0] > 0.25  # of 100, 5 errors below the half that it is
    await attack(lab, "Alice", "Bob", intercept_resend=1.0, bases=[0.0])
    for name in ("before", "after"):
        (mine, bits), (theirs, others) = await measured(lab, name, 200, both)
        same = (bits == others) & (mine == theirs)
        assert same[mine == Z].sum() == ((mine == Z) & (theirs == Z)).sum(), "she measures in Z, and is not seen in it"
        if name == "before":
            lab.kill("Alice")
            await lab.connected("Bob", peers=0)
            lab.start("Alice")
            await lab.connected("Alice")
            await lab.connected("Bob")
    await attack(lab, "Alice", "Bob")
    await asyncio.sleep(LOOK_EVERY)
    assert qber(await measured(lab, "off", 200, both))[0] == 0


@pytest.mark.slow
async def test_programs_with_qutip_pass_the_chsh_test(make_lab: Callable[..., Any]) -> None:
    lab = make_lab("Alice", "Bob", protocol="e91", engine="qutip")
    await lab.up()
    began, pairs = time.monotonic(), 3000
    (mine, bits), (theirs, others) = await measured(lab, "e91", pairs, (ALICE, BOB))
    rate = pairs / (time.monotonic() - began)
    s = variance = 0.0
    for a, b, sign in ((Z, A22, 1), (Z, A67, -1), (X, A22, 1), (X, A67, 1)):
        chosen = (mine == a) & (theirs == b)
        e = 1 - 2 * float((bits ^ others)[chosen].mean())
        s, variance = s + sign * e, variance + (1 - e**2) / int(chosen.sum())
    print(f"\nE91 with qutip: {rate:.0f} pairs/s, S = {s:.3f} +- {variance**0.5:.3f}")
    assert abs(s - 2 * math.sqrt(2)) < 5 * math.sqrt(variance)
    assert qber([(mine, bits), (theirs, others)])[0] == 0
    assert rate > 30
