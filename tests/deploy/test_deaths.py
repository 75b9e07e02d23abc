"""kill -9 of anything: what comes back by itself, how fast, and what `qkdbus start` mends."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

Until = Callable[..., float]


@pytest.fixture
def net(machine: Any) -> Any:
    machine.deploy("net")
    return machine


def warm_parent(machine: Any) -> int:
    return int(machine.status("net")["warm_parent"])


def pids(machine: Any, node: str) -> dict[str, int]:
    found = machine.node("net", node)
    return {"supervisord": found["pid"], **{layer["layer"]: layer["pid"] for layer in found["layers"]}}


def child(supervisord: int, title: str, other_than: int) -> Callable[[], bool]:
    def there() -> bool:
        children = psutil.Process(supervisord).children()
        return any(c.pid != other_than and c.cmdline()[:1] == [title] for c in children)

    return there


def test_a_killed_service_is_back_at_once(net: Any, until: Until) -> None:
    until(lambda: net.layer("net", "N0", "keysync")["uptime"] > 1.2, "it has run for a while")
    before = pids(net, "N0")
    title = "keysync.0 N0"
    assert psutil.Process(before["keysync"]).cmdline()[0].rstrip("\0") == title
    took = []
    for _ in range(3):
        now = pids(net, "N0")["keysync"]
        os.kill(now, signal.SIGKILL)
        took.append(until(child(before["supervisord"], title, now), "a new process"))
        until(lambda: net.layer("net", "N0", "keysync")["state"] == "ready", "ready")
    assert took[0] < 0.5 and min(took) < 0.05  # (the others of this machine may be in the way of one)
    after = pids(net, "N0")
    assert after.pop("keysync") != before.pop("keysync") and after == before
    assert net.layer("net", "N0", "keysync")["restarts"] == 3


def test_a_killed_supervisord_takes_its_services_along_and_comes_back_with_them(net: Any, until: Until) -> None:
    before = pids(net, "N0")
    os.kill(before["supervisord"], signal.SIGKILL)
    until(lambda: not any(psutil.pid_exists(pid) and _alive(pid) for pid in before.values()), "all have died")
    until(lambda: net.node("net", "N0")["state"] == "running", "it is back")
    until(lambda: net.status("net")["state"] == "ready", "all ready")
    assert not set(before.values()) & set(pids(net, "N0").values())
    assert net.node("net", "N0")["restarts"] == 1


@pytest.mark.slow
def test_without_its_warm_parent_a_network_goes_on_and_start_mends_it(net: Any, until: Until) -> None:
    before = pids(net, "N0"), pids(net, "N1")
    os.kill(warm_parent(net), signal.SIGKILL)
    until(lambda: net.status("net")["warm_parent"] is None, "it has died")
    assert (pids(net, "N0"), pids(net, "N1")) == before
    assert "its warm parent is gone" in net.run("status", "net").stderr
    os.kill(before[0]["supervisord"], signal.SIGKILL)
    until(lambda: net.node("net", "N0")["state"] == "stopped", "nobody restarts it")
    net.run("start", "net")
    assert net.status("net")["state"] == "ready"
    assert pids(net, "N1") == before[1]  # adopted as it was
    os.kill(before[1]["supervisord"], signal.SIGKILL)  # and kept as if it were its own
    until(lambda: net.status("net")["state"] == "ready" and pids(net, "N1") != before[1], "it is back")


def test_a_network_without_its_warm_parent_can_be_destroyed(net: Any) -> None:
    os.kill(warm_parent(net), signal.SIGKILL)
    net.run("destroy", "net")
    assert net.processes() == [] and list(net.home.rglob("*")) == []


def test_sigterm_to_the_warm_parent_stops_the_network(net: Any, until: Until) -> None:
    os.kill(warm_parent(net), signal.SIGTERM)
    until(lambda: not net.processes(), "nothing runs")
    net.run("start", "net")
    assert net.status("net")["state"] == "ready"


@pytest.mark.slow
def test_what_a_foreign_program_has_started_dies_with_its_supervisord(machine: Any, until: Until) -> None:
    script = machine.home.parent / "foreign.sh"
    script.write_text("#!/bin/sh\nsleep 1000 &\nexec sleep 2000\n")
    script.chmod(0o700)
    machine.run(
        "deploy", str(machine.file("net", 2, layers={"dispatcher": {"run": str(script)}})), "--timeout", "1", code=1
    )

    def sleepers() -> list[Any]:
        return [process for process in machine.processes() if process.name() == "sleep"]

    assert len(sleepers()) == 4
    before = machine.node("net", "N0")["pid"]
    gone = [process for process in sleepers() if before in {one.pid for one in process.parents()}]
    orphans = [process for process in sleepers() if process.cmdline() == ["sleep", "1000"]]
    os.kill(before, signal.SIGKILL)
    until(lambda: not any(process.is_running() and _alive(process.pid) for process in gone), "they have died")
    until(lambda: len(sleepers()) == 4, "the node is back with its own")
    machine.run("destroy", "net")
    assert machine.processes() == []
    assert len(gone) == 2 and len(orphans) == 2


def test_a_pid_that_is_another_process_now_is_not_taken_for_a_supervisord(net: Any) -> None:
    net.run("stop", "net")
    mine = os.getpid()
    (net.home / "net" / "N0" / "supervisord.pid").write_text(f"{mine}\n1\nabc\n")
    assert net.status("net")["state"] == "stopped"
    net.run("destroy", "net")  # and the test lives on to tell


@pytest.mark.slow
def test_killed_again_and_again_a_supervisord_still_comes_back(net: Any, until: Until) -> None:
    for _ in range(2):
        now = net.node("net", "N1")["pid"]
        os.kill(now, signal.SIGKILL)
        until(lambda now=now: net.node("net", "N1")["pid"] not in (None, now), "it is back")
    until(lambda: net.status("net")["state"] == "ready", "all ready")


def test_the_warm_parent_has_one_thread_and_few_open_files(running: Any) -> None:
    process = psutil.Process(warm_parent(running))
    assert process.num_threads() == 1
    assert process.num_fds() < 15
    log = (running.home / "net" / ".warm" / "warm.log").read_text().splitlines()
    assert {json.loads(line)["event"] for line in log} == {"started"}


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it may go while we look
        return False
    return stat.rsplit(")", 1)[1].split()[0] not in "ZX"
