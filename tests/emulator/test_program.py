"""Emulator programs as processes, over the real bus: correlations, death and return, leaks."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pytest

from qkdbus.errors import QkdbusError, Refused, Silent, Unavailable
from qkdbus.wire.emulator_pb2 import Disturb
from qkdbus_qbackend.emulators.port import Line, X, Y, Z

DICE = np.random.default_rng()
Record = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]  # bases, outcomes


async def as_source(line: Line, batches: int, count: int) -> list[Record]:
    record = []
    for _ in range(batches):
        pairs = await line.create_pairs(count)
        bases = DICE.integers(0, 3, pairs.count).astype(np.uint8)
        record.append((bases, await line.measure(pairs, bases)))
    return record


async def as_sink(line: Line, batches: int) -> list[Record]:
    record = []
    for _ in range(batches):
        pairs = await line.await_pairs()
        bases = DICE.integers(0, 3, pairs.count).astype(np.uint8)
        record.append((bases, await line.measure(pairs, bases)))
    return record


def joined(record: list[Record]) -> Record:
    return np.concatenate([bases for bases, _ in record]), np.concatenate([outcomes for _, outcomes in record])


async def exchange(lab: Any, name: str, batches: int, count: int, ends: tuple[str, str] = ("Alice", "Bob")) -> Any:
    """One exchange on one line: (bases, outcomes) of both ends."""
    source = lab.emulator(ends[0]).line("source", ends[1], name)
    sink = lab.emulator(ends[1]).line("sink", ends[0], name)
    there, here = await asyncio.gather(as_source(source, batches, count), as_sink(sink, batches))
    return joined(there), joined(here)


def errors_in_equal_bases(ours: Record, theirs: Record) -> int:
    same = ours[0] == theirs[0]
    return int(((ours[1] ^ theirs[1])[same] != (ours[0][same] == Y)).sum())


async def test_two_programs_share_pairs(lab: Any) -> None:
    ours, theirs = await exchange(lab, "share", 4, 256)
    pairs = 4 * 256
    same = ours[0] == theirs[0]
    assert abs(same.mean() - 1 / 3) < 5 * (2 / 9 / pairs) ** 0.5
    assert errors_in_equal_bases(ours, theirs) == 0
    different = (ours[1] ^ theirs[1])[~same]
    assert abs(different.mean() - 0.5) < 5 * (0.25 / different.size) ** 0.5
    assert (await lab.lines("Alice")).registers == 0
    assert list(lab.home.iterdir()) == []  # nor a ~/.simulaqron


async def test_a_large_batch_passes(lab: Any) -> None:
    ours, theirs = await exchange(lab, "large", 1, 4096)
    assert ours[0].size == theirs[0].size == 4096
    assert errors_in_equal_bases(ours, theirs) == 0


async def test_lines_on_two_links_of_one_node_run_at_once(lab: Any) -> None:
    runs = [
        exchange(lab, "one", 4, 64, ("Alice", "Bob")),
        exchange(lab, "two", 4, 64, ("Alice", "Bob")),
        exchange(lab, "one", 4, 64, ("Bob", "Charlie")),  # the same name on another link is another line
    ]
    first, second, noisy = await asyncio.gather(*runs)
    assert errors_in_equal_bases(*first) == errors_in_equal_bases(*second) == 0
    assert errors_in_equal_bases(*noisy) > 0  # that link's own


async def test_noise_of_the_network_file_is_on_the_link(lab: Any) -> None:
    ours, theirs = await exchange(lab, "noisy", 1, 300, ("Bob", "Charlie"))
    same = ours[0] == theirs[0]
    assert errors_in_equal_bases(ours, theirs) == int((same & (ours[0] != X)).sum())  # X alone does not suffer


async def test_noise_can_be_changed_while_it_runs(lab: Any) -> None:
    await lab.asker("Alice").ask("disturb", Disturb(peer="Bob", z=1.0))
    ours, theirs = await exchange(lab, "noisy", 1, 300)
    same = ours[0] == theirs[0]
    assert errors_in_equal_bases(ours, theirs) == int((same & (ours[0] != Z)).sum())
    await lab.asker("Alice").ask("disturb", Disturb(peer="Bob"))
    assert errors_in_equal_bases(*await exchange(lab, "clean", 1, 300)) == 0


async def test_each_end_may_only_do_its_part(lab: Any) -> None:
    with pytest.raises(Refused):
        await lab.emulator("Alice").line("source", "Bob", "part").await_pairs()
    with pytest.raises(Refused):
        await lab.emulator("Bob").line("sink", "Alice", "part").create_pairs(1)
    with pytest.raises(Silent):
        await lab.emulator("Bob", patience=0.3).line("sink", "Alice", "part").await_pairs()


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["Alice", "Bob"])
async def test_a_killed_node_is_missed_at_once_and_comes_back(make_lab: Callable[..., Any], victim: str) -> None:
    lab = make_lab("Alice", "Bob")
    await lab.up()
    other = "Bob" if victim == "Alice" else "Alice"
    source = lab.emulator("Alice").line("source", "Bob", "before")
    sink = lab.emulator("Bob").line("sink", "Alice", "before")
    await source.create_pairs(8)
    pairs = await sink.await_pairs()
    waiting = asyncio.create_task(sink.await_pairs())
    await asyncio.sleep(0.05)

    lab.kill(victim)
    await lab.connected(other, peers=0)
    if other == "Bob":
        with pytest.raises(Unavailable, match="lost"):
            await asyncio.wait_for(waiting, 30.0)
    assert (await lab.lines(other)).registers == 0
    asked = source.create_pairs(8) if other == "Alice" else sink.measure(pairs, np.zeros(8, np.uint8))
    with pytest.raises(Unavailable):
        await asked
    waiting.cancel()

    lab.start(victim)  # its old socket is still in its way
    await lab.connected(victim)
    await lab.connected(other)
    assert errors_in_equal_bases(*await exchange(lab, "after", 2, 64)) == 0


async def test_a_discard_frees_the_registers_at_the_other_end(lab: Any) -> None:
    await lab.emulator("Alice").line("source", "Bob", "left").create_pairs(50)
    sink = lab.emulator("Bob").line("sink", "Alice", "left")
    await sink.await_pairs()
    assert (await lab.lines("Alice")).registers == 50
    await sink.discard()
    async with asyncio.timeout(30.0):
        while (await lab.lines("Alice")).registers:
            await asyncio.sleep(0.01)


async def test_a_stop_leaves_no_socket(make_lab: Callable[..., Any]) -> None:
    lab = make_lab("Alice", "Bob")
    await lab.up()
    for name in ("Alice", "Bob"):
        lab.signal(name, signal.SIGTERM)
        assert lab.programs[name].wait(30) == 0
        assert not lab.socket(name).exists()


@pytest.mark.slow
async def test_a_frozen_peer_gives_a_named_error_and_recovers(make_lab: Callable[..., Any]) -> None:
    lab = make_lab("Alice", "Bob")
    await lab.up()
    lab.signal("Bob", signal.SIGSTOP)
    source = lab.emulator("Alice").line("source", "Bob", "frozen")
    begin = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        await source.create_pairs(8)
    assert 2.0 < time.monotonic() - begin < 30.0, "half of the patience, for then it is seen to be stopped"
    with pytest.raises(QkdbusError):
        await lab.emulator("Alice").line("source", "Bob", "again").create_pairs(8)
    assert (await lab.lines("Alice")).registers == 0
    lab.signal("Bob", signal.SIGCONT)
    await lab.connected("Alice")
    await lab.connected("Bob")
    assert errors_in_equal_bases(*await exchange(lab, "thawed", 2, 64)) == 0


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_memory_stays_flat(make_lab: Callable[..., Any]) -> None:
    lab = make_lab("Alice", "Bob")
    await lab.up()
    processes = [psutil.Process(lab.programs[name].pid) for name in ("Alice", "Bob")]
    await exchange(lab, "warm", 40, 512)
    before = [process.memory_info().rss for process in processes]
    for number in range(5):
        await exchange(lab, f"run {number}", 40, 512)  # 102,400 pairs in all
    after = [process.memory_info().rss for process in processes]
    assert all(now - then < 4 << 20 for then, now in zip(before, after, strict=True))
    assert (await lab.lines("Alice")).registers == 0


@pytest.mark.slow
async def test_pairs_of_qutip_pass_between_programs(make_lab: Callable[..., Any]) -> None:
    lab = make_lab("Alice", "Bob", engine="qutip")
    await lab.up()
    assert (await lab.lines("Alice")).engine == "qutip"
    assert errors_in_equal_bases(*await exchange(lab, "job", 2, 128)) == 0
