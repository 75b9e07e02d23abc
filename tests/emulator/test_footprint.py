"""What importing the emulator program leaves behind: nothing. And a warm parent that imported it can fork nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

# An audit hook sees every file that is opened for writing and every folder made, by whomever.
IMPORT = """
import json, os, sys
written = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        written.append(str(arguments[0]))
    elif event in ("os.mkdir", "os.rename", "os.symlink", "os.chdir", "socket.connect", "socket.bind"):
        written.append(f"{event} {arguments}")
sys.addaudithook(watch)
before = set(os.listdir("/proc/self/fd"))
from pathlib import Path
home, cwd = Path.home(), Path.cwd()
import qkdbus_qbackend.emulators.simulaqron.build
print(json.dumps({
    "written": written,
    "opened": len(set(os.listdir("/proc/self/fd")) - before),
    "threads": len(os.listdir("/proc/self/task")),
    "reactor": "twisted.internet.reactor" in sys.modules,
    "same_paths": (home, cwd) == (Path.home(), Path.cwd()),
    "heavy": [name for name in ("netqasm", "qutip", "projectq", "matplotlib") if name in sys.modules],
}))
"""

# Two nodes forked from one parent that has imported everything, and the outcomes of each.
FORK = """
import asyncio, json, logging, os, random, sys
from pathlib import Path
from collections import Counter
from qkdbus_qbackend.emulators.simulaqron import build
from qkdbus_qbackend.emulators.simulaqron.broker import BrokerNeighbours
from qkdbus_qbackend.emulators.simulaqron.turns import Turns
from qkdbus_qbackend.emulators.simulaqron.late_reactor import start_reactor
from qkdbus_qbackend.emulators.simulaqron.node import QkdVirtualNode
from qkdbus_qbackend.emulators.simulaqron.registers import SINK, SOURCE, Pauli, Registers
from qkdbus_qbackend.emulators.simulaqron.channels import Channel
from qkdbus_qbackend.emulators.simulaqron.service import SimulaqronService

FOLDER, LOG = Path(sys.argv[1]), logging.Logger("test", logging.CRITICAL)
PEERS = {"Alice": "Bob", "Bob": "Alice"}

async def live(name):
    peer = PEERS[name]
    dial = {peer: FOLDER / peer} if name == "Alice" else {}
    neighbours = BrokerNeighbours(name, dial, frozenset([peer]), patience=3.0, log=LOG)
    node = QkdVirtualNode(name, 1000, neighbours.meet)
    registers = Registers(node, random.Random(0))
    clock = asyncio.get_running_loop().time
    service = SimulaqronService(
        registers,
        neighbours,
        {peer: Channel()},
        turns=Turns(),
        attack=None,
        monotonic=clock,
        counters=Counter(),
        log=LOG,
    )
    neighbours.start(start_reactor(asyncio.get_running_loop(), LOG), node, service, FOLDER / name)
    async with asyncio.timeout(60):
        while not neighbours.up():
            await asyncio.sleep(0.01)
    drawn = [registers.measure(registers.make("stabilizer", Pauli()), SOURCE, 0) for _ in range(64)]
    (FOLDER / f"{name}.json").write_text(json.dumps(drawn))
    await asyncio.sleep(0.5)
    await neighbours.stop()

children = {}
for name in PEERS:
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(live(name))
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    children[name] = child
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children.values()))
"""


def run(script: str, home: Path, *arguments: str) -> str:
    # NumPy's and SciPy's OpenBLAS start threads when imported, unless told not to: who forks has to say so
    quiet = {"PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = {**os.environ, "HOME": str(home), **quiet}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_importing_writes_nothing_and_starts_nothing(folder: Path) -> None:
    shared = Path("/tmp/simulaqron")
    before = shared.stat().st_mtime_ns if shared.exists() else None
    found = json.loads(run(IMPORT, folder))
    assert found["written"] == []
    assert found["opened"] == 0
    assert found["threads"] == 1
    assert not found["reactor"]
    assert found["same_paths"]
    assert found["heavy"] == []
    assert list(folder.iterdir()) == []
    assert (shared.stat().st_mtime_ns if shared.exists() else None) == before


def test_forked_nodes_find_each_other_and_draw_different_outcomes(folder: Path) -> None:
    run(FORK, folder, str(folder))
    drawn = [json.loads((folder / f"{name}.json").read_text()) for name in ("Alice", "Bob")]
    assert len(drawn[0]) == len(drawn[1]) == 64
    assert drawn[0] != drawn[1]
    assert sorted(path.name for path in folder.iterdir()) == ["Alice.json", "Bob.json"]  # sockets are tidied away
