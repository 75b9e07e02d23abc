"""Emulator programs on hosts of their own, as far as they know: pairs through the tunnel, whatever happens to it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import numpy as np
import psutil
import pytest

from qkdbus.errors import QkdbusError, Unavailable
from qkdbus_qbackend.emulators.port import Y

DICE = np.random.default_rng()
Record = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]  # bases, outcomes


async def exchange(lab: Any, name: str, batches: int, count: int) -> tuple[Record, Record]:
    """One exchange on one line: what both ends measured."""
    source = lab.emulator("Alice").line("source", "Bob", name)
    sink = lab.emulator("Bob").line("sink", "Alice", name)

    async def one_end(line: Any, pairs_of: Callable[[], Awaitable[Any]]) -> Record:
        record = []
        for _ in range(batches):
            pairs = await pairs_of()
            bases = DICE.integers(0, 3, pairs.count).astype(np.uint8)
            record.append((bases, await line.measure(pairs, bases)))
        return np.concatenate([bases for bases, _ in record]), np.concatenate([outcomes for _, outcomes in record])

    return await asyncio.gather(one_end(source, lambda: source.create_pairs(count)), one_end(sink, sink.await_pairs))


def check(ours: Record, theirs: Record) -> None:
    """Both ends measured each of the pairs: in equal bases the outcomes say the same, in others nothing."""
    assert ours[0].size == theirs[0].size > 100
    same = ours[0] == theirs[0]
    assert np.array_equal((ours[1] ^ theirs[1])[same], (ours[0] == Y)[same])
    different = (ours[1] ^ theirs[1])[~same]
    assert abs(different.mean() - 0.5) < 5 * (0.25 / different.size) ** 0.5


async def test_two_hosts_share_pairs(make_lab: Callable[..., Any]) -> None:
    lab = make_lab("Alice", "Bob", far=True)
    await lab.up()
    check(*await exchange(lab, "small", 8, 64))
    check(*await exchange(lab, "large", 1, 4096))
    assert (await lab.lines("Alice")).registers == 0
    listens = {
        name: [
            (one.laddr.ip, one.laddr.port)
            for one in psutil.Process(lab.programs[name].pid).net_connections(kind="inet")
            if one.status == psutil.CONN_LISTEN
        ]
        for name in lab.names
    }
    assert listens == {"Alice": [], "Bob": [("127.0.0.1", lab.doors["Bob"])]}  # who dials needs no door


async def test_a_node_between_hosts_has_a_link_to_each(make_lab: Callable[..., Any]) -> None:
    lab = make_lab("Alice", "Bob", "Charlie", far=True)
    await lab.up()
    assert list((await lab.lines("Bob")).peers_up) == ["Alice", "Charlie"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["Alice", "Bob"])
async def test_a_host_killed_under_load_is_missed_and_comes_back(make_lab: Callable[..., Any], victim: str) -> None:
    lab = make_lab("Alice", "Bob", far=True)
    await lab.up()
    other = "Bob" if victim == "Alice" else "Alice"
    load = [asyncio.create_task(exchange(lab, f"load {number}", 1000, 256)) for number in range(3)]
    await asyncio.sleep(0.5)
    lab.kill(victim)
    await lab.connected(other, peers=0, within=5.0)
    assert (await lab.lines(other)).registers == 0
    for task in load:
        task.cancel()
    ended = await asyncio.gather(*load, return_exceptions=True)
    assert all(isinstance(one, QkdbusError | asyncio.CancelledError) for one in ended)
    source = lab.emulator("Alice").line("source", "Bob", "now")
    if victim == "Bob":
        with pytest.raises(Unavailable):
            await source.create_pairs(8)

    lab.start(victim)
    await lab.connected(victim)
    await lab.connected(other)
    check(*await exchange(lab, "after", 2, 256))


@pytest.mark.slow
async def test_a_cut_cable_ends_the_lines_and_a_mended_one_begins_new_ones(
    make_lab: Callable[..., Any], make_relay: Callable[..., Awaitable[Any]]
) -> None:
    lab = make_lab("Alice", "Bob", far=True)
    relay = await make_relay(lab.doors["Bob"])
    lab.detour("Alice", "Bob", relay.port)
    await lab.up()
    load = asyncio.create_task(exchange(lab, "load", 1000, 256))
    await asyncio.sleep(0.3)
    relay.hold()
    await lab.connected("Alice", peers=0, within=5.0)
    await lab.connected("Bob", peers=0, within=5.0)
    with pytest.raises(QkdbusError):
        await load
    relay.release()
    await lab.connected("Alice")
    await lab.connected("Bob")
    check(*await exchange(lab, "mended", 2, 256))


@pytest.mark.slow
async def test_a_cable_that_breaks_again_and_again_never_gives_wrong_pairs(
    make_lab: Callable[..., Any], make_relay: Callable[..., Awaitable[Any]]
) -> None:
    lab = make_lab("Alice", "Bob", far=True)
    relay = await make_relay(lab.doors["Bob"], delay=0.001)
    lab.detour("Alice", "Bob", relay.port)
    await lab.up()
    for number in range(6):
        job = asyncio.create_task(exchange(lab, f"job {number}", 4, 256))
        await asyncio.sleep(0.05 + 0.02 * number)
        relay.drop()
        with suppress(QkdbusError):
            check(*await asyncio.wait_for(job, 20))
        await lab.connected("Alice")
        await lab.connected("Bob")
    check(*await exchange(lab, "last", 4, 256))


@pytest.mark.slow
async def test_a_long_cable_costs_time_and_nothing_else(
    make_lab: Callable[..., Any], make_relay: Callable[..., Awaitable[Any]]
) -> None:
    lab = make_lab("Alice", "Bob", far=True)
    relay = await make_relay(lab.doors["Bob"], delay=0.05)
    lab.detour("Alice", "Bob", relay.port)
    await lab.up()
    check(*await exchange(lab, "far", 4, 512))


@pytest.mark.slow
async def test_a_frozen_host_is_missed_and_comes_back(make_lab: Callable[..., Any]) -> None:
    lab = make_lab("Alice", "Bob", far=True)
    await lab.up()
    lab.signal("Bob", signal.SIGSTOP)
    await lab.connected("Alice", peers=0, within=5.0)
    lab.signal("Bob", signal.SIGCONT)
    await lab.connected("Alice")
    await lab.connected("Bob")
    check(*await exchange(lab, "thawed", 2, 256))


async def test_a_stop_is_heard_at_the_other_end_at_once(make_lab: Callable[..., Any]) -> None:
    lab = make_lab("Alice", "Bob", far=True)
    await lab.up()
    for name, other in (("Bob", "Alice"), ("Alice", "")):
        lab.signal(name, signal.SIGTERM)
        assert lab.programs[name].wait(5) == 0
        if other:
            await lab.connected(other, peers=0, within=2.0)
    said = (lab.folder / "Alice.log").read_text() + (lab.folder / "Bob.log").read_text()
    assert "fault" not in said and "Traceback" not in said
