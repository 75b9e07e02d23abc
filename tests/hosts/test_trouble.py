"""Trouble on demand: what a test does to the hosts happens, and can be undone."""

from __future__ import annotations

import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from tests.hosts.fixtures import LabMaker
from tests.hosts.lab import Lab
from tests.hosts.net import CONTROLLER

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]


def test_a_cut_is_silence_until_it_heals(two: Lab) -> None:
    two.cut("A")
    assert not two.reaches(CONTROLLER, "A", patience=0.3) and not two.reaches("B", "A", patience=0.3)
    two.heal("A")
    assert two.reaches(CONTROLLER, "A") and two.reaches("B", "A")


def test_two_hosts_can_be_parted_and_still_reach_the_controller(two: Lab) -> None:
    two.cut("B", "A")
    assert (
        not two.reaches("A", "B", patience=0.3)
        and not two.reaches("B", "A", patience=0.3)
        and two.reaches(CONTROLLER, "A")
        and two.reaches(CONTROLLER, "B")
    )
    two.heal("A", "B")
    assert two.reaches("A", "B")
    two.cut("A", CONTROLLER)
    assert not two.reaches(CONTROLLER, "A", patience=0.3) and two.reaches("B", "A")
    two.heal("A", CONTROLLER)
    assert two.reaches(CONTROLLER, "A")


def test_a_firewall_closes_ports(two: Lab) -> None:
    two.firewall("A", drop=[22])
    assert not two.reaches("B", "A", patience=0.3)
    two.firewall("A", only=[22])
    with two.occupied("A", 7777):
        reach = f"import socket; socket.create_connection(({two.hosts['A'].address!r}, 7777), 0.5)"
        assert two.reaches("B", "A") and two.reaches("A", "B")
        assert two.run([sys.executable, "-c", reach]).returncode == 1
        two.firewall("A")
        assert two.run([sys.executable, "-c", reach]).returncode == 0


def test_an_occupied_port_is_taken(two: Lab) -> None:
    listen = ["python3", "-c", "import socket; socket.create_server(('', 7777))"]
    with two.occupied("A", 7777):
        assert "Address already in use" in two.on("A", listen, check=False).stderr
        two.on("B", listen)
    two.on("A", listen)


def test_loss_loses_about_as_much_as_it_is_told(two: Lab) -> None:
    """UDP to A at 30 percent each way: of 1000 sent, 700 are expected, with a deviation of 15."""
    two.loss("A", 30)
    with two.inside("A"):
        ear = socket.socket(type=socket.SOCK_DGRAM)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        ear.bind(("", 5555))
    with two.inside("B"):
        mouth = socket.socket(type=socket.SOCK_DGRAM)
    with ear, mouth:
        arrived = 0
        ear.settimeout(0.3)
        for _ in range(1000):
            mouth.sendto(b"x", (two.hosts["A"].address, 5555))
        with suppress(TimeoutError):
            while ear.recv(9):
                arrived += 1
    two.loss("A", 0)
    assert 600 < arrived < 800


def test_a_rate_can_be_set_and_taken_off(two: Lab) -> None:
    two.rate("A", 8)
    assert (
        "tbf" in two.on("A", "tc qdisc show dev eth0").stdout
        and "8Mbit" in two.on("A", "tc qdisc show dev eth0").stdout
    )
    assert "8Mbit" in two.run(["tc", "qdisc", "show", "dev", two.hosts["A"].cable]).stdout
    two.rate("A", 0)
    assert "tbf" not in two.on("A", "tc qdisc show dev eth0").stdout + two.run(["tc", "qdisc", "show"]).stdout


def test_a_disk_fills(new_lab: LabMaker) -> None:
    lab = new_lab(1, disk_mb=32)
    lab.fill_disk("h1", leave_kb=64)
    write = "head -c 200000 /dev/zero > /home/qkd/more"
    assert "No space left" in lab.on("h1", write, check=False).stderr
    lab.clear_disk("h1")
    lab.on("h1", write)


def test_a_long_cable_takes_its_time_and_carries_all(two: Lab) -> None:
    """30 ms each way: no connection before 60 ms; and what is sent arrives as it was, also fast."""
    two.delay("A", 30)
    with two.inside("A"):
        door = socket.create_server(("", 7000))
    begin = time.monotonic()
    with two.inside():
        mouth = socket.create_connection((two.hosts["A"].address, 7000))
    assert time.monotonic() - begin >= 0.06
    ear = door.accept()[0]
    sent = os.urandom(4 << 20)
    with door, mouth, ear, ThreadPoolExecutor() as pool:
        for one, other in ((mouth, ear), (ear, mouth)):
            sending = pool.submit(one.sendall, sent)
            assert other.recv(len(sent), socket.MSG_WAITALL) == sent
            sending.result()
    two.delay("A", 0)
    assert two.reaches("A", "B") and "far" not in two.run(["ip", "link"]).stdout


def test_trouble_outlasts_a_reboot(two: Lab) -> None:
    """A long, slow, cut cable is so too when the host is back; and a host that is off has no cable at all."""
    two.delay("B", 1, jitter_ms=1)
    two.rate("B", 10)
    two.cut("B")
    two.crash("B")
    links = two.run(["ip", "link"]).stdout
    assert not any(name in links for name in (two.hosts["B"].cable, two.hosts["B"].near, two.hosts["B"].far))
    two.boot("B")
    assert not two.reaches("A", "B", patience=0.3) and "10Mbit" in two.on("B", "tc qdisc show dev eth0").stdout
    two.heal("B")
    assert two.reaches("A", "B") and two.hosts["B"].relay
    two.rate("B", 0)
    two.delay("B", 0)
    assert two.reaches("A", "B")
