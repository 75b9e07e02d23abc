"""The means of doing harm really do: a relay that cuts and silences, writes that fail, packets lost and doubled."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from benchmarks.chaos.disks import Limited
from benchmarks.chaos.places import Addresses
from benchmarks.chaos.programs import Programs, title
from benchmarks.chaos.relay import Relay

from qkdbus_deploy import pidfile
from qkdbus_deploy.kernel import Mark

ROOT = Path(__file__).parents[2]
WAIT = 20.0  # s, for what takes a moment


class Line:
    """A connection from A to B through the relay; B says back whatever it hears."""

    def __init__(self, relay: Relay, port: int) -> None:
        self.relay, self._port = relay, port

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(Addresses("AB").seen("B"), self._port)

    async def says(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, within: float = WAIT) -> bytes:
        writer.write(b"word")
        async with asyncio.timeout(within):
            return await reader.readexactly(4)


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async def always_a(address: str, port: int) -> str:
        return "A"

    addresses = Addresses("AB")
    server = await asyncio.start_server(echo, addresses.own("B"), 0)
    port = server.sockets[0].getsockname()[1]
    seen, own = ({name: where(name) for name in "AB"} for where in (addresses.seen, addresses.own))
    flows = [("A", "B", addresses.flow("A", "B"))]
    relay = Relay(
        {"network": "", "ports": {"A": [], "B": [port]}, "seen": seen, "own": own, "flows": flows},
        always_a,
    )
    await relay.listen()
    yield Line(relay, port)
    server.close()


async def test_a_link_carries_until_it_is_cut_and_again_afterwards(line: Line) -> None:
    reader, writer = await line.open()
    assert await line.says(reader, writer) == b"word"
    line.relay.become({"between": ("B", "A"), "cut": True})
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await line.says(reader, writer)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await line.says(*await line.open())
    line.relay.become({"between": ("A", "B")})
    assert await line.says(*await line.open()) == b"word"


@pytest.mark.parametrize("quiet", [["A"], ["B"], ["A", "B"]])
async def test_what_is_said_in_silence_arrives_when_it_is_over(line: Line, quiet: list[str]) -> None:
    reader, writer = await line.open()
    assert await line.says(reader, writer) == b"word"
    line.relay.become({"between": ("A", "B"), "quiet": quiet})
    with pytest.raises(TimeoutError):
        await line.says(reader, writer, 0.2)
    line.relay.become({"between": ("A", "B")})
    async with asyncio.timeout(WAIT):
        assert await reader.readexactly(4) == b"word"


async def test_a_slow_link_takes_its_time_both_ways(line: Line) -> None:
    reader, writer = await line.open()
    line.relay.become({"between": ("A", "B"), "delay": 0.1})
    began = time.monotonic()
    assert await line.says(reader, writer) == b"word"
    assert time.monotonic() - began >= 0.2


WRITER = """
import signal, sqlite3, sys
from qkdbus_deploy.kernel import call_me
call_me("keysync.0 Bob")
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("PRAGMA journal_mode=WAL")
base.execute("CREATE TABLE t (x)")
for line in sys.stdin:
    try:
        base.execute("INSERT INTO t VALUES (randomblob(100))")
        print("stored", flush=True)
    except sqlite3.Error as error:
        print(type(error).__name__, flush=True)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A child of a "supervisord" (this process) of a node Bob that writes a row whenever it is told to."""
    (tmp_path / "Bob").mkdir()
    pidfile.write(tmp_path / "Bob", "generation")
    command = [sys.executable, "-c", WRITER, str(tmp_path / "base.sqlite"), " " * 40]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def stores(writer: subprocess.Popen[str]) -> str:
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write("\n")
    writer.stdin.flush()
    return writer.stdout.readline().strip()


def test_what_a_service_writes_fails_while_its_disk_is_full(writer: subprocess.Popen[str], tmp_path: Path) -> None:
    assert stores(writer) == "stored"
    programs = Programs(tmp_path)
    assert title(writer.pid) == "keysync.0 Bob"
    assert programs.find("Bob", "keysync") == Mark.of(writer.pid)
    assert programs.find("Bob", "keymanager") is None
    disk = Limited(programs, "Bob")
    assert disk.begin()
    disk.keep()
    assert stores(writer) == "OperationalError"
    disk.end()
    assert stores(writer) == "stored"


PACKETS = """
import json, socket
from benchmarks.chaos.packets import Packets
from benchmarks.chaos.places import Addresses
addresses = Addresses("AB")
packets = Packets(addresses)

def udp():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

def arrive(source, to):
    with udp() as out, udp() as ear:
        ear.bind((addresses.own(to), 0))
        ear.settimeout(0.3)
        out.bind((addresses.flow(source, to), 0))
        heard = 0
        for _ in range(10):
            for _ in range(40):
                out.sendto(b"x", ear.getsockname())
            try:
                while ear.recv(10):
                    heard += 1
            except TimeoutError:
                pass
        return heard

found = [arrive("A", "B")]
packets.lose(("A", "B"), 30.0)
found += [arrive("A", "B"), arrive("B", "A")]
packets.lose(("A", "B"), 0.0)
packets.double(("A", "B"), 50.0)
found += [arrive("A", "B")]
packets.double(("A", "B"), 0.0)
found += [arrive("A", "B")]
print(json.dumps(found))
"""


@pytest.mark.root
@pytest.mark.slow
def test_packets_are_lost_and_doubled_as_asked() -> None:
    inner = 'ip link set lo up && exec "$@"'
    command = ["unshare", "--net", "--", "sh", "-c", inner, "sh", sys.executable, "-c", PACKETS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=True)
    whole, lost, other_way, doubled, again = json.loads(done.stdout)
    assert whole == again == 400
    assert 200 < lost < 360  # 280 +- 9, beyond 8 sigma
    assert 200 < other_way < 360
    assert 500 < doubled < 700  # 600 +- 10
