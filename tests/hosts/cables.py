"""The cables of a lab and what can be done to them: cut, lossy, slow, long; and the hosts' firewalls."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import net, processes
from .folder import Folder, Record
from .net import CONTROLLER, Host

_RELAY = Path(__file__).with_name("relay.py")


class Cables:
    """Hosts on a bridge. What is set for a host that is switched off holds when it boots.

    Attributes:
        hosts: by name, in order.
        folder: the lab's own folder, for inventories and the like.
        address: the controller's.
    """

    def __init__(self, folder: Folder, record: Record) -> None:
        self.folder = folder.path
        self.hosts = {host.name: host for host in record.hosts}
        self.address = net.address(folder.number, 0)
        self._folder, self._record = folder, record
        self._relays: dict[str, subprocess.Popen[str]] = {}

    def cut(self, host: str, other: str | None = None) -> None:
        """Silence on a host's cable, or only between two (one may be "controller"); nobody is told."""
        if other is None:
            self.hosts[host].cut = True
        elif (pair := self._pair(host, other)) not in self._record.apart:
            self._record.apart.append(pair)
        self._apply_bridge()

    def heal(self, host: str, other: str | None = None) -> None:
        """Undo the same cut."""
        if other is None:
            self.hosts[host].cut = False
        elif (pair := self._pair(host, other)) in self._record.apart:
            self._record.apart.remove(pair)
        self._apply_bridge()

    def loss(self, host: str, percent: float) -> None:
        """Lose this share of a host's packets, each way; 0: none."""
        self.hosts[host].loss = percent
        self._apply_bridge()

    def rate(self, host: str, mbit: float) -> None:
        """Limit a host's cable to so many Mbit/s each way; 0: no limit."""
        self.hosts[host].rate = mbit
        self._apply_rate(self.hosts[host])
        self._save()

    def delay(self, host: str, ms: float, jitter_ms: float = 0.0) -> None:
        """Make a host's cable so long that a packet needs `ms` (up to `jitter_ms` more) each way; 0: short again.

        From the controller and back that is twice `ms`; between two hosts with it, four times. The order is kept.
        """
        self._shorten(self.hosts[host])
        self.hosts[host].delay, self.hosts[host].jitter = ms, jitter_ms
        self._lengthen(self.hosts[host])
        self._save()

    def firewall(self, host: str, drop: Sequence[int] = (), only: Sequence[int] | None = None) -> None:
        """Set a host's firewall: TCP ports that it drops, or the only ones that it lets in. Without either: open."""
        self.hosts[host].dropped, self.hosts[host].only = list(drop), None if only is None else list(only)
        self._apply_firewall(self.hosts[host])
        self._save()

    # -- for the rack ------------------------------------------------------------------------------------------------

    def _plug(self, hosts: Sequence[Host]) -> None:
        """Cables to hosts that have just been switched on, as long, slow and lossy as they were."""
        self._ip(net.plug(hosts))
        for host in hosts:
            if host.dropped or host.only is not None:
                self._apply_firewall(host)
            if host.delay or host.jitter:
                self._lengthen(host)
            elif host.rate:
                self._apply_rate(host)
        self._apply_bridge()

    def _unplug(self, host: Host) -> None:
        """The cable of a host that is no more."""
        self._end_relay(host)
        # It goes with the host's network, but some time soon, and a new one needs the names now.
        for device in (host.cable, host.far):
            self._in_network(["ip", "link", "del", device], check=False)

    def _apply_bridge(self) -> None:
        """Cuts, losses, pairs apart."""
        self._in_network(["nft", "-f", "-"], net.bridge_rules(self.hosts.values(), self._record.apart))
        self._save()

    def _apply_firewall(self, host: Host) -> None:
        if host.pid:
            self._in_network(["nft", "-f", "-"], net.firewall_rules(host), host.pid)

    def _apply_rate(self, host: Host) -> None:
        if host.pid:
            for pid, device in ((self._record.keeper, host.cable), (host.pid, "eth0")):
                self._in_network(net.shape(device, host.rate), pid=pid, check=bool(host.rate))  # none to take off: fine

    def _lengthen(self, host: Host) -> None:
        """Cut the cable in two and put a relay between the parts. (`rate` is set anew: it belongs to a part.)"""
        if host.pid and (host.delay or host.jitter):
            self._ip(net.split(host))
            seconds = [str(host.delay / 1000), str(host.jitter / 1000)]
            keeper = f"/proc/{self._record.keeper}/ns"
            enter = ["nsenter", f"--net={keeper}/net", f"--pid={keeper}/pid"]
            log = self.folder / f"{host.name}.relay.log"
            relay = processes.launch([*enter, sys.executable, str(_RELAY), host.far, host.near, *seconds], log)
            host.relay = int(processes.hear(relay, log))
            self._relays[host.name] = relay
        self._apply_rate(host)

    def _shorten(self, host: Host) -> None:
        if host.relay:
            self._end_relay(host)
            self._ip(net.join(host))

    def _end_relay(self, host: Host) -> None:
        if host.relay:
            processes.end([host.relay])
            processes.wait_gone([host.relay])
            host.relay = 0
        if relay := self._relays.pop(host.name, None):
            processes.bury(relay)

    def _ip(self, lines: str) -> None:
        self._in_network(["ip", "-batch", "-"], lines)

    def _in_network(self, command: Sequence[str], say: str = "", pid: int = 0, check: bool = True) -> None:
        """Run `ip`, `nft` or `tc` in the network of a process, the controller's if not said."""
        enter = ["nsenter", f"--net=/proc/{pid or self._record.keeper}/ns/net"]
        done = subprocess.run([*enter, *command], input=say, capture_output=True, text=True)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}\n{say}")

    def _save(self) -> None:
        self._folder.save(self._record)

    def _pair(self, one: str, other: str) -> tuple[str, str]:
        for name in (one, other):
            if name != CONTROLLER and name not in self.hosts:
                raise KeyError(name)
        return (one, other) if one < other else (other, one)
