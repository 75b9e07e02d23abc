"""The example `device_backend`: a device's key, the same at both ends and never twice, beside an emulated link."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from qkdbus.errors import BadFile
from qkdbus.wire.dispatcher_pb2 import KeyBlock
from qkdbus_qbackend.channel import Topic
from qkdbus_qbackend.failure import NoKey

if TYPE_CHECKING:
    from .conftest import Deployed

HEAD = 8
Modules = Callable[[str], ModuleType]


class Wire:
    """Both directions of one exchange's channel; an end of it is `Wire(other)`."""

    def __init__(self, other: Wire | None = None) -> None:
        self.said: dict[Topic, asyncio.Queue[bytes]] = {topic: asyncio.Queue() for topic in Topic}
        self.other = other or self
        if other is not None:
            other.other = self

    def tell(self, topic: Topic, body: bytes) -> None:
        self.other.said[topic].put_nowait(body)

    async def hear(self, topic: Topic) -> bytes:
        return await self.said[topic].get()


class Link:
    """The files of a link, and a Device at either end."""

    def __init__(self, module: ModuleType, folder: Path, octets: int) -> None:
        self.module = module
        self.files = [folder / name for name in ("alice.keys", "bob.keys")]
        self.key = os.urandom(octets)
        for file in self.files:
            file.write_bytes(bytes(HEAD) + self.key)
            file.chmod(0o600)
        self.restart()

    def restart(self) -> None:
        """Both workers were killed: what they know is in the files."""
        self.devices = [self.module.Device(file) for file in self.files]

    async def form(self, octets: int, devices: list[Any] | None = None) -> KeyBlock:
        """Form one block at both ends, and hold them against each other."""
        here = Wire()
        orders = [SimpleNamespace(arbiter=arbiter, bits=8 * octets) for arbiter in (True, False)]
        wires = (here, Wire(here))
        ends = zip(devices or self.devices, wires, orders, strict=True)
        async with asyncio.timeout(20):
            blocks = await asyncio.gather(*(device.form(wire, order) for device, wire, order in ends))
        assert blocks[0].run == blocks[1].run and len(blocks[0].run) == 16
        assert blocks[0].bits == blocks[1].bits
        block: KeyBlock = blocks[0]
        assert block.length == 8 * len(block.bits) == block.record.length
        return block


@pytest.fixture
def link(module_of: Modules, tmp_path: Path) -> Link:
    return Link(module_of("device_backend/backend.py"), tmp_path, 1000)


async def test_blocks_come_from_the_device_one_after_another(link: Link) -> None:
    blocks = [await link.form(100) for _ in range(3)]
    assert b"".join(block.bits for block in blocks) == link.key[:300]
    assert len({block.run for block in blocks}) == 3
    for file in link.files:
        assert file.read_bytes()[HEAD:] == bytes(300) + link.key[300:], "what was used is nowhere"


async def test_exchanges_at_once_get_different_octets(link: Link) -> None:
    workers = [link.module.Device(file) for file in link.files]  # a second worker at either end
    pairs = [link.devices, workers, [link.devices[0], workers[1]], [workers[0], link.devices[1]]]
    blocks = await asyncio.gather(*(link.form(100, pair) for pair in pairs * 2))
    assert b"".join(sorted(block.bits for block in blocks)) == b"".join(
        sorted(link.key[at : at + 100] for at in range(0, 800, 100))
    )


async def test_nothing_comes_twice_after_a_death_at_any_point(link: Link) -> None:
    seen = [(await link.form(50)).bits]
    alone = Wire()
    Wire(alone)
    half = asyncio.create_task(link.devices[0].form(alone, SimpleNamespace(arbiter=True, bits=400)))
    alone.said[Topic.HELLO].put_nowait(struct.pack("<QQ8s", 50, 1000, bytes(8)))
    lost = (await half).bits  # the arbiter has its block; its answer never arrives, and both die
    assert lost == link.key[50:100]
    link.restart()
    seen.append((await link.form(50)).bits)
    assert seen == [link.key[:50], link.key[100:150]]


@pytest.mark.parametrize("end", [0, 1])
async def test_a_mark_that_was_put_back_at_one_end_does_no_harm(link: Link, end: int) -> None:
    before = link.files[end].read_bytes()
    await link.form(100)
    link.files[end].write_bytes(before)  # from a backup
    link.restart()
    assert (await link.form(100)).bits == link.key[100:200]


