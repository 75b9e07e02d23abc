"""One node's supervisord by itself, as it runs on a host: its pace, its log rotation, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from qkdbus_deploy import pidfile
from qkdbus_deploy.control import Supervisord
from qkdbus_deploy.inplace import InPlace

Until = Callable[..., float]
HEAD = """[supervisord]
nodaemon=true
silent=true
directory={node}
logfile={node}/logs/supervisord.log
[unix_http_server]
file={node}/run/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[program:sleeper]
command=sleep 1000
stopasgroup=true
[program:talker]
command=sh -c "for i in $(seq 99); do echo {words}; sleep 0.001; done; exec sleep 99"
redirect_stderr=true
stdout_logfile={node}/logs/talker.log
stdout_logfile_maxbytes=2000
stdout_logfile_backups=2
"""


@pytest.fixture
def node(machine: Any) -> Path:
    folder = Path(machine.home) / "N"
    for name in ("run", "logs"):
        (folder / name).mkdir(parents=True)
    (folder / "supervisord.conf").write_text(HEAD.format(node=folder, words="x" * 99))
    return folder


@contextmanager
def running(machine: Any, node: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "qkdbus_deploy.supervise", str(node)]
    process = subprocess.Popen(command, env=machine.environment, cwd=machine.home)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def supervisord(machine: Any, node: Path) -> Iterator[subprocess.Popen[bytes]]:
    with running(machine, node) as process:
        yield process


def best(measure: Callable[[], float], good: float) -> float:
    """Measure until it is good, five times at most: a machine that is busy makes some slow, a fault makes all so."""
    found = measure()
    for _ in range(4):
        if found > good:
            found = min(found, measure())
    return found


def test_programs_start_without_the_second_that_supervisor_waits(machine: Any, node: Path, until: Until) -> None:
    def start() -> float:
        for file in (node / "logs").glob("talker.log*"):
            file.unlink()
        with running(machine, node):
            until(lambda: pidfile.read(node), "it runs")
            began = time.time()
            until(lambda: (node / "logs" / "talker.log").exists(), "the first program writes")
            return time.time() - began

    assert best(start, 0.6) < 0.9


def sleepers(supervisord: psutil.Process) -> Iterator[int]:
    for child in supervisord.children():
        with suppress(psutil.NoSuchProcess):  # one may end while it is looked at
            if child.name() == "sleep":
                yield child.pid


def test_a_dead_program_is_started_again_at_once_and_idle_costs_nothing(
    node: Path, supervisord: subprocess.Popen[bytes], until: Until
) -> None:
    until(lambda: (node / "run" / "supervisor.sock").exists(), "it listens")
    control = Supervisord(node / "run")
    process = psutil.Process(supervisord.pid)

    def until_it_runs() -> int:
        until(lambda: control.programs()["sleeper"].state == "running", "past its first second")
        return control.programs()["sleeper"].pid

    def idle() -> float:
        before = process.cpu_times()
        time.sleep(1)
        after = process.cpu_times()
        return after.user + after.system - before.user - before.system

    killed = []

    def kill() -> float:
        killed.append(until_it_runs())
        os.kill(killed[-1], signal.SIGKILL)
        return until(lambda: set(sleepers(process)) - set(killed), "a new one")

    until_it_runs()
    assert best(idle, 0.02) <= 0.02
    assert best(kill, 0.5) < 0.9
    found = control.programs()["sleeper"]
    assert found.starts == 1 + len(killed) and found.pid not in killed


def test_what_programs_write_is_rotated(node: Path, supervisord: subprocess.Popen[bytes], until: Until) -> None:
    until(lambda: (node / "logs" / "talker.log.2").exists(), "two rotations")
    assert not (node / "logs" / "talker.log.3").exists()


def test_a_second_supervisord_of_a_node_gives_way(
    machine: Any, node: Path, supervisord: subprocess.Popen[bytes], until: Until
) -> None:
    until(lambda: pidfile.read(node), "it runs")
    command = [sys.executable, "-m", "qkdbus_deploy.supervise", str(node)]
    second = subprocess.run(command, env=machine.environment, capture_output=True, text=True, timeout=20)
    assert second.returncode == 1 and f"runs already, pid {supervisord.pid}" in second.stderr


def test_its_end_is_the_end_of_its_programs(
    machine: Any, node: Path, supervisord: subprocess.Popen[bytes], until: Until
) -> None:
    until(lambda: len(machine.processes()) == 3, "both programs run")
    supervisord.kill()
    until(lambda: not machine.processes(), "all have died")


def test_only_our_own_command_lines_run_in_place() -> None:
    python = sys.executable
    found = InPlace.of([python, "-m", "qkdbus_qbackend", "/x/Alice", "--replica", "3"])
    assert found is not None and (found.layer, found.replica, found.directory) == ("qbackend", 3, Path("/x/Alice"))
    assert InPlace.of([python, "-m", "qkdbus_keysync", "/x/Alice"]) is not None
    for foreign in (
        [python, "-m", "mylab_keysync", "/x/Alice"],
        [python, "-m", "qkdbus_keysync", "/x/Alice", "--verbose"],
        [python, "-m", "qkdbus_keysync", "/x/Alice", "--replica", "-1"],
        ["/bin/true", "-m", "qkdbus_keysync", "/x/Alice"],
        [python, "service.py", "/x/Alice", "3"],
    ):
        assert InPlace.of(foreign) is None
