"""Hosts on which systemd runs as process 1, as on most machines of today: services, a system bus, logins, ssh."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from . import processes
from .lab import Lab

SYSTEMD = Path("/lib/systemd/systemd")
NEEDED = (SYSTEMD, Path("/usr/bin/dbus-daemon"), Path("/lib/systemd/system/ssh.service"))

# In the host's own file system and network; the process tables, mounts and control groups are another's once more.
_BOOT = r"""
set -e
mkdir -p /mnt/groups
mount -t cgroup2 cgroup2 /mnt/groups
mkdir -p "/mnt/groups/$1"
echo $$ >"/mnt/groups/$1/cgroup.procs"
umount /mnt/groups
exec unshare -mpuiCf --kill-child=KILL sh -ec '
    mount -t proc proc /proc
    for folder in /run /tmp; do umount -l $folder; done
    mount -t tmpfs -o mode=755 tmpfs /run
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target
'
"""
# What this machine itself runs at boot is no concern of a host; sshd is.
_PREPARE = """
kill "$(cat /run/sshd.pid)"
rm -rf /etc/rc?.d /etc/systemd/system/*.wants
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -s /lib/systemd/system/ssh.service /etc/systemd/system/multi-user.target.wants/
sed -i 's/^UsePAM no/UsePAM yes/' /etc/ssh/sshd_config
"""


def missing() -> str:
    """Why this machine cannot show systemd on its hosts, and how to mend it; "" when it can."""
    lacks = [str(path) for path in NEEDED if not path.exists()]
    return f"no {', '.join(lacks)}: apt-get install systemd dbus polkitd libpam-systemd openssh-server" if lacks else ""


class Machine:
    """A host of a lab, with systemd."""

    def __init__(self, lab: Lab, name: str) -> None:
        self._lab, self.name = lab, name
        self._process: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Switch it on; returns when it lets people log in."""
        host = self._lab.hosts[self.name]
        enter = ["nsenter", f"--target={host.pid}", "--mount", "--pid", "--net", "--uts", "--ipc"]
        command = [*enter, "sh", "-c", _BOOT, "boot", f"qkdbus-lab.{host.address}"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
        ends = time.monotonic() + 60
        while self.run("systemctl is-system-running --wait", check=False).strip() not in ("running", "degraded"):
            assert time.monotonic() < ends, "systemd does not come up"
            time.sleep(0.1)

    def crash(self) -> None:
        """Pull the plug: everything dies, and what was in /run and /tmp is gone. The disk stays."""
        if self._process is not None:
            family = [process.pid for process in psutil.Process(self._process.pid).children(recursive=True)]
            processes.end(family)
            processes.wait_gone(family, 20.0)
            self._process.wait(20.0)
            self._process = None

    def run(self, command: str, user: str = "root", check: bool = True) -> str:
        """Run a command over ssh, in a session of its own; return what it said."""
        address = self._lab.hosts[self.name].address
        ssh = ["ssh", "-o", "ConnectTimeout=5", "-i", self._lab.key, f"{user}@{address}", command]
        done = self._lab.run(ssh)
        assert done.returncode == 0 or not check, f"{command}: code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@contextmanager
def systemd(lab: Lab, name: str) -> Iterator[Machine]:
    """Have systemd run on a host of a lab."""
    lab.on(name, _PREPARE)
    machine = Machine(lab, name)
    machine.boot()
    try:
        yield machine
    finally:
        machine.crash()
