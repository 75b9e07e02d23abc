"""What starts nodes again after a reboot: the unit that systemd is given, and a start when all in /run is gone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qkdbus_deploy import boot, kernel, launch, pidfile, wishes
from qkdbus_deploy.boot import Boot, Systemd
from qkdbus_deploy.launch import Launch

Until = Callable[..., float]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A network of one node on disk, that is wanted."""
    folder = tmp_path / "home" / "net"
    (folder / "N0").mkdir(parents=True)
    (folder / "N0" / "node.yaml").write_text("")
    wishes.write_wanted(folder, {"N0": "abc"})
    return folder


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of units of a systemd that has just come up; no other is touched."""
    folder = tmp_path / "units"
    monkeypatch.setattr(boot, "SYSTEM_UNITS", folder)
    monkeypatch.setattr(boot, "USER_UNITS", folder)  # absolute: stands wherever the home is
    monkeypatch.setattr(boot, "SYSTEMD", tmp_path)
    return folder


def systemd(units: Path, **more: Any) -> Callable[[], Systemd]:
    return lambda: Systemd(units, ("systemctl",), "multi-user.target", **more)


class Orders(list[str]):
    """What systemd was told; it fails those that begin with one of `failing`."""

    def __init__(self, *failing: str) -> None:
        super().__init__()
        self._failing = failing

    def __call__(self, command: list[str]) -> str:
        self.append(" ".join(command[:2]))
        return "it did not want to" if command[1] in self._failing else ""


def test_a_unit_starts_the_warm_parent_with_what_the_agent_has(network: Path) -> None:
    text = boot.unit_text(network, "default.target", {"PYTHONPATH": "/a:/b", "PATH": "/bin", "SSH_CLIENT": "10.0.0.1"})
    lines = text.splitlines()
    [command] = [line for line in lines if line.startswith("ExecStart=")]
    assert command.endswith(f'"-m" "qkdbus_deploy.warm" "{network}"') and f'"{sys.executable}"' in command
    assert 'Environment="PYTHONPATH=/a:/b"' in lines and 'Environment="OPENBLAS_NUM_THREADS=1"' in lines
    assert "SSH_CLIENT" not in text
    assert {"KillMode=process", "Restart=on-failure", "WantedBy=default.target"} <= set(lines)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_understands_a_unit(tmp_path: Path) -> None:
    text = boot.unit_text(Path('/srv/a "b" 100% $HOME/net'), "multi-user.target", {"PATH": "/bin", "TMPDIR": 'x"y%\\z'})
    file = tmp_path / "qkdbus-net.service"
    file.write_text(text)
    found = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, timeout=60)
    about_us = [line for line in found.stderr.splitlines() if file.name in line]
    assert not about_us


def test_networks_of_one_name_in_two_homes_have_two_units(tmp_path: Path) -> None:
    usual = Path.home() / ".qkdbus" / ".nodes" / "net"
    assert boot.unit_name(usual) == "qkdbus-net.service"
    others = {boot.unit_name(tmp_path / home / "net") for home in "ab"}
    assert len(others | {"qkdbus-net.service"}) == 3


def test_a_network_that_runs_gets_a_unit_and_one_that_is_gone_has_none(network: Path, units: Path) -> None:
    orders = Orders()
    Boot(network, systemd(units), orders).settle()
    name = boot.unit_name(network)
    assert orders == ["systemctl daemon-reload"]
    assert (units / "multi-user.target.wants" / name).resolve() == (units / name).resolve()
    Boot(network, systemd(units), orders).settle()
    assert len(orders) == 1  # nothing new to read
    shutil.rmtree(network)
    Boot(network, systemd(units), Orders()).settle()
    assert [path for path in units.rglob("*") if not path.is_dir()] == []


def test_other_software_is_another_unit(network: Path, units: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Boot(network, systemd(units), Orders()).settle()
    monkeypatch.setenv("PYTHONPATH", "/another/version")
    orders = Orders()
    Boot(network, systemd(units), orders).settle()
    assert orders == ["systemctl daemon-reload"]
    assert "/another/version" in (units / boot.unit_name(network)).read_text()


def test_the_warm_parent_is_started_by_systemd(network: Path, units: Path) -> None:
    orders = Orders()
    Boot(network, systemd(units), orders).launch().hand_over(network, ())
    assert orders == ["systemctl daemon-reload", "systemctl start"]


def test_what_keeps_nodes_from_coming_back_is_said(network: Path, units: Path) -> None:
    without = Boot(network, lambda: None, Orders())
    without.settle()
    assert "no systemd" in without.notes[0] and "qkdbus start net" in without.notes[0]
    refused = Boot(network, systemd(units, lingers="loginctl enable-linger qkd"), Orders())
    refused.settle()
    assert "loginctl enable-linger qkd" in refused.notes[0]
    assert not units.exists()
    for one in (without, refused):
        starter = one.launch()
        assert isinstance(starter, Launch)
        starter.abandon()


def test_a_systemd_that_takes_no_units_keeps_nobody_from_deploying(network: Path, units: Path) -> None:
    units.write_text("not a folder")
    warm = Boot(network, systemd(units), Orders())
    assert not warm.start()
    warm.settle()
    [note] = warm.notes
    assert "cannot be installed" in note and "not start at a reboot" in note


def test_a_unit_that_systemd_did_not_read_is_shown_to_it_again(network: Path, units: Path) -> None:
    refused = Boot(network, systemd(units), Orders("daemon-reload"))
    assert not refused.start() and "it did not want to" in refused.notes[0]
    orders = Orders()
    assert Boot(network, systemd(units), orders).start()
    assert orders == ["systemctl daemon-reload", "systemctl start"]


def test_a_process_of_another_boot_is_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pidfile.write(tmp_path, "abc")
    assert pidfile.read(tmp_path) is not None
    monkeypatch.setattr(kernel, "boot_name", lambda: "the next one")
    assert pidfile.read(tmp_path) is None


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A /run/user/... of our own, with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="run-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.mark.slow
def test_a_warm_parent_in_the_foreground_brings_back_what_a_reboot_took(
    deep_machine: Any, runtime: Path, until: Until
) -> None:
    """As after a reboot: no process, no folder of sockets."""
    machine = deep_machine
    machine.deploy("net")
    folder = machine.home / "net"
    before = launch.running(folder)
    roots = runtime / "qkdbus"
    assert len(list(roots.iterdir())) == 2
    for process in machine.processes():
        process.send_signal(signal.SIGKILL)
    until(lambda: not machine.processes(), "all are dead")
    shutil.rmtree(roots)
    command = [sys.executable, "-X", "no_debug_ranges", "-m", "qkdbus_deploy.warm", str(folder)]
    environment = {**machine.environment, "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    until(lambda: launch.running(folder) == before, "its nodes are back", 20.0)
    until(lambda: machine.status("net")["state"] == "ready", "they are ready", 20.0)
    assert machine.status("net")["warm_parent"] == process.pid
    assert {path.stat().st_mode & 0o777 for path in (roots, *roots.iterdir())} == {0o700}
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(20) == 0
    assert not launch.running(folder) and wishes.wanted(folder) == before  # so that the next boot starts them
