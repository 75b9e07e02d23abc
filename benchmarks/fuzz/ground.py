"""The network that is told hostile messages: an honest node, an honest neighbour, and two that mean ill.

Alice - Bob is the honest link, with a client at both ends. Aaron decides on his link with Bob (he sorts first), Zoe
follows Bob on hers; both are let in at Bob's with their real keys. Mallory is an application of Bob's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import yaml
import zmq

from qkdbus.bus.caller import Caller
from qkdbus.bus.curve import KeyPair
from qkdbus.contracts import dispatcher, emulator, keymanager, keysync, qbackend
from qkdbus.contracts.contract import Contract
from qkdbus.network.model import Network
from qkdbus.runtime.settings import NodeSettings
from qkdbus.runtime.settings import load as load_settings
from qkdbus.wire.keysync_pb2 import ListOpens
from qkdbus_client import Client, QoS, Status
from qkdbus_deploy import credentials, pidfile
from qkdbus_deploy.control import Supervisord
from qkdbus_deploy.sandbox import sandbox

from .mutator import Mutator
from .puppet import Puppet
from .witness import Look, Regular, faults, harm, look

HONEST, DECIDES, FOLLOWS = "Bob", "Aaron", "Zoe"
NETWORK = """\
qkdbus_version: 1
name: fuzzed
nodes:
  - {node_name: Aaron, neighbour_nodes: [Bob]}
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Aaron, Alice, Zoe]}
  - {node_name: Zoe, neighbour_nodes: [Bob]}
links:
  - {between: [Aaron, Bob], emulator: ideal, block_bits: 4096}
  - {between: [Alice, Bob], emulator: ideal, block_bits: 262144}
  - {between: [Bob, Zoe], block_bits: 512}
