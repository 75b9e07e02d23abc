"""SimulaQron as we use it, imported without its side effects. No other file imports it.

On import SimulaQron installs a Twisted reactor and reads two JSON files from the working or the home directory, which
it writes when they are missing. Here it meets a reactor that comes later, and a "working directory" with both files:
`defaults/` in this package. Neither home nor /tmp/simulaqron is touched.
"""

from __future__ import annotations

import copy
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from qkdbus.errors import Refused

from . import chance, gates
from .late_reactor import stand_in

_DEFAULTS = Path(__file__).parent / "defaults"


@contextmanager
def _at_our_settings() -> Iterator[None]:
    """Let `Path.cwd()` and `Path.home()` name our settings while SimulaQron looks for its own."""
    saved = Path.__dict__["cwd"], Path.__dict__["home"]
    Path.cwd = Path.home = classmethod(lambda _path: _DEFAULTS)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Path.cwd, Path.home = saved  # type: ignore[method-assign]


sys.modules["simulaqron.reactor"] = stand_in()
with _at_our_settings():
    from simulaqron.general.host_config import Host, SocketsConfig
    from simulaqron.settings import simulaqron_settings
    from simulaqron.settings.network_config import NetworksConfiguration
    from simulaqron.settings.simulaqron_config import SimBackend
    from simulaqron.toolbox import stabilizer_states
    from simulaqron.virtual_node import stabilizer_simulator as _stabilizer_simulator
    from simulaqron.virtual_node.quantum import SimulatedQubit
    from simulaqron.virtual_node.virtual import VirtualNode

chance.secure_stabilizer(stabilizer_states)

_ENGINES = {"stabilizer": SimBackend.STABILIZER, "projectq": SimBackend.PROJECTQ, "qutip": SimBackend.QUTIP}
_READY = {"stabilizer"}

__all__ = ["Host", "SimulatedQubit", "VirtualNode", "choose", "hosts", "load_bell_pair", "require", "use"]


def choose(engines: Sequence[str]) -> str:
    """Return the first of `engines` that is installed, ready for use. Refused, with the remedy, when none is."""
    for engine in engines:
        with suppress(Refused):
            require(engine)
            return engine
    require(engines[-1])  # says what is missing
    raise AssertionError


def require(engine: str) -> None:
    """Import what `engine` needs and secure its chance. Refused when it is unknown or not installed."""
    if engine in _READY:
        return
    if engine not in _ENGINES:
        raise Refused(f"unknown SimulaQron engine {engine!r}: one of {', '.join(_ENGINES)}")
    try:
        if engine == "qutip":
            simulator = importlib.import_module("simulaqron.virtual_node.qutip_simulator")
            chance.secure_qutip(simulator)
            gates.quicken(simulator)
        else:
            os.environ.setdefault("OMP_NUM_THREADS", "1")  # two qubits: its threads only get in each other's way
            importlib.import_module("simulaqron.virtual_node.project_q_simulator")
            chance.secure_projectq(importlib.import_module("projectq.backends._sim._simulator"))
    except (ImportError, RuntimeError):  # SimulaQron raises RuntimeError for a missing package
        raise Refused(f"SimulaQron's engine {engine!r} needs a package that is not here: {_REMEDY[engine]}") from None
    _READY.add(engine)


_REMEDY = {
    "qutip": "pip install 'qkdbus[qutip]'",
    # built from its source: newer versions of setuptools cannot
    "projectq": "echo 'setuptools<75' > old.txt; PIP_BUILD_CONSTRAINT=old.txt pip install 'qkdbus[projectq]' (and g++)",
}


def use(engine: str) -> None:
    """Let the registers made from now on (until the next call) be of this engine; `require` it first."""
    simulaqron_settings.sim_backend = _ENGINES[engine]


def load_bell_pair(register: Any) -> bool:
    """Put |Phi+> into a new register by SimulaQron's own merge; False where it has to be made by gates.

    Half the cost of the gates on the stabilizer engine. ProjectQ's registers cannot share a state.
    """
    if isinstance(register, _stabilizer_simulator.StabilizerEngine):
        register.absorb_parts(_BELL, None, 2)
        return True
    return gates.share_bell_pair(register)


def _bell_pair() -> Any:
    """Return the stabilizer state of |Phi+>: generators +XX and +ZZ, ready for `absorb_parts`."""
    state = stabilizer_states.StabilizerState(2)
    state.apply_H(0)
    state.apply_CNOT(0, 1)
    return state


_BELL = _bell_pair()


def hosts(name: str) -> Any:
    """Return SimulaQron's table of hosts with one, ours: neighbours are met over Unix sockets, not by address."""
    table, host = copy.copy(_TABLE), copy.copy(_HOST)
    host.name = name
    table.hostDict = {**_TABLE.hostDict, name: host}
    return table


# Read and looked up once, before any fork: what it takes to parse JSON into SimulaQron's classes is 0.5 MB a node.
with _at_our_settings():
    _TABLE = SocketsConfig(NetworksConfiguration.read_from_known_sources(), network_name="default")
    _HOST = Host("", "127.0.0.1", 0)
