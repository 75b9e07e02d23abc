"""Nothing is left in the machine, however a lab ends; and people can use one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tests.hosts.lab import Lab
from tests.hosts.processes import in_table, look, wait_gone

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]


def namespaces(pid: int) -> set[str]:
    return {os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("mnt", "net", "pid", "uts", "ipc")}


def in_use() -> set[str]:
    """Every namespace that some process of this machine is in."""
    found = set()
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            found |= namespaces(int(pid))
    return found


def test_nothing_is_left() -> None:
    with Lab(2) as lab:
        lab.on("h1", "setsid sleep 1000 >/dev/null 2>&1 &")
        stray = lab.start([sys.executable, "-c", "import time; time.sleep(1000)"])
        hosts = [host.pid for host in lab.hosts.values()]
        spaces = set[str]().union(*map(namespaces, hosts)) - namespaces(os.getpid())
        assert spaces <= in_use() and str(lab.folder) not in Path("/proc/self/mounts").read_text()
    assert stray.wait(5) == -signal.SIGKILL
    assert not any(look(pid) for pid in hosts) and not spaces & in_use() and not lab.folder.exists()


def test_nothing_runs_on_when_the_owner_is_killed(able: None) -> None:
    """A test process that dies without a word takes its hosts along; `clean` removes the folder that it leaves."""
    program = "from tests.hosts.lab import Lab; lab = Lab(2).up()"
    program += "; print(lab.folder, lab.hosts['h2'].pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        folder, pid = owner.stdout.readline().split()
        table = in_table(int(pid))
        assert len(table) >= 3
        owner.kill()
    wait_gone(table)
    said = subprocess.run(
        [sys.executable, "-m", "tests.hosts", "clean"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert folder in said.stdout and not Path(folder).exists()


def test_a_person_brings_a_lab_up_and_down(able: None) -> None:
    def say(*words: str, code: int = 0) -> str:
        done = subprocess.run([sys.executable, "-m", "tests.hosts", *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    folder = Path(say("up", "A", "B").split()[1].rstrip(":"))
    name = folder.name.removeprefix("qkdbus-lab.")
    try:
        assert "A" in say("status") and say("on", name, "B", "hostname") == "B\n"
        assert "ansible_host" in say("run", name, "cat", str(folder / "inventory.yaml"))
        say("crash", name, "B")
        assert "off" in say("status") and "switched off" in say("on", name, "B", "true", code=1)
        say("boot", name, "B")
        assert say("on", name, "B", "hostname") == "B\n"
    finally:
        say("down", name)
    assert not folder.exists()
