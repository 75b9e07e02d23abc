"""Many workers of a node, killed anywhere: no entry is ever used twice."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qkdbus_qbackend.authkeys import LEVEL, Entry

FORK = multiprocessing.get_context("fork")


def wait_until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not true():
        assert time.monotonic() < ends, "no worker came so far"
        time.sleep(0.002)


def _note(log: Path, ids: list[bytes]) -> None:
    number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(number, b"".join(ids))
    os.close(number)


def _noted(log: Path) -> list[bytes]:
    octets = log.read_bytes() if log.exists() else b""
    return [octets[start : start + 8] for start in range(0, len(octets), 8)]


def _grown(log: Path, before: int) -> bool:
    return len(_noted(log)) > before


def _spend_all(node: Any, log: Path) -> None:
    keys = node.keys()
    while entry := keys.spend(keys.ids()):
        _note(log, [entry.id])


def test_workers_that_spend_at_once_never_get_the_same_entry(node: Any, tmp_path: Path) -> None:
    workers = [FORK.Process(target=_spend_all, args=(node, tmp_path / "log")) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(set(_noted(tmp_path / "log"))) == len(_noted(tmp_path / "log")) == LEVEL


def _spend_and_refill(node: Any, log: Path) -> None:
    keys = node.keys()
    while True:
        entry = keys.spend(keys.ids())
        assert entry is not None
        _note(log, [entry.id])
        keys.settle([Entry(os.urandom(8), os.urandom(16))], keys.ids())


def test_nothing_is_spent_twice_when_workers_are_killed_again_and_again(node: Any, tmp_path: Path) -> None:
    dice, log = random.Random(3), tmp_path / "log"
    for number in range(24):
        workers = [FORK.Process(target=_spend_and_refill, args=(node, log)) for _ in range(2)]
        for worker in workers:
            worker.start()
        if number % 3:  # the others die young, while they open the store
            wait_until(partial(_grown, log, len(_noted(log))))
        time.sleep(dice.uniform(0.0, 0.02))
        for worker in workers:
            worker.kill()
            worker.join()
    keys = node.keys()
    used, left = _noted(log), keys.ids()
    assert len(set(used + left)) == len(used) + len(left)
    assert len(used) >= 16
    assert len(left) >= LEVEL - 48  # a worker that dies takes with it one entry at most


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the code under test runs to any effect after it."""


class Dying:
    """A connection of a process that is killed at its statement number `at`, before or after it is carried out."""

    def __init__(self, connection: sqlite3.Connection, at: int, *, after: bool) -> None:
        self.connection, self._left, self._after = connection, at, after

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        return self._step(self.connection.execute, *arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        return self._step(self.connection.executemany, *arguments)

    def _step(self, execute: Callable[..., sqlite3.Cursor], *arguments: Any) -> sqlite3.Cursor:
        self._left -= 1
        if self._left > 0:
            return execute(*arguments)
        if self._left == 0 and self._after:
            execute(*arguments)
        raise Killed

    @property
    def in_transaction(self) -> bool:
        return False


def _life(node: Any, used: list[Entry]) -> None:
    """Open the store, spend two entries (each `used` at once), add one."""
    keys = node.keys()
    for _ in range(2):
        entry = keys.spend(keys.ids())
        assert entry is not None
        used.append(entry)
    keys.settle([Entry(os.urandom(8), os.urandom(16))], keys.ids()[1:])


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, bool], None]]:
    """Have the next store die at a statement; 0: live."""
    real, made = sqlite3.connect, []

    def die(at: int, after: bool) -> None:
        def connect(*arguments: Any, **options: Any) -> Any:
            connection = real(*arguments, **options)
            made.append(connection)
            return Dying(connection, at, after=after) if at else connection

        for connection in made:
            connection.close()  # as the kernel does for the dead
        made.clear()
        monkeypatch.setattr(sqlite3, "connect", connect)

    yield die
    die(0, False)


@pytest.mark.parametrize("after", [False, True])
def test_nothing_is_spent_twice_whatever_statement_a_worker_dies_at(
    after: bool, make_node: Callable[[str], Any], dying: Callable[[int, bool], None]
) -> None:
    for at in itertools.count(1):
        node, used = make_node(str(at)), list[Entry]()
        dying(at, after)
        try:
            _life(node, used)
            survived = True
        except Killed:
            survived = False
        dying(0, False)
        _life(node, used)
        left = node.keys().ids()
        assert len({entry.id for entry in used}) == len({entry.pad for entry in used}) == len(used)
        assert not {entry.id for entry in used} & set(left)
        assert len(used) + len(left) >= LEVEL
        if survived:
            break
    assert at > 30, "the walk was too short to have met a transaction"
