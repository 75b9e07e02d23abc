"""The lab's network as text for `ip`, `tc` and `nft`: one bridge, a cable to each host, and what can go wrong on it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

CONTROLLER = "controller"
SUBNETS = 64 * 256
"""How many labs can have a subnet of their own: 10.64.0.0/24 to 10.127.255.0/24."""
MOST_HOSTS = 240

_CLONE_NEWNET = 0x40000000


@dataclass
class Host:
    """One host: who it is, whether it runs, and what is done to its cable and its doors."""

    name: str
    index: int
    """From 1 on."""
    address: str
    pid: int = 0
    """Its process 1 as the machine numbers it; 0 when it is switched off."""
    cut: bool = False
    loss: float = 0.0
    """Percent of the packets lost, each way."""
    rate: float = 0.0
    """Mbit/s each way; 0: as fast as it goes."""
    delay: float = 0.0
    """Milliseconds more, each way."""
    jitter: float = 0.0
    relay: int = 0
    """The process that carries its packets when its cable is long."""
    dropped: list[int] = field(default_factory=list)
    """TCP ports that its firewall drops."""
    only: list[int] | None = None
    """When set: the only TCP ports that its firewall lets in."""

    @property
    def cable(self) -> str:
        """The bridge's end of its cable."""
        return f"cable{self.index}"

    @property
    def near(self) -> str:
        """Of a long cable: the relay's device towards the bridge."""
        return f"near{self.index}"

    @property
    def far(self) -> str:
        """Of a long cable: the relay's device towards the host."""
        return f"far{self.index}"


def prefix(number: int) -> str:
    """The first three octets of a lab's subnet."""
    return f"10.{64 + number // 256}.{number % 256}"


def address(number: int, index: int) -> str:
    """The address of a host (from 1 on) or of the controller (0)."""
    return f"{prefix(number)}.{10 + index if index else 1}"


def bridge(number: int) -> str:
    """`ip -batch` text: the bridge, in the controller's namespace; no way leads out of it."""
    own = address(number, 0)
    made = f"link set lo up\nlink add bridge0 address {_mac(own)} type bridge\n"
    return made + f"addr add {own}/24 dev bridge0\nlink set bridge0 up\n"


def plug(hosts: Iterable[Host]) -> str:
    """`ip -batch` text: a cable from the bridge into the namespace of each host's process."""
    lines = []
    for host in hosts:
        peer = f"peer name eth0 address {_mac(host.address)} netns {host.pid}"
        lines.append(f"link add {host.cable} type veth {peer}")
        lines.append(f"link set {host.cable} master bridge0 up")
    return "\n".join(lines) + "\n"


def split(host: Host) -> str:
    """`ip -batch` text: a cable in two parts, for a relay between `far` and `near`. The bridge's end keeps its name.

    No ARP on the relay's devices: the kernel would answer there for the controller, and what follows pass the relay by.
    """
    cable, near, far = host.cable, host.near, host.far
    old = f"link set {cable} down\nlink set {cable} nomaster\nlink set {cable} name {far}\nlink set {far} arp off up\n"
    new = f"link add {cable} type veth peer name {near}\nlink set {near} arp off up\n"
    return old + new + f"link set {cable} master bridge0 up\n"


def join(host: Host) -> str:
    """`ip -batch` text: undo split()."""
    cable, far = host.cable, host.far
    old = f"link del {cable}\nlink set {far} down\nlink set {far} name {cable}\n"
    return old + f"link set {cable} arp on master bridge0 up\n"


def shape(device: str, rate: float) -> list[str]:
    """The `tc` command that limits what leaves a device to `rate` Mbit/s, or (0) takes the limit off."""
    if not rate:
        return ["tc", "qdisc", "del", "dev", device, "root"]
    limit = f"root tbf rate {rate}mbit burst 256kb latency 100ms"
    return ["tc", "qdisc", "replace", "dev", device, *limit.split()]


def bridge_rules(hosts: Collection[Host], apart: Iterable[tuple[str, str]]) -> str:
    """`nft -f` text, all of it each time: cut cables, loss, and pairs that do not hear each other.

    A cut is silence (packets vanish, also ARP), as of a fibre dug up far away: neither end is told.
    """
    forward, to_us, from_us = [], [], []
    for host in hosts:
        dice = f"numgen random mod 10000 < {round(host.loss * 100)} "
        for what in ["drop"] * host.cut + [dice + "drop"] * (host.loss > 0):
            forward += [f"iifname {host.cable} {what}", f"oifname {host.cable} {what}"]
            to_us.append(f"iifname {host.cable} {what}")
            from_us.append(f"oifname {host.cable} {what}")
    cables = {host.name: host.cable for host in hosts}
    for one, other in apart:
        if CONTROLLER in (one, other):
            cable = cables[other if one == CONTROLLER else one]
            to_us.append(f"iifname {cable} drop")
            from_us.append(f"oifname {cable} drop")
        else:
            forward.append(f"iifname {cables[one]} oifname {cables[other]} drop")
            forward.append(f"iifname {cables[other]} oifname {cables[one]} drop")
    return _table("bridge", {"forward": forward, "input": to_us, "output": from_us})


def firewall_rules(host: Host) -> str:
    """`nft -f` text, all of it each time: which TCP ports of the host are closed. Closed is silent, not refused."""
    rules = ["iifname lo accept"]
    if host.dropped:
        rules.append(f"tcp dport {_set(host.dropped)} drop")
    if host.only is not None:
        beginning = "tcp flags & (syn | ack) == syn"  # connections that the host itself has opened go on
        rules.append(f"{beginning} tcp dport != {_set(host.only)} drop" if host.only else f"{beginning} drop")
    return _table("inet", {"input": rules})


def _mac(address: str) -> str:
    return "02:00:" + ":".join(f"{int(octet):02x}" for octet in address.split("."))


def _set(ports: Iterable[int]) -> str:
    return "{ " + ", ".join(str(port) for port in sorted(set(ports))) + " }"


def _table(family: str, chains: dict[str, list[str]]) -> str:
    """One transaction: (make,) delete and make again, so that there is no moment without rules."""
    text = f"table {family} lab\ndelete table {family} lab\ntable {family} lab {{\n"
    for hook, rules in chains.items():
        text += f"chain {hook} {{ type filter hook {hook} priority 0; policy accept;\n" + "\n".join(rules) + "\n}\n"
    return text + "}\n"


@contextmanager
def inside(pid: int) -> Iterator[None]:
    """Put this thread into the network of a process; sockets and threads made here stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    home, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)

    def enter(where: int) -> None:
        if libc.setns(where, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    try:
        enter(there)
        try:
            yield
        finally:
            enter(home)
    finally:
        os.close(there)
        os.close(home)
