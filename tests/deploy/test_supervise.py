"""One node's supervisord by itself, as it runs on a host: its pace, its log rotation, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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


@pytest.fixture
def supervisord(machine: Any, node: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "qkdbus_deploy.supervise", str(node)]
    process = subprocess.Popen(command, env=machine.environment, cwd=machine.home)
    yield process
    process.terminate()
    process.wait(10)


def test_programs_start_without_the_second_that_supervisor_waits(
    node: Path, supervisord: subprocess.Popen[bytes], until: Until
) -> None:
    until(lambda: pidfile.read(node), "it runs")
    began = time.time()
    until(lambda: (node / "logs" / "talker.log").exists(), "the first program writes")
    assert time.time() - began < 0.6


def test_a_dead_program_is_started_again_at_once_and_idle_costs_nothing(
    node: Path, supervisord: subprocess.Popen[bytes], until: Until
) -> None:
    until(lambda: (node / "run" / "supervisor.sock").exists(), "it listens")
    control = Supervisord(node / "run")
    until(lambda: control.programs()["sleeper"].state == "running", "past its first second")
    process = psutil.Process(supervisord.pid)
    before = process.cpu_times()
    time.sleep(1)
    after = process.cpu_times()
    assert after.user + after.system - before.user - before.system <= 0.02
    sleeper = control.programs()["sleeper"].pid
    os.kill(sleeper, signal.SIGKILL)
    took = until(lambda: any(c.name() == "sleep" and c.pid != sleeper for c in process.children()), "a new one")
    assert took < 0.5
    found = control.programs()["sleeper"]
    assert found.starts == 2 and found.pid != sleeper


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
