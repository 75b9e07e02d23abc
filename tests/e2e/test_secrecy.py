"""Keys are where they belong and nowhere else: in no log, event, exception, repr, stray file; wiped when delivered."""

from __future__ import annotations

import base64
import io
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zmq
from google.protobuf import text_format

from qkdbus.bus.caller import Caller
from qkdbus.contracts.keymanager import CONTRACT
from qkdbus.errors import QkdbusError
from qkdbus.wire import keymanager_pb2 as wire
from qkdbus_client import Key, QoS
from qkdbus_deploy.drivers.local import Local

if TYPE_CHECKING:
    from .conftest import Ends, Net

NETWORK = """\
qkdbus_version: 1
name: secret
log_level: debug
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice]}
buffers: {window_bytes: 512}
"""
PHOTONIC = "link_defaults: {emulator: photonic, protocol: bbm92, security: asymptotic,\n"
PHOTONIC += "  photonic: {clock: as-fast-as-possible, block: 16384}}\n"
FetchKey = Callable[..., Key]
Deploying = Callable[[str, Path], AbstractContextManager["Net"]]
PART = 8  # octets of a key that are enough to recognise it


def spellings(key: bytes) -> Iterator[bytes]:
    """The beginning and the end of a key in every way in which a program prints octets."""
    for part in (key[:PART], key[-PART:]):
        yield part
        yield part.hex().encode()
        yield part.hex().upper().encode()
        yield part.hex(" ").encode()
        yield repr(part)[2:-1].encode()
        yield repr(part + b"'\"")[2:-4].encode()  # as within octets of both quotes, or in a bytearray
        yield text_format.MessageToString(wire.Key(key=part)).strip().removeprefix('key: "').removesuffix('"').encode()
        yield ", ".join(map(str, part)).encode()
        yield ",".join(map(str, part)).encode()
        yield "".join(f"{octet:08b}" for octet in part).encode()
        yield str(int.from_bytes(part, "big")).encode()
    for shift in range(3):  # base64 of something that holds the key, wherever it begins
        whole = base64.b64encode(bytes(shift) + key[: PART + 4])[4:12]
        yield whole
        yield whole.replace(b"+", b"-").replace(b"/", b"_")


def shown(text: bytes, keys: list[bytes]) -> list[bytes]:
    return [spelling for key in keys for spelling in spellings(key) if spelling in text]


class Ear:
    """Hears everything that the services of a network publish, as it is on the wire."""

    def __init__(self, net: Net) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._socket.setsockopt(zmq.RCVTIMEO, 50)
        self.heard: list[bytes] = []
        self._over = threading.Event()
        for node in net.nodes():
            for name in ("keymanager", "keysync", "dispatcher", "qbackend.0", "emulator"):
                self._socket.connect(node.ipc(f"{name}.events"))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                self.heard += self._socket.recv_multipart()
            except zmq.Again:
                continue

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close(linger=0)
        self._context.term()


class Traces:
    """What a network, its commands and its clients have left and said while keys were fetched."""

    def __init__(self, net: Net, keys: list[bytes], said: dict[str, bytes], temporary: Path) -> None:
        self.net, self.keys, self.said, self.temporary = net, keys, said, temporary

    def files(self, *below: Path) -> dict[str, bytes]:
        found = [file for folder in below for file in folder.rglob("*") if file.is_file()]
        return {str(file): file.read_bytes() for file in found}


@pytest.fixture(
    scope="module",
    params=[pytest.param(link, marks=pytest.mark.slow) for link in (PHOTONIC, "")],
    ids=["photonic", "simulaqron"],
)
def traces(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, deploying: Deploying
) -> Iterator[Traces]:
    """Fetch keys of a network that logs all it can, look at it with every command, and let things go wrong."""
    temporary = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        with deploying(NETWORK + request.param, tmp_path_factory.mktemp("secret")) as net:
            log = io.StringIO()
            handler = logging.StreamHandler(log)
            logging.getLogger().addHandler(handler)
            ear = Ear(net)
            time.sleep(0.3)  # a subscription takes a moment, and nobody says when it is there
            ends = net.open("Alice", "Bob", QoS(key_chunk_size=16, timeout=3000))
            got = ends.agree(6)
            said = {"repr": repr(got).encode() + str(got[0]).encode() + repr(ends.here.get_keys(ends.ksid, 1)).encode()}
            said |= _commands(net, ends)
            said |= _troubles(net, ends)
            ends.agree(1)
            ear.close()
            logging.getLogger().removeHandler(handler)
            said["events"] = b"\0".join(ear.heard)
            said["log of the client"] = log.getvalue().encode()
            yield Traces(net, [key.key for key in got], said, temporary)


def _commands(net: Net, ends: Ends) -> dict[str, bytes]:
    out = net.home / "key.bin"
    lines = [
        ("status", "--json"),
        ("logs", "Bob", "--json", "-n", "1000", "--level", "debug"),
        ("key", "get", "Alice", str(ends.ksid), "--out", str(out), "--metadata-size", "1024"),
        ("--debug", "key", "get", "Alice", str(ends.ksid), "--index", "0", "--out", str(out)),
    ]
    said = {}
    for line in lines:
        done = net.command(*line)
        said[" ".join(line)] = (done.stdout + done.stderr).encode()
    out.unlink()
    ends.there.get_key(ends.ksid)
    ends.there.get_key(ends.ksid)
    return said