buffers: {window_bytes: 8192}
"""
STOPPED = ("keymanager", "keysync", "dispatcher", "qbackend")  # of those who mean ill: they speak for themselves
PATIENCE = 60.0  # s


@dataclass(frozen=True, slots=True)
class Door:
    """A way in.

    Attributes:
        name: of the contract, and who comes in.
        pair: the keys of who comes in; None where there is no CURVE.
    """

    name: str
    endpoint: str
    contract: Contract
    pair: KeyPair | None = None
    server_key: str = ""


class Ground:
    """The network, deployed, with a client that behaves and neighbours that do not."""

    def __init__(self, home: Path, name: str, stack: ExitStack) -> None:
        self.network = home / name
        self.context: zmq.Context[zmq.Socket[bytes]] = stack.enter_context(_context())
        self._name, self._home = name, home
        self._stack = stack
        self.bob = self.settings(HONEST)
        self.known: dict[str, list[Any]] = {}
        self.regular = self._regular()
        honest = set(self._oids())
        self._streams_of_others()
        self.known["oid"] = [oid for oid in self._oids() if oid not in honest]
        self.puppets = {node: self._puppet(node, seed) for seed, node in enumerate((DECIDES, FOLLOWS))}
        self.regular.start()

    def settings(self, node: str) -> NodeSettings:
        """Return a node's settings."""
        return load_settings(self.network / node)

    # -- who is there
    def _client(self, node: str, **how: Any) -> Client:
        return self._stack.enter_context(Client(node, network=self._name, home=self._home, patience=PATIENCE, **how))

    def _stream(self, here: Client, there: Client, names: tuple[str, str]) -> UUID:
        opened = here.open_connect(*names, QoS(key_chunk_size=16, timeout=2000))
        assert opened.ksid is not None, opened
        joined = there.open_connect(*names, ksid=opened.ksid)
        assert joined.ksid is not None, joined
        return opened.ksid

    def _regular(self) -> Regular:
        ends = self._client("Alice"), self._client(HONEST)
        regular = Regular(ends, self._stream(*ends, ("good@Alice", "good@Bob")))
        self._stack.callback(regular.stop)
        return regular

    def _streams_of_others(self) -> None:
        """Open streams that those who mean ill may name, and fetch a key of each."""
        credential = credentials.add(self.network, HONEST, "mallory")
        self.mallory = json.loads(credential.read_text())["nodes"][HONEST]
        mallory = self._stack.enter_context(Client(HONEST, file=credential, patience=PATIENCE))
        known: dict[str, list[Any]] = {"ksid": [], "source": [], "destination": []}
        for node in ("Alice", DECIDES, FOLLOWS):
            names = f"mallory@{HONEST}", f"friend@{node}"
            ksid = self._stream(mallory, self._client(node), names)
            if node != FOLLOWS:  # (over SimulaQron a key takes its time, and matters little)
                _until(partial(_has_key, mallory, ksid), f"no key between {HONEST} and {node}")
            known["ksid"].append(ksid.bytes)
            known["source"].append(names[0])
            known["destination"].append(names[1])
        self.known |= known

    def _oids(self) -> list[bytes]:
        caller = Caller(self.context, self.bob.ipc("keysync"), keysync.CONTRACT, os.urandom(16))
        answer: Any = caller.ask("list_opens", ListOpens(), patience=PATIENCE)
        caller.close()
        return list(answer.oids)

    def _puppet(self, node: str, seed: int) -> Puppet:
        """Stop a node's services, and speak for them."""
        settings = self.settings(node)
        supervisord = Supervisord(settings.run)
        for name in supervisord.programs():
            if name.startswith(STOPPED):
                supervisord.stop(name)
        _until(
            lambda: all(p.state == "stopped" for n, p in supervisord.programs().items() if n.startswith(STOPPED)),
            f"the services of {node} do not stop",
        )
        host, ports = settings.host, settings.ports
        doors = {
            f"tcp://{host}:{ports.keymanager}": keymanager.PEER,
            f"tcp://{host}:{ports.keysync}": keysync.PEER,
            f"tcp://{host}:{ports.qbackend[0]}": qbackend.PEER,
        }
        puppet = Puppet(self.pair(node), doors, seed)
        puppet.start()
        self._stack.callback(puppet.stop)
        return puppet

    def pair(self, node: str) -> KeyPair:
        """Return the keys of a node."""
        return KeyPair.read(self.settings(node).certs / "node.json")

    # -- the doors of the honest node
    def doors(self) -> dict[str, Door]:
        """Return every way in, by name."""
        bob, key = self.bob, self.pair(HONEST).public
        inner = {
            "keymanager": keymanager.CONTRACT,
            "keysync": keysync.CONTRACT,
            "dispatcher": dispatcher.CONTRACT,
            "qbackend.0": qbackend.CONTRACT,
            "emulator": emulator.CONTRACT,
        }
        peers = {
            "keymanager": (bob.ports.keymanager, keymanager.PEER),
            "keysync": (bob.ports.keysync, keysync.PEER),
            "qbackend": (bob.ports.qbackend[0], qbackend.PEER),
        }
        mallory = KeyPair(self.mallory["public_key"], self.mallory["secret_key"])
        found = [Door("north", self.mallory["endpoint"], keymanager.CONTRACT, mallory, self.mallory["server_key"])]
        found += [Door(layer, bob.ipc(layer), contract) for layer, contract in inner.items()]
        for node in (DECIDES, FOLLOWS):
            for layer, (port, contract) in peers.items():
                door = f"tcp://{bob.host}:{port}"
                found.append(Door(f"{layer}.peer of {node}", door, contract, self.pair(node), key))
        return {door.name: door for door in found}

    def teach(self, mutator: Mutator, door: Door) -> None:
        """Let a mutator know what means something at that door."""
        mutator.learn(**self.known)
        mutator.learn(peer=[DECIDES, FOLLOWS, "Alice"], node=[DECIDES, FOLLOWS])
        for node, puppet in self.puppets.items():
            if door.name.endswith(node):
                puppet.teach(mutator)

    # -- what has become of them
    def pids(self) -> dict[str, int]:
        """Return the processes of the honest nodes, by name."""
        found = {}
        for node in (HONEST, "Alice"):
            supervisord = pidfile.read(self.network / node)
            found[f"{node} supervisord"] = supervisord[0].pid if supervisord else 0
            programs = Supervisord(self.settings(node).run, PATIENCE).programs()
            found |= {f"{node} {name}": program.pid for name, program in programs.items()}
        return found

    def look(self) -> dict[str, Look]:
        """Return how the honest nodes' processes are."""
        return look(self.pids())

    def work(self) -> float:
        """Return the processor time, s, of the honest node's services so far."""
        times = [psutil.Process(pid).cpu_times() for name, pid in self.pids().items() if name.startswith(HONEST)]
        return sum(each.user + each.system for each in times)

    def complaints(self, before: Mapping[str, Look]) -> list[str]:
        """Return what has gone wrong since `before`; nothing, one hopes."""
        found = [f"the client that behaves: {self.regular.trouble}"] if self.regular.trouble else []
        found += harm(before, self.look())
        for node in (HONEST, "Alice"):
            found += faults(self.network / node / "logs")[:5]
        return found


def _has_key(client: Client, ksid: UUID) -> bool:
    return client.get_key(ksid).status == Status.SUCCESSFUL


def _until(true: Callable[[], bool], otherwise: str) -> None:
    ends = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > ends:
            raise TimeoutError(otherwise)
        time.sleep(0.05)


@contextmanager
def _context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield context
    context.destroy(linger=0)


@contextmanager
def ground() -> Iterator[Ground]:
    """Deploy it for the length of a `with`."""
    network = Network.model_validate(yaml.safe_load(NETWORK))
    with sandbox(network, patience=2 * PATIENCE) as box, ExitStack() as stack:
        yield Ground(box.home, box.name, stack)
