"""The doctor finds faults that were planted, says how to mend each, and finds none where all is well."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qkdbus_deploy import warm, wishes
from qkdbus_deploy.doctor import here, left, running
from qkdbus_deploy.doctor.finding import Finding
from qkdbus_deploy.status import LayerStatus, LinkStatus, NetworkStatus, NodeStatus

LAYER = LayerStatus("keysync", 0, "ready", 1, 100.0, 0, 1, "", "")
NODE = NodeStatus("N0", "running", 1, 0, (LAYER,))
LINK = LinkStatus("N0", "N1", "up", True, "bbm92", "ideal", 0.0, 0.0, 0, 0, "", 0, 0, 0, 0, 0, 0, None, None)


def grave(found: Iterable[Finding]) -> list[tuple[str, str, str]]:
    """Return (severity, check, where) of all that is not well."""
    return [(one.severity, one.check, one.where) for one in found if one.severity != "ok"]


def of(*nodes: NodeStatus, links: tuple[LinkStatus, ...] = ()) -> NetworkStatus:
    return NetworkStatus("net", 1, nodes, links, ())


def test_a_network_that_is_well_has_no_errors(running: Any) -> None:
    said = running.json("doctor", "net")
    assert said["errors"] == 0
    checks = {one["check"] for one in said["findings"]}
    assert {"python", "libraries", "home", "disk", "sockets", "limits", "left over"} <= checks
    assert {"warm parent", "ports", "nodes", "links", "drift"} <= checks
    text = running.run("doctor").stdout
    assert "ok       warm parent  net: alive" in text and "0 errors" in text


@pytest.mark.slow
def test_planted_faults_are_found_all_at_once(machine: Any) -> None:
    machine.deploy("net")
    machine.run("stop", "net", "N1")
    north = machine_port(machine, "N1")
    parent = machine.status()["warm_parent"]
    os.kill(parent, signal.SIGKILL)
    while wishes.state(machine.home / "net")[0] is not None:
        time.sleep(0.01)
    (machine.home.parent / "net.yaml").write_text("nodes: [")
    (machine.home / "gone" / "N7" / "certs").mkdir(parents=True)
    with closing(socket.create_server(("127.0.0.1", north))):
        said = machine.json("doctor", "net", code=1)
    grave = {(one["severity"], one["check"], one["where"]) for one in said["findings"] if one["severity"] != "ok"}
    assert {("error", "warm parent", "net"), ("error", "ports", "N1"), ("warning", "drift", "net")} <= grave
    assert ("warning", "left over", "") in grave
    assert said["errors"] == 2
    assert all(one["mend"] for one in said["findings"] if one["severity"] == "error")
    assert str(north) in str(said["findings"])
    machine.run("start", "net")  # as it says
    assert "warm parent" not in [one["check"] for one in machine.json("doctor", "net")["findings"] if bad(one)]


def machine_port(machine: Any, node: str) -> int:
    text = (machine.home / "net" / node / "node.yaml").read_text()
    [north] = [line for line in text.splitlines() if line.startswith("  north: ")]
    return int(north.split(": ")[1])


def bad(one: dict[str, Any]) -> bool:
    return bool(one["severity"] == "error")


def test_a_file_that_is_not_deployed_can_be_asked_about(machine: Any) -> None:
    said = machine.json("doctor", str(machine.file("net", 2)))
    assert said["errors"] == 0
    assert not machine.home.exists()


def test_a_node_file_that_cannot_be_read_is_an_error_and_no_traceback(machine: Any) -> None:
    folder = machine.home / "net" / "N0"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "node.yaml").write_text("nonsense")
    said = machine.run("doctor", "net", code=1)
    assert "node.yaml" in said.stdout and "Traceback" not in said.stderr + said.stdout


def test_services_that_crash_or_wait_or_are_stopped_are_told() -> None:
    crashes = replace(LAYER, layer="qbackend", state="backoff", restarts=7)
    waits = replace(LAYER, state="waiting", reason="for its neighbour")
    stopped = replace(LAYER, layer="dispatcher", state="stopped")
    found = list(running.services(of(replace(NODE, layers=(crashes, waits, stopped)))))
    assert [one.severity for one in found] == ["error", "error", "warning"]
    assert "qbackend ends again and again" in found[0].text and "for its neighbour" in found[1].text
    assert found[0].mend == "look: qkdbus logs N0 qbackend --network net"
    dies = replace(NODE, restarts=9)
    lost = replace(NODE, node="N1", state="unknown", reason="no route to that host", layers=())
    assert grave(running.services(of(dies, lost))) == [("warning", "nodes", "N0"), ("error", "nodes", "N1")]
    assert grave(running.services(of(NODE))) == []


def test_links_in_alarm_or_without_a_peer_are_told_once() -> None:
    other = replace(NODE, node="N1")
    back = replace(LINK, node="N1", peer="N0", arbiter=False)
    alarm = "QBER 0.25 above 0.11"
    found = list(
        running.links(of(NODE, other, links=(replace(LINK, state="alarm", alarm=alarm), replace(back, state="alarm"))))
    )
    assert [(one.severity, one.where) for one in found] == [("error", "N0 - N1")] and alarm in found[0].text
    down = (replace(LINK, state="down"),)
    assert grave(running.links(of(NODE, other, links=down))) == [("error", "links", "N0 - N1")]
    asleep = replace(other, state="stopped")
    assert grave(running.links(of(NODE, asleep, links=down))) == [("warning", "links", "N0 - N1")]
    assert grave(running.links(of(NODE, other, links=(LINK, back)))) == []


def test_homes_that_will_not_do(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert grave(here.home(file)) == [("error", "home", "")]
    assert grave(here.home(file / "below")) == [("error", "home", "")]
    (tmp_path / "open").mkdir(mode=0o755)
    assert grave(here.home(tmp_path / "open")) == [("warning", "home", "")]
    (tmp_path / "mine").mkdir(mode=0o700)
    assert grave(here.home(tmp_path / "mine")) == []
    assert grave(here.home(tmp_path / "mine" / "new")) == []


@pytest.mark.root
def test_a_home_of_another_user_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    shutil.chown(folder, 12345)
    [found] = [one for one in here.home(folder) if one.severity != "ok"]
    assert found.severity == "error" and "another user" in found.text


@pytest.fixture
def short() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="qk", dir="/tmp") as folder:
        yield Path(folder)


def test_paths_that_are_too_long_for_sockets(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    assert grave(here.sockets(Path("/h"), "net", ["N0"])) == []
    far = Path("/h") / ("x" * 90)
    [found] = here.sockets(far, "net", ["N0"])
    assert found.severity == "ok" and "too long" in found.text
    deep = short / ("y" * 90)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    [found] = here.sockets(far, "net", ["N0"])
    assert found.severity == "error" and "XDG_RUNTIME_DIR" in found.text


def test_limits_that_are_too_low_for_a_network() -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
    code += "from qkdbus_deploy.doctor import here; print([one.text for one in here.limits(3) if one.severity != 'ok'])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "may open only 256 files" in ran.stdout
    assert ("warning", "memory", "") in grave(here.limits(10_000_000))


def test_an_emulator_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "OF_EMULATORS", {"simulaqron": ("json",), "photonic": ("nosuchmodule",)})
    found = {one.severity: one for one in here.emulators({"simulaqron", "photonic", "qutip"})}
    assert set(found) == {"ok", "error"}
    assert "nosuchmodule" in found["error"].text and "numba" in found["error"].mend


def test_what_is_left_of_networks_is_found_and_nothing_else(tmp_path: Path) -> None:
    assert grave(left.folders(tmp_path / "none")) == []
    (tmp_path / "net" / "A" / "certs").mkdir(parents=True)
    (tmp_path / "net" / "A" / "node.yaml").touch()
    (tmp_path / "net" / "clients").mkdir()
    (tmp_path / ".software").mkdir()
    (tmp_path / "notes").mkdir()
    assert grave(left.folders(tmp_path)) == []
    (tmp_path / "net" / "B" / "state").mkdir(parents=True)
    (tmp_path / "half" / ".warm").mkdir(parents=True)
    found = [one for one in left.folders(tmp_path) if one.severity != "ok"]
    assert [str(tmp_path / name) in one.text for name, one in zip(("half", "net/B"), found, strict=True)] == [True] * 2