def _troubles(net: Net, ends: Ends) -> dict[str, bytes]:
    """Requests that are refused, answers that cannot be read, a service that dies: what is said about each."""
    said = []
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    caller = Caller(context, net.settings("Alice").ipc("keymanager"), CONTRACT, os.urandom(16))
    asked = [
        ("get_key", wire.GetKey(ksid=b"short")),
        ("get_keys", wire.GetKeys(ksid=ends.ksid.bytes, count=0)),
        ("get_key", wire.GetKey(ksid=ends.ksid.bytes, index=1 << 31)),
        ("close", wire.Close(ksid=b"")),
    ]
    for method, request in asked:
        try:
            said.append(repr(caller.ask(method, request, patience=1.0)))
        except QkdbusError:
            said.append(traceback.format_exc())
    caller.close()
    context.term()
    for layer in ("keysync", "keymanager", "qbackend"):
        os.kill(net.pids()["Alice", layer], 11)  # SIGSEGV: what would a core file hold?
    return {"exceptions": "\n".join(said).encode()}


def test_a_key_that_is_shown_would_be_found() -> None:
    key = os.urandom(32)
    spoken = (
        key,
        repr(key).encode(),
        key.hex(":", 32).encode(),
        base64.b64encode(b"before" + key),
        repr(wire.Key(key=key)).encode(),
        str(list(key)).encode(),
        repr(bytearray(key[:12])).encode(),
    )
    for text in spoken:
        assert shown(b"log: " + text + b" end", [key]), text
    assert not shown(os.urandom(1 << 20), [key])


def test_no_spelling_is_so_short_that_it_is_found_anywhere() -> None:
    awkward = [b'"' * 32, b"\\" * 32, b"'" * 32, bytes(32), b"\n" * 32, *(os.urandom(32) for _ in range(200))]
    assert min(len(spelling) for key in awkward for spelling in spellings(key) if any(key)) >= PART


def test_no_key_is_in_any_file_but_the_state_of_keysync(traces: Traces) -> None:
    files = traces.files(traces.net.home, traces.temporary)
    assert any(name.endswith("keymanager.log") and len(text) > 100 for name, text in files.items()), (
        "no logs to look at"
    )
    assert any(b'"level":"debug"' in text for text in files.values()), "debug lines should be there"
    guilty = [name for name, text in files.items() if not _is_keysync(name) and shown(text, traces.keys)]
    assert not guilty


def _is_keysync(name: str) -> bool:
    return "/state/keysync.sqlite" in name


def test_no_key_is_in_anything_that_was_said(traces: Traces) -> None:
    assert len(traces.said["events"]) > 200, "no events to look at"
    assert b"Refused" in traces.said["exceptions"], "no exceptions to look at"
    assert [what for what, text in traces.said.items() if shown(text, traces.keys)] == []


def test_no_core_file_is_left(traces: Traces) -> None:
    assert not [file for file in traces.net.home.rglob("core*") if file.is_file()]


def test_a_delivered_key_is_wiped_from_the_state_and_its_journal(
    traces: Traces, wait_until: Callable[..., float], key_of: FetchKey
) -> None:
    net = traces.net
    ends = net.open("Alice", "Bob", QoS(key_chunk_size=16, timeout=3000))
    first = [key_of(ends.there, ends.ksid).key for _ in range(4)]  # Alice has not had these yet
    alice = net.home / net.name / "Alice" / "state"
    held = _raw(alice)
    assert all(key[:PART] in held or key[-PART:] in held for key in first), "the search does not see what is there"
    assert [key_of(ends.here, ends.ksid).key for _ in range(4)] == first
    ends.here.get_key(ends.ksid)  # settles the last of them
    took = wait_until(lambda: not any(part in _raw(alice) for key in first for part in (key[:PART], key[-PART:])), 60)
    print(f"\nwiped {took:.2f} s after it was delivered")


def _raw(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


def test_the_key_manager_stores_no_key_at_all(traces: Traces) -> None:
    for node in ("Alice", "Bob"):
        for file in (traces.net.home / traces.net.name / node / "state").glob("keymanager.sqlite*"):
            assert not shown(file.read_bytes(), traces.keys)


def test_state_files_are_the_owners_alone(traces: Traces) -> None:
    for node in ("Alice", "Bob"):
        folder = traces.net.home / traces.net.name / node
        secret = [*(folder / "state").iterdir(), *(folder / "certs").iterdir(), folder / "node.yaml"]
        assert {oct(file.stat().st_mode & 0o777) for file in secret} == {"0o600"}
        assert {oct((folder / name).stat().st_mode & 0o777) for name in ("state", "certs", "run")} == {"0o700"}


def test_destroy_overwrites_what_was_stored_and_leaves_no_file(network: Callable[[str], Net], key_of: FetchKey) -> None:
    net = network(NETWORK + "link_defaults: {emulator: ideal}\n")
    ends = net.open("Alice", "Bob", QoS(key_chunk_size=16, timeout=3000))
    undelivered = [key_of(ends.there, ends.ksid).key for _ in range(4)]  # at Alice they still are
    folder = net.home / net.name / "Alice"
    files = {
        file: os.open(file, os.O_RDONLY) for file in (*(folder / "state").iterdir(), *(folder / "certs").iterdir())
    }
    assert undelivered[0][:PART] in b"".join(_content(number) for number in files.values())
    Local(net.home).destroy(net.name, None)
    assert list(net.home.iterdir()) == []
    for file, number in files.items():  # the names are gone; what they named is empty of secrets too
        left = _content(number)
        assert not shown(left, undelivered), file.name
        assert file.suffix.startswith(".sqlite-") or not left.strip(b"\0"), f"{file.name} was not overwritten"
        os.close(number)


def _content(number: int) -> bytes:
    return os.pread(number, 1 << 24, 0)
