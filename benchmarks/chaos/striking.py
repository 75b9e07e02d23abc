"""Faults that happen: each begun and undone, on the processes, disks, links and clocks of a real network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qkdbus.runtime.clock import OFFSET
from qkdbus.runtime.settings import NodeSettings
from qkdbus_deploy.kernel import Mark

from . import disks, schedule
from .packets import Packets
from .places import Addresses
from .programs import WARM, Programs
from .schedule import Fault

QKDBUS = (sys.executable, "-c", "from qkdbus_deploy.cli import main; main(prog_name='qkdbus')")


@dataclass
class Struck:
    """A fault that was tried. `landed`: there was something to hit. Times are monotonic, s; `ended` is 0 until then."""

    fault: Fault
    began: float
    landed: bool
    ended: float = 0.0


class Relay:
    """The process between the nodes."""

    def __init__(self, network: Path, nodes: Mapping[str, NodeSettings], addresses: Addresses) -> None:
        names = list(nodes)
        job = {
            "network": str(network),
            "ports": {name: _doors(settings) for name, settings in nodes.items()},
            "seen": {name: addresses.seen(name) for name in names},
            "own": {name: addresses.own(name) for name in names},
            "flows": [(one, to, addresses.flow(one, to)) for one in names for to in names if one != to],
        }
        command = [sys.executable, "-m", "benchmarks.chaos.relay"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._say(job)

    def set(self, where: tuple[str, ...], **state: object) -> None:
        """Say what holds for a link from now on."""
        self._say({"between": where, **state})

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _say(self, words: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        if not self._process.stdout.readline():
            raise RuntimeError("the relay has died")


class Striker:
    """Begins and ends faults. `struck` is all that was tried."""

    def __init__(self, network: Path, nodes: Mapping[str, NodeSettings], relay: Relay, packets: Packets) -> None:
        self._network, self._nodes, self._relay, self._packets = network, nodes, relay, packets
        self.programs = Programs(network)
        self.struck: list[Struck] = []
        self._stopped: dict[int, Mark] = {}
        self._disks: dict[int, disks.Disk] = {}
        self._starting: list[subprocess.Popen[bytes]] = []

    def begin(self, fault: Fault) -> Struck:
        """Let a fault happen."""
        began = time.monotonic()
        struck = Struck(fault, began, self._begin(fault))
        if not fault.length or not struck.landed:
            struck.ended = began
        self.struck.append(struck)
        return struck

    def end(self, struck: Struck) -> None:
        """Undo it."""
        fault = struck.fault
        if fault.number in self._stopped:
            self._stopped.pop(fault.number).kill(signal.SIGCONT)
        elif fault.number in self._disks:
            self._disks.pop(fault.number).end()
        elif fault.layer == WARM:
            self.start()
        elif fault.kind == schedule.CLOCK:
            self._offset(fault.where[0]).unlink(missing_ok=True)
        elif fault.kind == schedule.LOSS:
            self._packets.lose(_pair(fault), 0.0)
        elif fault.kind == schedule.TWICE:
            self._packets.double(_pair(fault), 0.0)
        else:
            self._relay.set(fault.where)
        struck.ended = time.monotonic()

    def keep(self) -> None:
        """See to it that faults go on as they should. Called often."""
        for disk in self._disks.values():
            disk.keep()

    def start(self) -> None:
        """Have the network kept again by a warm parent, as whoever operates it would."""
        environment = {**os.environ, "QKDBUS_HOME": str(self._network.parent)}
        command = [*QKDBUS, "start", self._network.name]
        quiet = subprocess.DEVNULL  # it may be in vain: what it has to work with is under fire
        self._starting.append(subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet))

    def undo(self) -> None:
        """Undo what is left."""
        for struck in self.struck:
            if not struck.ended:
                self.end(struck)

    def heal(self, patience: float) -> None:
        """Undo what is left; return when a warm parent keeps the network."""
        self.undo()
        ends = time.monotonic() + patience
        while self.programs.find("", WARM) is None:
            if not any(command.poll() is None for command in self._starting):
                self.start()
            if time.monotonic() > ends:
                raise RuntimeError(f"no warm parent in {patience:g} s")
            time.sleep(0.2)
        for command in self._starting:
            command.wait(patience)

    def _begin(self, fault: Fault) -> bool:
        verb = fault.kind.partition(" ")[0]
        node = self._network / (fault.where[0] if fault.where else "")
        if verb in ("kill", "stop"):
            return self._signal(fault, verb)
        match fault.kind:
            case schedule.FULL:
                return self._disk(fault, disks.full(self.programs, node))
            case schedule.READ_ONLY:
                return self._disk(fault, disks.read_only(self.programs, node, fault.layer))
            case schedule.CLOCK:
                self._offset(fault.where[0]).write_text(f"{fault.amount}\n")
            case schedule.LOSS:
                self._packets.lose(_pair(fault), fault.amount)
            case schedule.TWICE:
                self._packets.double(_pair(fault), fault.amount)
            case schedule.CUT:
                self._relay.set(fault.where, cut=True)
            case schedule.SILENCE:
                self._relay.set(fault.where, quiet=fault.where)
            case schedule.ONE_WAY:
                self._relay.set(fault.where, quiet=fault.where[:1])
            case schedule.SLOW:
                self._relay.set(fault.where, delay=fault.amount, jitter=fault.amount / 2, rate=2e6)
            case _:
                raise ValueError(fault.kind)
        return True

    def _signal(self, fault: Fault, verb: str) -> bool:
        number = signal.SIGKILL if verb == "kill" else signal.SIGSTOP
        mark = self.programs.strike(fault.where[0] if fault.where else "", fault.layer, number)
        if mark is not None and verb == "stop":
            self._stopped[fault.number] = mark
        return mark is not None

    def _disk(self, fault: Fault, disk: disks.Disk) -> bool:
        landed = disk.begin()
        if landed:
            self._disks[fault.number] = disk
        return landed

    def _offset(self, node: str) -> Path:
        return self._nodes[node].run / OFFSET


def concerned(fault: Fault, ends: tuple[str, str]) -> bool:
    """Whether a fault can be felt on a stream between two nodes."""
    if not fault.where:
        return True
    if len(fault.where) == 1:
        return fault.where[0] in ends
    return set(fault.where) == set(ends)


def _pair(fault: Fault) -> tuple[str, str]:
    return min(fault.where), max(fault.where)


def _doors(settings: NodeSettings) -> list[int]:
    ports = settings.ports
    return [ports.keymanager, ports.keysync, *ports.qbackend, ports.emulator]
