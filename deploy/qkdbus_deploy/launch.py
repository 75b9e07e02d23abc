"""The commands' side of the warm parent: start it early, tell it what is wanted, wait until it is so."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from qkdbus.errors import Unavailable

from . import pidfile, wishes
from .kernel import Mark

LOOK_EVERY = 0.01  # s
PATIENCE = 20.0  # s until a warm parent has the nodes run
COMPILING = 120.0  # s, at the first start on a machine


class Starter(Protocol):
    """What starts a warm parent: this module, or systemd (boot.py)."""

    def hand_over(self, network: Path, emulators: Collection[str]) -> None:
        """Have it keep this network, whose nodes use these emulators."""

    def abandon(self) -> None:
        """Let go of it; nothing is to be started, or all that was to be has been."""


def python_options() -> list[str]:
    """Return the options of an interpreter that is like this one, and that packs code tighter.

    On a host this one sees none of the host's own packages (`-S -P`), which would get mixed with those that were
    sent. No columns in tracebacks: what is packed tighter lies on fewer pages (0.1 MB a service).
    """
    return ["-S"] * sys.flags.no_site + ["-P"] * sys.flags.safe_path + ["-X", "no_debug_ranges"]


class Launch:
    """A warm parent on its way: it imports while we plan. Nothing comes of it until `hand_over`."""

    def __init__(self) -> None:
        reader, self._writer = os.pipe2(os.O_CLOEXEC)
        self._pid = os.posix_spawn(
            sys.executable,
            [sys.executable, *python_options(), "-m", f"{__package__}.warm"],
            {**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # numpy would start threads on import: they do not fork
            file_actions=[
                (os.POSIX_SPAWN_DUP2, reader, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            ],
            setsid=True,  # a Ctrl-C in the terminal is for the command alone
        )
        os.close(reader)

    def hand_over(self, network: Path, emulators: Collection[str]) -> None:
        """Give it the network to keep, and say which emulators its nodes use."""
        order = json.dumps({"network": str(network), "emulators": sorted(emulators)})
        os.write(self._writer, f"{order}\n".encode())
        self._let_go()

    def abandon(self) -> None:
        """End it, if it has no order yet: it may be far from reading that none will come."""
        if self._writer >= 0:
            with suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)  # and what it has forked, which only imports
            self._let_go()

    def _let_go(self) -> None:
        os.close(self._writer)
        self._writer = -1
        os.waitpid(self._pid, 0)  # it has forked itself long ago


def converge(
    network: Path,
    generations: Mapping[str, str],
    *,
    emulators: Collection[str],
    launch: Starter | None = None,
    fresh: Callable[[], Starter] = Launch,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Have exactly these nodes of the network run, each in this generation; return when it is so.

    Starts a warm parent when the network has none. `launch` is used for that, or else abandoned; where there is none
    (any more), one is made by `fresh`.
    Raises Unavailable when it does not come to pass within `patience` s; kernels may have to be compiled besides.
    """
    patience += COMPILING if "photonic" in emulators else 0.0
    wishes.write_wanted(network, generations)
    told: set[Mark] = set()
    launched = False  # since a warm parent was last seen
    last = wishes.last_warm_parent(network)
    ends = clock() + patience
    try:
        while True:
            # In this order: a warm parent that ends in between has done what was wanted, and none is lacking.
            warm, _ = wishes.state(network)
            if _is_so(network, generations):
                return
            if clock() > ends:
                raise Unavailable(_why(network, generations, patience))
            if warm is None and not launched:
                (launch or fresh()).hand_over(network, emulators)
                launch, launched = None, True
            elif warm is not None and warm not in told:
                warm.kill(signal.SIGHUP)
                told.add(warm)
                launched = False
            time.sleep(LOOK_EVERY)
    except KeyboardInterrupt:
        if launched:  # it is on its way: whoever stops it must be able to see it
            _await(lambda: wishes.last_warm_parent(network) != last)
        raise
    finally:
        if launch is not None:
            launch.abandon()


def running(network: Path) -> dict[str, str]:
    """Return the nodes whose supervisord lives, whoever keeps it: name -> generation."""
    found = {entry.name: pidfile.read(entry) for entry in network.iterdir()} if network.is_dir() else {}
    return {name: pair[1] for name, pair in found.items() if pair is not None}


def _await(holds: Callable[[], bool], patience: float = 10.0) -> None:
    ends = time.monotonic() + patience
    while not holds() and time.monotonic() < ends:
        time.sleep(LOOK_EVERY)


def _is_so(network: Path, generations: Mapping[str, str]) -> bool:
    warm, nodes = wishes.state(network)
    kept = {name: node.generation for name, node in nodes.items() if node.state == "running"}
    said = warm is not None and kept == dict(generations) if generations else warm is None
    return said and running(network) == dict(generations)  # that last: it looks at every node


def _why(network: Path, generations: Mapping[str, str], patience: float) -> str:
    warm, nodes = wishes.state(network)
    if warm is None:
        return f"no warm parent came up in {patience:g} s; see {network / wishes.FOLDER / 'warm.log'}"
    here = running(network)
    for name, generation in generations.items():
        if here.get(name) != generation:
            node = nodes.get(name)
            often = f", it ended {node.restarts} times" if node and node.restarts else ""
            return f"{name}: its supervisord does not run{often}; see {network / name / 'logs' / 'supervisord.log'}"
    return (
        f"{', '.join(sorted(set(here) - set(generations)))}: does not stop; see {network / wishes.FOLDER / 'warm.log'}"
    )
