"""This machine as a target: every node a supervisord under the network's warm parent."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from qkdbus.errors import QkdbusError, Refused, Unavailable
from qkdbus.network.model import Network

from .. import launch, logbook, nodes, place, ports
from ..certs import gather
from ..control import Supervisord
from ..launch import Launch
from ..locks import locked
from ..logbook import Line
from ..nodes import Node, Service
from ..observe import wait_ready
from ..paths import run_root
from ..plan import Target, plan
from ..programs import installed
from ..status import NetworkStatus, look
from .driver import Deployed, Unready

Say = Callable[[str], None]
CRASH_LOOP = 5  # starts of one service after which we no longer wait for it
LOG_LINES = 15  # of a service that does not become ready


class Local:
    """A Driver for networks below `home`.

    `spare` is a warm parent that was started beforehand, if any; it is used or abandoned by the first verb.
    """

    def __init__(self, home: Path, say: Say = lambda text: None, spare: Launch | None = None) -> None:
        self._home, self._say, self._spare = home, say, spare

    def deploy(self, network: Network, patience: float = 30.0) -> Deployed:
        """Place what differs, start what does not run as placed, wait until all is ready."""
        began = time.monotonic()
        folder = self._home / network.name
        with self._spare_abandoned(), locked(folder):
            before = launch.running(folder)
            found, generations = self._place(network, before)
            removed = tuple(name for name in nodes.names(folder) if name not in generations)
            changed = tuple(name for name, made in generations.items() if before.get(name) != made)
            with _undone_when_interrupted(lambda: self._undo(folder, before, generations)):
                if changed or removed:
                    self._converge(folder, generations, f"starting {_count(len(changed), 'node')}")
                self._remove_nodes(folder, removed)
                unready = self._wait(found, [s for node in found for s in node.services], patience)
        asked = sum(len(node.services) for node in found)
        return Deployed(network.name, changed, removed, asked, time.monotonic() - began, unready)

    def start(self, network: str, node: str | None, layer: str | None, patience: float = 30.0) -> Deployed:
        """Start a network, a node or a layer that was placed before."""
        began = time.monotonic()
        folder = self._home / nodes.choose(self._home, network)
        with self._spare_abandoned(), locked(folder):
            found = [nodes.read(folder, node)] if node else nodes.read_all(folder)
            before = launch.running(folder)
            made = place.placed(folder)
            wanted = {one.settings.name: made[one.settings.name] for one in found} | before
            changed = tuple(name for name in wanted if name not in before)
            with _undone_when_interrupted(lambda: self._converge(folder, before, "stopping again")):
                self._converge(folder, wanted, f"starting {_count(len(changed), 'node')}")
                services = [service for one in found for service in one.of(layer)]
                self._start_programs(found, layer)
                unready = self._wait(found, services, patience)
        return Deployed(folder.name, changed, (), len(services), time.monotonic() - began, unready)

    def stop(self, network: str, node: str | None, layer: str | None) -> None:
        """Stop a network, a node, or one layer of a node (until that node is started again)."""
        folder = self._home / nodes.choose(self._home, network)
        with self._spare_abandoned(), locked(folder):
            running = launch.running(folder)
            if layer is not None:
                self._stop_programs(nodes.read(folder, node or ""), layer)
                return
            leaving = {nodes.read(folder, node).settings.name} if node else set(running)
            stay = {name: made for name, made in running.items() if name not in leaving}
            self._converge(folder, stay, f"stopping {_count(len(leaving & set(running)), 'node')}")
            for name in leaving:
                place.remove_sockets(nodes.read(folder, name).settings.run)

    def destroy(self, network: str, node: str | None) -> None:
        """Stop a network or a node, wipe its keys, remove all that is left of it."""
        folder = self._home / nodes.choose(self._home, network)
        with self._spare_abandoned(), locked(folder):
            running = launch.running(folder)
            leaving = [nodes.read(folder, node).settings.name] if node else nodes.names(folder)
            stay = {name: made for name, made in running.items() if node and name not in leaving}
            self._converge(folder, stay, f"stopping {_count(len(running) - len(stay), 'node')}")
            self._remove_nodes(folder, leaving)
            if not nodes.names(folder):
                place.remove_network(folder)
                ports.release(self._home, folder.name)

    def status(self, network: str) -> NetworkStatus:
        """Say what runs and how it does."""
        return look(self._home / nodes.choose(self._home, network))

    def logs(self, network: str, node: str, layer: str | None, count: int, level: str) -> list[Line]:
        """Return the last lines of one layer of a node, or of all, in time order."""
        directory, names = self._logs_of(network, node, layer)
        return logbook.last(directory, names, count, level)

    def follow(self, network: str, node: str, layer: str | None, level: str) -> Iterator[Line]:
        """Yield lines as they are written."""
        directory, names = self._logs_of(network, node, layer)
        return logbook.follow(directory, names, level)

    def networks(self) -> list[str]:
        """Return the names of the networks below `home`."""
        return nodes.networks(self._home)

    def _place(self, network: Network, running: Mapping[str, str]) -> tuple[list[Node], dict[str, str]]:
        folder = self._home / network.name
        try:
            given = ports.reserve(self._home, network, running)
            target = Target(self._home, run_root(), sys.executable, packages=installed(network))
            made = plan(network, given, gather(network, folder), target)
            return [nodes.placed(bundle) for bundle in made.bundles], place.place(made)
        except BaseException:
            if not any(folder.iterdir()):
                place.remove_if_empty(folder)
                ports.release(self._home, network.name)
            raise

    def _converge(self, folder: Path, wanted: Mapping[str, str], what: str) -> None:
        if launch.running(folder) != dict(wanted):
            self._say(what)
        spare, self._spare = self._spare, None
        emulator = any(nodes.emulated(folder / name) for name in wanted)
        launch.converge(folder, wanted, emulator=emulator, launch=spare)

    def _undo(self, folder: Path, before: Mapping[str, str], generations: Mapping[str, str]) -> None:
        """Stop what a deploy has started; nodes that ran before go on, as they are placed now."""
        self._converge(folder, {n: generations[n] for n in before if n in generations}, "stopping what was started")

    def _remove_nodes(self, folder: Path, names: tuple[str, ...] | list[str]) -> None:
        for name in names:
            self._say(f"removing {name}")
            place.remove_node(folder / name, nodes.read(folder, name).settings.run)

    def _start_programs(self, found: list[Node], layer: str | None) -> None:
        for node in found:
            control = Supervisord(node.settings.run)
            for service in node.of(layer):
                _patiently(partial(control.start, service.program))

    def _stop_programs(self, node: Node, layer: str) -> None:
        control = Supervisord(node.settings.run)
        programs = [service.program for service in node.of(layer)]
        for program in programs:
            control.stop(program)
        ends = time.monotonic() + 10.0
        while any(control.programs()[program].pid for program in programs):
            if time.monotonic() > ends:
                raise Unavailable(f"{node.settings.name} {layer}: does not stop")
            time.sleep(0.02)

    def _wait(self, found: list[Node], services: list[Service], patience: float) -> tuple[Unready, ...]:
        left = {service: service.endpoint for service in services}
        total, began = len(left), time.monotonic()

        def told(service: Service) -> None:
            left.pop(service)
            if total - len(left) == total or (total - len(left)) % 50 == 0:
                took = time.monotonic() - began
                self._say(f"{total - len(left)} of {_count(total, 'service')} ready ({took:.1f} s)")

        reasons = wait_ready(dict(left), patience, told, _Crashing({n.settings.name: n for n in found}, left))
        by_name = {node.settings.name: node for node in found}
        return tuple(_unready(by_name[s.node], s, reason, patience) for s, reason in reasons.items())

    def _logs_of(self, network: str, node: str, layer: str | None) -> tuple[Path, list[str]]:
        found = nodes.read(self._home / nodes.choose(self._home, network), node)
        if layer == logbook.SUPERVISORD:
            return found.directory, [logbook.SUPERVISORD]
        names = [service.program for service in found.of(layer)]
        return found.directory, names if layer else [*names, logbook.SUPERVISORD]

    @contextmanager
    def _spare_abandoned(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self._spare is not None:
                self._spare.abandon()
                self._spare = None


class _Crashing:
    """Whether a service that we wait for dies again and again: asked once a second, of its supervisord."""

    def __init__(self, found: Mapping[str, Node], left: Mapping[Service, str]) -> None:
        self._found, self._left = found, left
        self._next = time.monotonic() + 1.0

    def __call__(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + 1.0
        return any(self._crashes(service) for service in list(self._left)[:20])

    def _crashes(self, service: Service) -> bool:
        try:
            program = Supervisord(self._found[service.node].settings.run).programs()[service.program]
        except (QkdbusError, KeyError):
            return False
        return program.starts >= CRASH_LOOP and program.state in ("backoff", "fatal")


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


def _unready(node: Node, service: Service, reason: str, patience: float) -> Unready:
    lines = logbook.last(node.directory, [service.program], LOG_LINES, "debug")
    control = Supervisord(node.settings.run)
    try:
        program = control.programs()[service.program]
        if program.pid == 0:
            reason = f"ends again and again ({program.starts} starts)" if program.starts > 1 else program.state
    except (QkdbusError, KeyError) as error:
        reason = str(error)
    return Unready(node.settings.name, service.layer, service.program, reason, tuple(line.raw for line in lines))


def _patiently(act: Callable[[], None], patience: float = 5.0) -> None:
    """Repeat while supervisord is not there yet."""
    ends = time.monotonic() + patience
    while True:
        try:
            return act()
        except Refused:
            raise
        except Unavailable:
            if time.monotonic() > ends:
                raise
            time.sleep(0.02)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
