"""Whatever stands in a file or a request: it is read, or refused in words that name it; nothing else."""

from __future__ import annotations

import json
import os
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import yaml
from benchmarks.fuzz.files import json_text, mangled, twisted
from zmq.utils import z85

from qkdbus.bus.curve import AppsFile, KeyPair
from qkdbus.errors import BadFile
from qkdbus.network.load import load as load_network
from qkdbus.network.model import NETWORK_NAME, Network
from qkdbus.runtime import settings
from qkdbus.runtime.settings import NodeSettings
from qkdbus_deploy.agent import __main__ as agent

FEW, MANY = 250, 100_000
MEMORY = Path("/dev/shm")
SMALL = b"""\
qkdbus_version: 1
nodes:
  - {node_name: A, node_ip: 10.0.0.1, neighbour_nodes: [B]}
  - {node_name: B, neighbour_nodes: [A], layers: {qbackend: {replicas: 2}}}
links: [{between: [A, B], emulator: ideal, noise: {x: 0.01}}]
buffers: {window_bytes: 128}
"""
NODE = {
    "network": "n", "name": "A", "host": "127.0.0.1", "directory": "/nowhere", "run": "/nowhere/run",
    "nodes": ["A", "B"],
    "ports": {"north": 1, "keymanager": 2, "keysync": 3, "qbackend": [4]},
    "neighbours": [
        {"name": "B", "host": "127.0.0.1", "ports": {"north": 1, "keymanager": 2, "keysync": 3, "qbackend": [4]},
         "public_key": "k" * 40, "arbiter": True, "link": {"emulator": "ideal", "protocol": "e91-same-bases"}}
    ],
}  # fmt: skip
REQUESTS = [
    {"op": "look", "doors": [["A", "127.0.0.1", 1]], "services": {}, "patience": 0.0},
    {"op": "status", "home": "HOME", "network": "n"},
    {"op": "logs", "home": "HOME", "network": "n", "node": "A", "layer": None, "count": 3, "level": "info"},
    {"op": "follow", "home": "HOME", "network": "n", "cursors": None, "node": None, "layer": None},
    {"op": "swap", "home": "HOME", "network": "n", "node": "A", "layer": "keysync", "command": ["x"], "patience": 0.0},
    {"op": "attack", "home": "HOME", "network": "n", "one": "A", "other": "B", "eve": {"cut": True}},
    {"op": "admit", "home": "HOME", "network": "n", "node": "A", "files": {"certs/apps.json": "{}"}},
    {"op": "destroy", "home": "HOME", "network": "n", "node": "A"},
    {"op": "stop", "home": "HOME", "network": "n", "node": None, "layer": None},
]


def network_file(folder: Path, count: int, seed: int) -> None:
    file, dice = folder / "city.yaml", random.Random(seed)
    for _ in range(count):
        file.write_bytes(mangled(dice, SMALL))
        said = refusal(lambda: load_network(file), Network)
        assert said.startswith(str(file)) or not said
        assert all(line.isprintable() for line in said.splitlines())


def refusal(read: Callable[[], object], kind: type) -> str:
    """Return why a file is refused, "" when it is none of that; any other failure is the test's."""
    try:
        assert isinstance(read(), kind)
    except BadFile as error:
        return str(error)
    return ""


def node_file(folder: Path, count: int, seed: int) -> None:
    file, dice = folder / "node.yaml", random.Random(seed)
    octets = yaml.safe_dump(NODE).encode()
    for _ in range(count):
        if dice.random() < 0.5:
            file.write_bytes(mangled(dice, octets))
        else:  # (JSON is YAML)
            file.write_bytes(json.dumps(twisted(dice, NODE, 0.03)).encode())
        settings._KNOWN.clear()
        said = refusal(lambda: settings.load(folder), NodeSettings)
        assert said.startswith(str(file)) or not said


def apps_file(folder: Path, count: int, seed: int) -> None:
    file, dice = folder / "apps.json", random.Random(seed)
    good = {f"app{n}": KeyPair.new().public for n in range(3)}
    for _ in range(count):
        file.unlink(missing_ok=True)  # another inode: it has changed
        file.write_bytes(json_text(dice, good))
        for key, name in AppsFile(file)().items():
            assert isinstance(key, bytes) and len(key) % 4 == 0
            assert isinstance(name, str)
    file.write_text(json.dumps(good))
    assert AppsFile(file)() == {z85.decode(key.encode()): name for name, key in good.items()}


def agent_request(folder: Path, count: int, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(count):
        real = json.loads(json.dumps(dice.choice(REQUESTS)).replace("HOME", str(folder)))
        answer = agent.answer_to(json_text(dice, real))
        assert set(answer) in ({"ok"}, {"error"})
        json.dumps(answer)
        if "error" in answer:
            assert re.fullmatch("[A-Z][a-zA-Z]+", answer["error"]["kind"])
    names = [path.name for path in folder.iterdir()]  # of networks; nothing was made of names like "../.."
    assert all(re.fullmatch(NETWORK_NAME, name) for name in names), names


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is such a thing: it is written to very often."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else tmp_path) as name:
        yield Path(name)


KINDS = [network_file, node_file, apps_file, agent_request]


@pytest.mark.parametrize("kind", KINDS)
def test_some_hundred_of_each(kind: Callable[[Path, int, int], None], folder: Path) -> None:
    kind(folder, FEW, 1)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_thousand_of_each(kind: Callable[[Path, int, int], None], folder: Path) -> None:
    """In processes of their own: what is read is small, but there is much of it."""
    parts = os.cpu_count() or 1
    with ProcessPoolExecutor(parts, get_context("spawn")) as pool:
        folders = [folder / str(part) for part in range(parts)]
        for each in folders:
            each.mkdir()
        work = [pool.submit(kind, each, -(-MANY // parts), 2 + n) for n, each in enumerate(folders)]
        for part in work:
            part.result()
