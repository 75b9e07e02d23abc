"""One machine's share of a network, on that machine: each node a supervisord under the network's warm parent.

A plan goes in and its nodes run; what is asked about them is looked up here. The same code serves this machine
(`drivers/local.py`) and, carried there, a host elsewhere (`agent/`).
"""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from qkdbus.errors import Unavailable

from . import launch, logbook, nodes, place, programs, readiness, swaps, switching
from .bundles import Plan
from .control import Supervisord
from .launch import Launch, Starter
from .locks import locked
from .logbook import Line, Wanted
from .nodes import Node
from .outcome import Deployed
from .status import NetworkStatus, look
from .words import count

if TYPE_CHECKING:
    from qkdbus.network.photonic import Eavesdropper

    from .attack import Channel
    from .rekeying import Rekeying
    from .watching.sample import Sample

Say = Callable[[str], None]
Make = Callable[[Mapping[str, str]], Plan]  # node that runs -> its generation, in; the plan out


class Site:
    """The networks below `home` on this machine.

    `spare` is a warm parent that was started beforehand, if any; it is used or abandoned by the first verb. Others are
    made by `fresh`.
    """

    def __init__(
        self,
        home: Path,
        say: Say = lambda text: None,
        spare: Starter | None = None,
        fresh: Callable[[], Starter] = Launch,
    ) -> None:
        self.home, self._say, self._spare, self._fresh = home, say, spare, fresh

    def apply(self, network: str, make: Make, patience: float = 30.0, leaving: Sequence[str] | None = None) -> Deployed:
        """Place what differs, start what does not run as placed, wait until the nodes of the plan are ready.

        `leaving`: nodes to be removed from this machine; None for all that the plan does not have.
        """
        began = time.monotonic()
        folder = self.home / network
        with self._spare_abandoned(), locked(folder):
            before = launch.running(folder)
            there = set(nodes.names(folder))
            plan = self._made(folder, make, before)
            generations = place.place(plan)
            found = [nodes.placed(bundle) for bundle in plan.bundles]
            others = there - set(generations)
            removed = tuple(sorted(others if leaving is None else others & set(leaving)))
            stay = {name: made for name, made in before.items() if name in others and name not in removed}
            changed = tuple(name for name, made in generations.items() if before.get(name) != made)
            wanted = {**stay, **generations}
            with _undone_when_interrupted(lambda: self._undo(folder, before, wanted)):
                if changed or removed:
                    self._converge(folder, wanted, f"starting {count(len(changed), 'node')}", patience)
                self._remove_nodes(folder, removed)
                unready = readiness.wait(found, [s for node in found for s in node.services], patience, self._say)
            if not nodes.names(folder):
                place.remove_network(folder)
        asked = sum(len(node.services) for node in found)
        return Deployed(network, changed, removed, asked, time.monotonic() - began, unready)

    def start(self, network: str, node: str | None, layer: str | None, patience: float = 30.0) -> Deployed:
        """Start a network, a node or a layer that was placed before."""
        began = time.monotonic()
        folder = self._folder(network)
        with self._spare_abandoned(), locked(folder):
            found = [nodes.read(folder, node)] if node else nodes.read_all(folder)
            before = launch.running(folder)
            made = place.placed(folder)
            wanted = {one.name: made[one.name] for one in found} | before
            changed = tuple(name for name in wanted if name not in before)
            with _undone_when_interrupted(lambda: self._converge(folder, before, "stopping again")):
                self._converge(folder, wanted, f"starting {count(len(changed), 'node')}", patience)
                services = [service for one in found for service in one.of(layer)]
                switching.start(found, layer)
                unready = readiness.wait(found, services, patience, self._say)
        return Deployed(folder.name, changed, (), len(services), time.monotonic() - began, unready)

    def stop(self, network: str, node: str | None, layer: str | None) -> None:
        """Stop a network, a node, or one layer of a node (until that node is started again)."""
        folder = self._folder(network)
        with self._spare_abandoned(), locked(folder):
            running = launch.running(folder)
            if layer is not None:
                switching.stop(nodes.read(folder, node or ""), layer)
                return
            leaving = {nodes.read(folder, node).name} if node else set(running)
            stay = {name: made for name, made in running.items() if name not in leaving}
            self._converge(folder, stay, f"stopping {count(len(leaving & set(running)), 'node')}")
            for name in leaving:
                place.remove_sockets(nodes.read(folder, name).settings.run)

    def destroy(self, network: str, node: str | None) -> None:
        """Stop a network or a node, wipe its keys, remove all that is left of it."""
        folder = self._folder(network)
        with self._spare_abandoned(), locked(folder):
            running = launch.running(folder)
            leaving = [nodes.read(folder, node).name] if node else nodes.names(folder)
            stay = {name: made for name, made in running.items() if node and name not in leaving}
            self._converge(folder, stay, f"stopping {count(len(running) - len(stay), 'node')}")
            self._remove_nodes(folder, leaving)
            if not nodes.names(folder):
                place.remove_network(folder)

    def status(self, network: str) -> NetworkStatus:
        """Say what runs and how it does."""
        return look(self._folder(network))

    def sample(self, network: str) -> Sample:
        """Ask every service of a network for its numbers."""
        from .watching.sample import take

        return take(self._folder(network))

    def samples(self, network: str) -> Iterator[Sample]:
        """Yield samples, each taken when it is asked for."""
        while True:
            yield self.sample(network)

    def logs(self, network: str, wanted: Wanted) -> list[Line]:
        """Return the last lines, or kept events, in time order."""
        count, logs = wanted.count, self.log_names(network, wanted)
        here = (logbook.last(folder, names, count, wanted.level, wanted.trace) for folder, names in logs.items())
        return sorted(chain(*here), key=lambda line: line.at)[-count:] if count else []

    def follow(self, network: str, wanted: Wanted) -> Iterator[Line]:
        """Yield lines as they are written, or events as they come."""
        names = self.log_names(network, wanted)
        if wanted.what == "logs":
            return logbook.follow(names, wanted.level)
        from .watching import eventbook

        return eventbook.follow(names, self.publishers(network, wanted))

    def swap(
        self, network: str, node: str, layer: str, command: Sequence[str] | None, patience: float = 30.0
    ) -> Deployed:
        """Run another program as a layer of a node, or (None) its own again; the rest of the node keeps running."""
        began = time.monotonic()
        folder = self._folder(network)
        with self._spare_abandoned(), locked(folder):
            found = nodes.read(folder, node)
            if node not in launch.running(folder):
                raise Unavailable(f"{node} is not running: `qkdbus start {folder.name} {node}`")
            services = found.of(layer)
            run = None if command is None else _resolved(swaps.words(command))
            control = Supervisord(found.settings.run)
            for program, line in swaps.write(found.directory, [one.program for one in services], run).items():
                control.become(program, line)
            switching.stop(found, layer)
            switching.start([found], layer)
            unready = readiness.wait([found], services, patience, self._say)
        return Deployed(folder.name, (node,), (), len(services), time.monotonic() - began, unready)

    def attack(self, network: str, one: str, other: str, eve: Eavesdropper | None) -> Channel:
        """Put an eavesdropper into the channel between two nodes, of which the source is here; None asks who is."""
        from .attack import attack  # brings the physics, which no other verb needs

        return attack(self._folder(network), one, other, eve)

    def admitted(self, network: str, node: str) -> None:
        """Key managers here read their applications again by themselves."""

    def rekey(self, network: str, make: Callable[[Path], Rekeying]) -> Rekeying:
        """Bring files with keys to nodes that run, wave by wave; `make` is given the network's folder, locked."""
        from .rekeying import BETWEEN_WAVES

        folder = self._folder(network)
        with locked(folder):
            change = make(folder)
            for number, wave in enumerate(change.waves):
                if number:
                    time.sleep(BETWEEN_WAVES)
                for node, files in wave.items():
                    place.write_all(folder / node, files)
            for path, text in change.here.items():
                place.supersede(folder / path, text)
        return change

    def log_names(self, network: str, wanted: Wanted) -> dict[Path, list[str]]:
        """Return folder of a node -> names of its logs (of events, of both)."""
        found: dict[Path, list[str]] = {}
        for one in self._nodes(network, wanted.node):
            logs = _log_names(one, wanted.layer) if wanted.what != "events" else []
            if wanted.what != "logs" and wanted.layer != logbook.SUPERVISORD:
                logs += [f"{service.program}{logbook.EVENTS}" for service in one.of(wanted.layer)]
            found[one.directory] = logs
        return found

    def publishers(self, network: str, wanted: Wanted) -> list[str]:
        """Return where services publish their events."""
        from .watching import eventbook

        return eventbook.endpoints(self._nodes(network, wanted.node), wanted.layer)

    def _nodes(self, network: str, node: str | None) -> list[Node]:
        folder = self._folder(network)
        return [nodes.read(folder, node)] if node else nodes.read_all(folder)

    def _folder(self, network: str) -> Path:
        return self.home / nodes.choose(self.home, network)

    def _made(self, folder: Path, make: Make, running: Mapping[str, str]) -> Plan:
        try:
            return make(running)
        except BaseException:
            if not any(folder.iterdir()):
                place.remove_if_empty(folder)
            raise

    def _converge(self, folder: Path, wanted: Mapping[str, str], what: str, patience: float = 0.0) -> None:
        if launch.running(folder) != dict(wanted):
            self._say(what)
        spare, self._spare = self._spare, None
        within = max(launch.PATIENCE, patience)  # a busy machine takes long to import: whoever can wait may
        emulators = frozenset[str]().union(*(nodes.emulators(folder / name) for name in wanted))
        launch.converge(folder, wanted, emulators=emulators, launch=spare, fresh=self._fresh, patience=within)

    def _undo(self, folder: Path, before: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        """Stop what a deploy has started; nodes that ran before go on, as they are placed now."""
        self._converge(folder, {n: wanted[n] for n in before if n in wanted}, "stopping what was started")

    def _remove_nodes(self, folder: Path, names: Sequence[str]) -> None:
        for name in names:
            self._say(f"removing {name}")
            place.remove_node(folder / name, nodes.read(folder, name).settings.run)

    @contextmanager
    def _spare_abandoned(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._spare is not None:
                self._spare.abandon()
                self._spare = None


@contextmanager
def _undone_when_interrupted(undo: Callable[[], None]) -> Iterator[None]:
    """Undo before an interruption (Ctrl-C, SIGTERM, hang-up) ends the command; a second one has to wait."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    except KeyboardInterrupt:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        undo()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _resolved(words: list[str]) -> list[str]:
    """Return a command with entry points and a bare `python` looked up on this machine."""
    packages = programs.packages() if len(words) == 1 else {}
    return programs.command(shlex.join(words), sys.executable, packages)


def _log_names(node: Node, layer: str | None) -> list[str]:
    if layer == logbook.SUPERVISORD:
        return [logbook.SUPERVISORD]
    names = [service.program for service in node.of(layer)]
    return names if layer else [*names, logbook.SUPERVISORD]