async def test_the_last_octets_are_a_short_block_and_then_there_is_none(link: Link) -> None:
    await link.form(900)
    assert (await link.form(900)).bits == link.key[900:]
    with pytest.raises((NoKey, TimeoutError)):
        await asyncio.wait_for(link.form(1), 0.5)
    more = os.urandom(64)  # the equipment goes on
    for file in link.files:
        with file.open("ab") as out:
            out.write(more)
    assert (await link.form(64)).bits == more


async def test_an_end_that_says_what_cannot_be_is_given_no_key(link: Link) -> None:
    await link.form(100)
    for said in (struct.pack("<QQ8s", 50, 50, bytes(8)), struct.pack("<QQ8s", 100, 2**63, bytes(8))):
        alone = Wire()
        Wire(alone)
        alone.said[Topic.READY].put_nowait(said)
        with pytest.raises(NoKey, match="cannot be"):
            await link.devices[1].form(alone, SimpleNamespace(arbiter=False, bits=400))


def test_a_key_that_others_may_read_is_none(link: Link) -> None:
    link.files[0].chmod(0o640)
    with pytest.raises(BadFile, match="others may read this key"):
        link.restart()


def test_the_device_s_files_are_the_same_and_private(module_of: Modules, tmp_path: Path) -> None:
    made = module_of("device_backend/make_keys.py")
    made.write(tmp_path / "keys", "Alice", "Bob", 500)
    one, other = tmp_path / "keys/Alice/Bob.keys", tmp_path / "keys/Bob/Alice.keys"
    assert one.read_bytes() == other.read_bytes() and len(one.read_bytes()) == HEAD + 500
    assert {file.stat().st_mode & 0o777 for file in (one, other)} == {0o600}
    with pytest.raises(FileExistsError):
        made.write(tmp_path / "keys", "Alice", "Bob", 500)


def _make_keys(folder: Path) -> None:
    words = ["make_keys.py", "./keys", "Alice", "Bob", "10000000"]  # as README.md has it, and more of it
    subprocess.run([sys.executable, *words], cwd=folder, check=True, timeout=60)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_keeps_the_contract(copied: Callable[[str], Path], conform: Callable[..., None]) -> None:
    folder = copied("device_backend")
    _make_keys(folder)
    nothing_to_disturb = ["an-eavesdropper-is-noticed", "errors-are-corrected"]
    conform(folder, "qbackend", "python", "./backend.py", "--keys", "./keys", left_out=nothing_to_disturb)


@pytest.fixture(scope="module")
def hybrid(
    copied: Callable[[str], Path], deploying: Callable[[Path], AbstractContextManager[Deployed]]
) -> Iterator[Deployed]:
    folder = copied("device_backend")
    _make_keys(folder)
    with deploying(folder) as net:
        yield net


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_device_and_an_emulated_link_side_by_side(
    hybrid: Deployed, until: Callable[[Callable[[], object], str], None]
) -> None:
    device = (hybrid.folder / "keys/Alice/Bob.keys").read_bytes()[HEAD:]
    stream, emulated = hybrid.open("Alice", "Bob"), hybrid.open("Bob", "Charlie")
    keys = [key.key for key in stream.agree(40)]
    emulated.agree(2)
    links = {(link.node, link.peer): link.emulator for link in hybrid.local.status(hybrid.name).links}
    assert (links["Alice", "Bob"], links["Bob", "Charlie"]) == ("device", "simulaqron")

    for node in ("Alice", "Bob", "Alice", "Bob"):
        pid = hybrid.pid(node, "qbackend_0")
        os.kill(pid, signal.SIGKILL)
        keys += [key.key for key in stream.agree(150)]  # more than was agreed before: the window holds 128
        until(lambda node=node, pid=pid: hybrid.pid(node, "qbackend_0") not in (0, pid), "another process")  # type: ignore[misc]
    assert len(set(keys)) == len(keys), "a key came twice"
    emulated.agree(2)
    used = [file.read_bytes()[:HEAD] for file in hybrid.folder.glob("keys/*/*.keys")]
    assert all(int.from_bytes(mark, "little") >= 32 * len(keys) for mark in used)
    places = sorted(device.find(key) for key in keys)
    assert places[0] >= 0, "a key that is not the device's"
    assert all(late - early >= 32 for early, late in itertools.pairwise(places)), "octets in two keys"
