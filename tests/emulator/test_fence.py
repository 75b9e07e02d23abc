"""SimulaQron's Perspective Broker knows no passwords: who can reach it, and what a peer can ask of it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

# A Perspective Broker client that knows SimulaQron: calls each method named, prints how each call ended.
INTRUDER = """
import json, os, sys
from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.spread import pb

if len(sys.argv) > 3:
    os.setuid(int(sys.argv[3]))  # only now: another user may not be able to read Python's own files

@inlineCallbacks
def intrude():
    ended = {}
    try:
        root = yield factory.getRootObject()
        for call in json.loads(sys.argv[2]):
            try:
                yield root.callRemote(*call)
                ended[call[0]] = "done"
            except pb.RemoteError as error:
                ended[call[0]] = error.remoteType.decode().rpartition(".")[2]
            except Exception as error:
                ended[call[0]] = type(error).__name__
    except Exception as error:
        ended["connect"] = f"{type(error).__name__} {error}"
    print(json.dumps(ended))
    reactor.stop()

factory = pb.PBClientFactory()
reactor.callWhenRunning(intrude)
reactor.connectUNIX(sys.argv[1], factory, timeout=3)
reactor.callLater(10, reactor.stop)
reactor.run()
"""
STOCK: list[list[Any]] = [
    ["stop_vnode"],
    ["new_register", 10],
    ["new_qubit"],
    ["get_global_lock"],
    ["clear_recv_queues"],
    ["check_connections"],
    ["add_register", 10],
    ["measure", "job", 1, ""],
]


def intrude(path: Path, calls: list[list[Any]], user: int | None = None) -> dict[str, str]:
    command = [sys.executable, "-c", INTRUDER, str(path), json.dumps(calls)] + [str(user)] * (user is not None)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd="/")
    assert done.returncode == 0, done.stderr
    ended: dict[str, str] = json.loads(done.stdout)
    return ended


async def test_a_peer_cannot_stop_a_virtual_node_nor_use_its_registers(lab: Any) -> None:
    ended = intrude(lab.socket("Bob"), STOCK)
    assert set(ended.values()) == {"NoSuchMethod"}
    assert len(ended) == len(STOCK)
    lines = await lab.lines("Bob")  # still there, and its link too
    assert (list(lines.peers_up), lines.registers) == (["Alice", "Charlie"], 0)


async def test_only_a_neighbour_that_is_expected_can_meet_the_node(lab: Any) -> None:
    for name in ("Eve", "Alice"):
        calls: list[list[Any]] = [["meet", name, 7]]
        assert intrude(lab.socket("Bob"), calls) == {"meet": "Error"}
    assert list((await lab.lines("Bob")).peers_up) == ["Alice", "Charlie"]


async def test_the_broker_listens_on_a_private_unix_socket_and_nowhere_else(lab: Any) -> None:
    for name in ("Alice", "Bob"):
        path = lab.socket(name)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert psutil.Process(lab.programs[name].pid).net_connections(kind="inet") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
async def test_another_user_cannot_connect(lab: Any) -> None:
    nobody = 65534
    assert "Permission denied" in intrude(lab.socket("Bob"), STOCK, user=nobody)["connect"]

    # and should someone open the folders, the node itself hangs up on another user
    places = [lab.folder, lab.folder / "Bob", lab.socket("Bob").parent, lab.socket("Bob")]
    before = {place: stat.S_IMODE(place.stat().st_mode) for place in places}
    try:
        for place in places:
            place.chmod(0o777)
        ended = intrude(lab.socket("Bob"), STOCK, user=nobody)
    finally:
        for place, mode in before.items():
            place.chmod(mode)
    assert "done" not in ended.values()
    assert "NoSuchMethod" not in ended.values()  # not one call was even looked at
    assert list((await lab.lines("Bob")).peers_up) == ["Alice", "Charlie"]
