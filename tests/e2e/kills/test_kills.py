"""kill -9 under load: no key is lost, none comes twice, none differs between the ends."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qkdbus_client import QoS

if TYPE_CHECKING:
    from ..conftest import Ends, Net
    from .conftest import Killer, Load

ALL = ("keymanager", "keysync", "dispatcher", "qbackend", "emulator", "supervisord")


def busy(load: Load) -> None:
    """Alice is the arbiter of Alice - Bob; Bob is its follower, and the arbiter of Bob - Charlie."""
    load.add("Alice", "Bob", 1, 1)
    load.add("Bob", "Alice", 3, 1)
    load.add("Bob", "Charlie", 1, 4)
    load.wait_for([2] * 6, 180)


@pytest.mark.slow
@pytest.mark.parametrize("load", ["ideal", "simulaqron"], indirect=True)
def test_services_may_be_killed_while_keys_are_read_at_both_ends(load: Load, killer: Killer) -> None:
    busy(load)
    for node, layer in (("Alice", "keymanager"), ("Bob", "keysync")):
        killer.kill(node, layer)
    assert load.finish() > 6 * 2 * 10


@pytest.mark.slow
def test_agreed_keys_survive_the_death_of_both_ends(network: Callable[[str], Net], three: str) -> None:
    net = network(three)
    ends = net.open("Alice", "Bob", QoS(timeout=500, key_chunk_size=8))
    ends.agree(1)
    waiting = _stop_forming(net, ends)
    assert waiting >= 10, "few keys are there that could survive"
    pids = net.pids()
    for node in ("Alice", "Bob"):
        for layer in ("keymanager", "keysync", "dispatcher", "qbackend"):
            os.kill(pids[node, layer], signal.SIGKILL)
    survived = ends.agree(waiting)
    assert [key.index for key in survived] == list(range(1, 1 + waiting))
    for node in ("Alice", "Bob"):
        assert not net.local.start(net.name, node, "emulator").unready
    # A block that both ends had distilled when they died may be agreed only now; its keys follow on like any others.
    assert [key.index for key in ends.agree(3)] == list(range(waiting + 1, waiting + 4))


def _stop_forming(net: Net, ends: Ends) -> int:
    """Take the quantum layer away; return how many keys wait at either end, when that has settled."""

    def waiting() -> list[int]:
        infos = [next(i for i in c.list_streams() if i.ksid == ends.ksid) for c in (ends.here, ends.there)]
        return [info.next_index - info.delivered for info in infos]

    while min(waiting()) < 10:
        time.sleep(0.05)
    for node in ("Alice", "Bob"):
        net.local.stop(net.name, node, "emulator")
    seen = [waiting()]
    while len(seen) < 10 or any(counts != seen[-1] for counts in seen[-10:]):
        assert len(seen) < 200, "formation goes on without a quantum layer"
        time.sleep(0.1)
        seen.append(waiting())
    assert seen[-1][0] == seen[-1][1], "the two ends do not hold the same keys"
    return seen[-1][0]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("end", ["Alice", "Bob"])
def test_every_service_of_an_end_may_be_killed_twice(end: str, load: Load, killer: Killer) -> None:
    busy(load)
    load.add("Alice", "Bob", 0, 0)
    load.wait_for([2] * 8, 180)
    for layer in ALL * 2:
        killer.kill(end, layer)
    load.finish()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [20241, 20242])
def test_anything_may_be_killed_at_any_time(seed: int, load: Load, killer: Killer) -> None:
    dice = random.Random(seed)
    busy(load)
    load.add("Alice", "Bob", 0, 0)
    load.add("Charlie", "Bob", 1, 0)
    before, strikes, ends = sum(load.counts()), 0, time.monotonic() + 75
    while time.monotonic() < ends:
        time.sleep(dice.choice((0.05, 0.3, 1.0, 2.5)))
        layer = dice.choices(ALL, weights=(3, 5, 2, 2, 2, 1))[0]
        nodes = dice.sample(("Alice", "Bob", "Charlie"), dice.choice((1, 1, 1, 2, 3)))
        strikes += sum(killer.strike(node, layer) for node in nodes)
        load.check()
    killer.all_ready(180)
    load.wait_for([count + 20 for count in load.counts()], 120)
    print(f"\nseed {seed}: {strikes} kills, {load.finish() - before} keys, none lost, none twice, none different")
    assert strikes > 30


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_supervisord_that_is_gone_takes_its_services_with_it_and_comes_back(
    network: Callable[[str], Net], wait_until: Callable[..., float], three: str
) -> None:
    net = network(three)
    before = net.pids()
    os.kill(before["Bob", "supervisord"], signal.SIGSTOP)
    os.kill(before["Bob", "supervisord"], signal.SIGKILL)
    took = wait_until(
        lambda: net.status().state == "ready" and net.pids()["Bob", "keysync"] not in (0, before["Bob", "keysync"]), 20
    )
    after = net.pids()
    assert all(after[who] == pid for who, pid in before.items() if who[0] != "Bob"), "other nodes are not touched"
    assert {pid for who, pid in after.items() if who[0] == "Bob"}.isdisjoint(before.values())
    print(f"\na whole node is back in {took:.2f} s")
    net.open("Alice", "Bob").agree(2)
