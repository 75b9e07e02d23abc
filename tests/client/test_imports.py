"""The client is light: pyzmq, protobuf and the standard library, nothing of a service."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocked())
import asyncio, uuid
import qkdbus_client
from qkdbus.errors import Silent
from qkdbus_client import AsyncClient, Client, QoS, Status
try:
    with Client.at("tcp://127.0.0.1:9", patience=0.1) as client:
        client.open_connect("app1@Alice", "app2@Bob", QoS())
except Silent:
    pass
async def ask():
    async with AsyncClient.at("tcp://127.0.0.1:9", patience=0.1) as client:
        await client.get_key(uuid.uuid4())
try:
    asyncio.run(ask())
except Silent:
    print("both work")
print(*sorted({{name.split(".")[0] for name in sys.modules}}))
"""
HEAVY = {"pydantic", "click", "yaml", "numpy", "supervisor", "simulaqron", "twisted"}
ROOMS = {"qkdbus_keymanager", "qkdbus_keysync", "qkdbus_dispatcher", "qkdbus_qbackend", "qkdbus_deploy"}


def run(blocked: set[str]) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(blocked=blocked)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def test_it_needs_only_pyzmq_and_protobuf() -> None:
    done = run(HEAVY | ROOMS)
    assert done.returncode == 0, done.stderr
    assert "both work" in done.stdout
    assert set(done.stdout.split()).isdisjoint(HEAVY | ROOMS)


def test_the_block_does_block() -> None:
    done = run({"zmq"})
    assert done.returncode != 0
    assert "blocked: zmq" in done.stderr
