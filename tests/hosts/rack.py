"""The machinery of a lab: its keeper, and hosts that are installed, switched on and off.

Everything of a lab lives below one process, its keeper: the first process of a process table of its own, which ends
when the lab's owner does. With it the kernel ends all hosts and takes back their networks and file systems, also when
the owner was killed. What may be left then is one small folder in the temp directory (`python -m tests.hosts clean`).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import net, processes
from .cables import Cables
from .disk import format_disk
from .folder import Folder, Record
from .net import CONTROLLER, Host

HOST = Path(__file__).with_name("host.sh")

# It says the number the machine knows it by: /proc is the machine's here, only the numbering of processes is new.
_KEEPER = """
read -r pid _ </proc/self/stat
mount -t tmpfs -o mode=755 tmpfs "$1/disks"
mount --bind "$1/passwd" /etc/passwd
echo "$pid"
"""
_STAY = "exec sleep 2147483647 </dev/null >/dev/null 2>&1"
_LEAVE = "exec cat >/dev/null"  # ends when the last writer of its stdin ends: the lab's owner


class Rack(Cables):
    """Hosts with power switches. (Lab is what tests use.)

    Attributes:
        key: the private key that lets root and qkd in.
        home: the controller's.
    """

    def __init__(self, folder: Folder, record: Record) -> None:
        super().__init__(folder, record)
        self.key, self.home = folder.path / "id_ed25519", folder.home
        self._launched: dict[str, subprocess.Popen[str]] = {}

    # -- all of it ---------------------------------------------------------------------------------------------------

    def _up(self) -> None:
        try:
            self._start_keeper()
            for host in self.hosts.values():
                self._install(host)
            self._power_on([host for host in self.hosts.values() if host.name not in self._record.off])
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Take all down, in whatever state it is; again is harmless."""
        keeper = self._record.keeper
        if self._folder.is_up():
            members = processes.in_table(keeper)
            strays = processes.in_network(keeper) - members  # what the controller's commands left running
            processes.end([keeper, *strays])
            processes.wait_gone([*members, *strays])
        for process in [*self._launched.values(), *self._relays.values()]:
            processes.bury(process)
        self._launched.clear()
        self._relays.clear()
        self._record.keeper = 0
        self._folder.remove()

    def _start_keeper(self) -> None:
        """The keeper has the controller's network, and the mounts in which the disks are."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-C", "lab", "-N", "", "-f", self.key], check=True)
        script = "set -e" + _KEEPER + (_STAY if self._record.stay else _LEAVE)
        words = ["unshare", "-mpnf", "--kill-child=KILL", "sh", "-c", script, "keeper", str(self.folder)]
        log = self.folder / "keeper.log"
        self._launched[CONTROLLER] = keeper = processes.launch(words, log)
        self._record.keeper = int(processes.hear(keeper, log))
        self._save()
        self._ip(net.bridge(self._folder.number))

    # -- each of them ------------------------------------------------------------------------------------------------

    def crash(self, name: str) -> None:
        """Pull the plug: silence on the cable first (no goodbye to anybody), then all it runs dies. The disk stays."""
        host = self.hosts[name]
        if not host.pid:
            return
        was_cut, host.cut = host.cut, True
        self._apply_bridge()
        members = processes.in_table(host.pid)
        processes.end([host.pid])
        processes.wait_gone(members)
        if launched := self._launched.pop(name, None):
            processes.bury(launched)
        host.pid, host.cut = 0, was_cut
        self._unplug(host)
        self._apply_bridge()

    def boot(self, name: str) -> None:
        """Switch a host on again: its disk and host key as they were, /run and /tmp empty, a fresh network stack."""
        if not self.hosts[name].pid:
            self._power_on([self.hosts[name]])

    def reboot(self, name: str) -> None:
        """Crash and boot."""
        self.crash(name)
        self.boot(name)

    def reset(self, name: str) -> None:
        """Wipe and boot."""
        self.wipe(name)
        self.boot(name)

    def wipe(self, name: str) -> None:
        """Switch off and install anew: an empty disk, another host key (told to the controller)."""
        self.crash(name)
        for part in self._disk(name).iterdir():
            shutil.rmtree(part)
        self._install(self.hosts[name])
        self._save()

    def _disk(self, name: str) -> Path:
        """A host's disk, through the keeper's mounts."""
        return Path(f"/proc/{self._record.keeper}/root{self._folder.disks}/{name}")

    def _install(self, host: Host) -> None:
        disk = self._disk(host.name)
        disk.mkdir(exist_ok=True)
        if (size := self._record.disks_mb.get(host.name)) and disk.stat().st_dev == disk.parent.stat().st_dev:
            options = f"size={size}m,mode=755"
            mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self._folder.disks / host.name)]
            subprocess.run(["nsenter", f"--mount=/proc/{self._record.keeper}/ns/mnt", *mount], check=True)
        names = "".join(f"{other.address} {other.name}\n" for other in self.hosts.values())
        names = f"127.0.0.1 localhost\n{self.address} {CONTROLLER}\n{names}"
        public = self.key.with_suffix(".pub").read_text()
        python = self._record.pythons[host.name]
        key = format_disk(disk / "upper", host.name, names, public, Path(python) if python else None)
        self._record.host_keys[host.name] = key

    def _power_on(self, hosts: Sequence[Host]) -> None:
        """Start hosts, all at once: they mount and wait; then come the cables; then they configure and start sshd."""
        keeper = f"/proc/{self._record.keeper}/ns"
        enter = ["nsenter", f"--mount={keeper}/mnt", f"--pid={keeper}/pid"]
        apart = ["unshare", "-mpuinf", "--kill-child=KILL"]
        for host in hosts:
            python = self._record.pythons[host.name]
            start = ["sh", str(HOST), host.name, str(self._folder.disks / host.name), "" if python == "/" else python]
            self._launched[host.name] = processes.launch([*enter, *apart, *start], self._log(host))
        for host in hosts:
            host.pid = int(processes.hear(self._launched[host.name], self._log(host)))
        self._plug(hosts)
        for host in hosts:
            processes.tell(self._launched[host.name], f"{host.address}/24")
        for host in hosts:
            processes.hear(self._launched[host.name], self._log(host))
        self._save()

    def _log(self, host: Host) -> Path:
        return self.folder / f"{host.name}.log"
