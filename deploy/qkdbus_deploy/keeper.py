"""Keeps one supervisord per node alive: starts what is wanted, stops what is not, restarts what dies.

It lives in the warm parent and only there forks. It may itself be killed: the supervisords go on, and the next
warm parent finds them by their pidfiles and keeps them as if they were its own.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import kernel, pidfile, wishes
from .kernel import Mark

STOP_WITHIN = 12.0  # s from SIGTERM to SIGKILL; supervisord itself gives its programs less
QUICK = 5.0  # s: one that dies sooner than this after its start may be in a crash loop
LONGEST_PAUSE = 30.0  # s between two starts of one that always dies
Spawn = Callable[[Path, str], int]  # node directory, generation -> pid of its supervisord


@dataclass
class Kept:
    """A node we look after. `since` is Unix time; the other times are monotonic."""

    generation: str
    mark: Mark | None = None
    handle: int = -1  # pidfd: readable when the process has ended
    since: float = 0.0
    started: float = 0.0
    restarts: int = 0
    quick_deaths: int = 0
    not_before: float = 0.0
    kill_at: float | None = None  # set while it stops


class Keeper:
    """The nodes of one network."""

    def __init__(
        self,
        network: Path,
        spawn: Spawn,
        log: logging.Logger,
        date: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._network, self._spawn, self._log = network, spawn, log
        self._date, self._monotonic = date, monotonic  # the first for what is shown: it may jump
        self._kept: dict[str, Kept] = {}
        self._said: dict[str, wishes.NodeState] | None = None
        self._ending = False
        self._signals: list[int] = []
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def open_files(self) -> list[int]:
        """File numbers that a forked child must close."""
        return [self._wake, self._waker, *(kept.handle for kept in self._kept.values() if kept.handle >= 0)]

    def run(self) -> None:
        """Look after the nodes until none is wanted, or SIGTERM came and all have stopped."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda number, _frame: self._signals.append(number))
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._report()  # before the wishes are read: who changes them from now on knows whom to tell
        self._adopt()
        self._look()
        while self._kept:
            self._sleep()
            self._look()
        self._log.info("nothing_left_to_keep")

    def _adopt(self) -> None:
        for entry in sorted(self._network.iterdir()):
            found = pidfile.read(entry)
            if found is not None:
                mark, generation = found
                handle = os.pidfd_open(mark.pid)
                self._kept[entry.name] = Kept(generation, mark, handle, self._date(), self._monotonic())
                self._log.info("adopted", extra={"node": entry.name, "pid": mark.pid})

    def _look(self) -> None:
        while self._signals:
            self._ending = self._signals.pop() in (signal.SIGTERM, signal.SIGINT) or self._ending
        self._bury()
        wanted = {} if self._ending else wishes.wanted(self._network)
        for name, generation in wanted.items():
            self._kept.setdefault(name, Kept(generation))
        now = self._monotonic()
        for name, kept in list(self._kept.items()):
            self._attend(name, kept, wanted.get(name), now)
        self._report()

    def _attend(self, name: str, kept: Kept, generation: str | None, now: float) -> None:
        """Bring one node nearer to what is wanted: its generation, or None."""
        if kept.mark is None:
            if generation is None:
                del self._kept[name]
            elif now >= kept.not_before or generation != kept.generation:
                self._start(name, kept, generation, now)
        elif kept.kill_at is not None:
            if now >= kept.kill_at:
                self._log.warning("killed", extra={"node": name, "pid": kept.mark.pid})
                kept.mark.kill(signal.SIGKILL)
        elif generation != kept.generation:
            self._log.info("stopping", extra={"node": name, "pid": kept.mark.pid})
            kept.kill_at = now + STOP_WITHIN
            kept.mark.kill(signal.SIGTERM)

    def _start(self, name: str, kept: Kept, generation: str, now: float) -> None:
        pid = self._spawn(self._network / name, generation)
        kept.mark = Mark.of(pid)
        kept.generation, kept.since, kept.started = generation, self._date(), now
        kept.handle = os.pidfd_open(pid)  # of a child that nobody has waited for: it is there
        self._log.info("started", extra={"node": name, "pid": pid, "restarts": kept.restarts})
        if kept.mark is None:  # a zombie already
            self._died(name, kept)

    def _bury(self) -> None:
        for name, kept in self._kept.items():
            if kept.mark is not None and not kept.mark.alive():
                self._died(name, kept)
        reaped = False
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                reaped = True
        if reaped:
            self._end_orphans()

    def _died(self, name: str, kept: Kept) -> None:
        os.close(kept.handle)
        now, asked = self._monotonic(), kept.kill_at is not None
        quick = not asked and now - kept.started < QUICK
        kept.mark, kept.handle, kept.kill_at = None, -1, None
        kept.quick_deaths = kept.quick_deaths + 1 if quick else 0
        pause = 0.0 if kept.quick_deaths <= 1 else min(LONGEST_PAUSE, 2.0 ** (kept.quick_deaths - 2))
        kept.not_before = now + pause
        kept.restarts += not asked
        if asked:
            self._log.info("stopped", extra={"node": name})
        else:
            self._log.warning("died", extra={"node": name, "again_in": pause})

    def _end_orphans(self) -> None:
        """Kill what a dead supervisord's programs have left: we are their parent now (child subreaper)."""
        ours = {kept.mark.pid for kept in self._kept.values() if kept.mark is not None}
        for pid in set(kernel.children()) - ours:
            os.kill(pid, signal.SIGKILL)

    def _report(self) -> None:
        said = {name: _state(kept) for name, kept in self._kept.items()}
        if said != self._said:
            wishes.write_state(self._network, said)
            self._said = said

    def _sleep(self) -> None:
        poller = select.poll()
        for number in [self._wake, *(kept.handle for kept in self._kept.values() if kept.handle >= 0)]:
            poller.register(number, select.POLLIN)
        now = self._monotonic()
        waits = [kept.kill_at - now for kept in self._kept.values() if kept.kill_at is not None]
        waits += [kept.not_before - now for kept in self._kept.values() if kept.mark is None]
        if not self._signals:
            poller.poll(max(0.0, min(waits) * 1e3) + 1 if waits else None)
        with suppress(BlockingIOError):
            os.read(self._wake, 4096)


def _state(kept: Kept) -> wishes.NodeState:
    if kept.mark is None:
        return wishes.NodeState("waiting", 0, kept.generation, kept.since, kept.restarts)
    state = "running" if kept.kill_at is None else "stopping"
    return wishes.NodeState(state, kept.mark.pid, kept.generation, kept.since, kept.restarts)  # type: ignore[arg-type]
