"""deploy, status, start, stop, destroy: what a user does, on stand-in services."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Until = Callable[..., float]


def sockets_below(*folders: Path) -> list[Path]:
    return [
        path for folder in folders for path in folder.rglob("*") if path.exists() and stat.S_ISSOCK(path.stat().st_mode)
    ]


def test_a_deploy_ends_when_every_service_is_ready(running: Any) -> None:
    assert "3 nodes started, 12 services ready" in running.said
    status = running.json("status", "net")
    assert status["state"] == "ready"
    layers = [layer for node in status["nodes"] for layer in node["layers"]]
    assert len(layers) == 12
    for layer in layers:
        assert layer["state"] == "ready" and layer["pid"] and layer["contract_version"] == 1
        assert layer["restarts"] == 0 and 0 <= layer["uptime"] < 60


def test_status_shows_links_and_streams(running: Any) -> None:
    status = running.status("net")
    [link] = [link for link in status["links"] if link["node"] == "N0"]
    assert (link["peer"], link["protocol"], link["key_rate"]) == ("N1", "e91-same-bases", 1500)
    assert {stream["ksid"] for stream in status["streams"]} == {"11" * 16}
    text = running.run("status").stdout
    assert "net: ready, 3 nodes" in text and "N0 - N1" in text and "11" * 16 in text


def test_everything_it_writes_is_private(running: Any) -> None:
    for path in running.home.rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        if not path.is_socket():
            assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_a_second_deploy_of_the_same_file_changes_nothing(running: Any) -> None:
    before = {process.pid for process in running.processes()}
    assert "nothing changed" in running.deploy("net", 3).stdout
    assert {process.pid for process in running.processes()} == before


@pytest.mark.parametrize("arguments", [["stop", "nte"], ["start", "net", "N7"], ["stop", "net", "N0", "keysink"]])
def test_a_wrong_name_gets_what_there_is(running: Any, arguments: list[str]) -> None:
    said = running.run(*arguments, code=2).stderr
    assert "did you mean" in said or "there are N0, N1, N2" in said
    assert "Traceback" not in said


def test_destroy_leaves_no_process_no_socket_and_no_file(machine: Any) -> None:
    machine.deploy("net", 2)
    assert machine.processes() and sockets_below(machine.home)
    machine.run("destroy", "net")
    assert machine.processes() == []
    assert list(machine.home.rglob("*")) == []


def test_destroy_wipes_keys_before_it_removes_them(machine: Any) -> None:
    machine.deploy("net")
    kept = machine.home / "kept"  # other names of the same files: they show what became of their content
    kept.mkdir()
    secrets = [machine.home / "net" / name for name in ("N0/certs/node.json", "N0/state/keysync", "client.json")]
    for number, file in enumerate(secrets):
        assert file.read_bytes().strip(b"\0")
        os.link(file, kept / str(number))
    machine.run("destroy", "net")
    for file in kept.iterdir():
        assert file.read_bytes() and not file.read_bytes().strip(b"\0")


def test_a_node_alone_is_destroyed(machine: Any) -> None:
    machine.deploy("net")
    machine.run("destroy", "net", "N1")
    assert [node["node"] for node in machine.status("net")["nodes"]] == ["N0"]
    assert not (machine.home / "net" / "N1").exists()
    assert machine.status("net")["state"] == "ready"


def test_a_changed_file_restarts_the_nodes_that_it_concerns(machine: Any) -> None:
    machine.deploy("net", 3)
    before = {node["node"]: node["pid"] for node in machine.status("net")["nodes"]}
    links = [{"between": ["N0", "N1"], "block_bits": 2048}]
    machine.deploy("net", 3, links=links)
    after = {node["node"]: node["pid"] for node in machine.status("net")["nodes"]}
    assert [name for name in before if before[name] != after[name]] == ["N0", "N1"]


def test_a_redeploy_keeps_ports_and_keys(machine: Any) -> None:
    machine.deploy("net")
    client = (machine.home / "net" / "client.json").read_text()
    machine.run("stop", "net")
    machine.deploy("net", log_level="debug")
    assert (machine.home / "net" / "client.json").read_text() == client


def test_a_node_that_left_the_file_is_removed(machine: Any) -> None:
    machine.deploy("net", 3)
    assert "N2 removed" in machine.deploy("net", 2).stdout
    assert not (machine.home / "net" / "N2").exists()
    assert len(machine.status("net")["nodes"]) == 2


def test_stop_and_start_of_a_network(machine: Any) -> None:
    machine.deploy("net")
    machine.run("stop", "net")
    assert machine.processes() == [] and sockets_below(machine.home) == []
    assert machine.status("net")["state"] == "stopped"
    assert "2 nodes started" in machine.run("start", "net").stdout
    assert machine.status("net")["state"] == "ready"
    assert "nothing changed" in machine.deploy("net").stdout


@pytest.mark.slow
def test_stop_and_start_of_a_node(machine: Any) -> None:
    machine.deploy("net")
    other = machine.node("net", "N0")["pid"]
    machine.run("stop", "net", "N1")
    assert machine.node("net", "N1")["state"] == "stopped"
    assert machine.node("net", "N0")["pid"] == other
    machine.run("start", "net", "N1")
    assert machine.status("net")["state"] == "ready"


def test_stop_and_start_of_one_layer(machine: Any) -> None:
    machine.deploy("net")
    machine.run("stop", "net", "N0", "keysync")
    assert machine.layer("net", "N0", "keysync")["state"] == "stopped"
    assert machine.layer("net", "N0", "keymanager")["state"] == "ready"
    machine.run("start", "net", "N0", "keysync")
    assert machine.layer("net", "N0", "keysync")["state"] == "ready"


@pytest.mark.slow
def test_two_networks_at_once_do_not_disturb_each_other(machine: Any) -> None:
    files = [machine.file("one", 3), machine.file("two", 3)]
    starting = [machine.start("deploy", str(file)) for file in files]
    assert [process.wait(30) for process in starting] == [0, 0], [process.communicate() for process in starting]
    book = json.loads((machine.home / "ports.json").read_text())
    ports = [
        [number for ports in book[name].values() for port in ports.values() for number in _flat(port)]
        for name in ("one", "two")
    ]
    assert len(ports[0]) == len(set(ports[0])) == 15
    assert not set(ports[0]) & set(ports[1])
    machine.run("destroy", "one")
    assert machine.status("two")["state"] == "ready"
    assert set(json.loads((machine.home / "ports.json").read_text())) == {"two"}
    assert "which network" not in machine.run("status").stdout


@pytest.mark.slow
def test_a_port_that_somebody_listens_on_is_not_given_away(machine: Any) -> None:
    machine.deploy("net")
    machine.run("stop", "net")
    before = json.loads((machine.home / "ports.json").read_text())["net"]
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", before["N0"]["north"]))
        squatter.listen()
        machine.deploy("net")
        after = json.loads((machine.home / "ports.json").read_text())["net"]
    assert after["N1"] == before["N1"]
    assert before["N0"]["north"] not in after["N0"].values()


@pytest.mark.slow
def test_a_home_with_a_long_path_has_its_sockets_elsewhere(deep_machine: Any) -> None:
    deep_machine.deploy("net")
    text = (deep_machine.home / "net" / "N0" / "node.yaml").read_text()
    [run] = [Path(line.split(": ", 1)[1]) for line in text.splitlines() if line.startswith("run: ")]
    assert not run.is_relative_to(deep_machine.home) and sockets_below(run)
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    assert deep_machine.status("net")["state"] == "ready"
    deep_machine.run("destroy", "net")
    assert not run.exists() and deep_machine.processes() == []


def test_ctrl_c_in_a_deploy_leaves_nothing_running(machine: Any, until: Until) -> None:
    file = machine.file("net", 2)
    make_it_wait(machine, file)
    process = machine.start("deploy", str(file))
    until(lambda: len(machine.processes()) >= 8, "services run")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert machine.processes() == []
    assert not (machine.home / "net").exists() or machine.status("net")["state"] == "stopped"


@pytest.mark.slow
def test_ctrl_c_before_anything_runs_leaves_nothing(machine: Any, until: Until) -> None:
    file = machine.file("net", 2)
    for delay in (0.05, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45):
        process = machine.start("deploy", str(file))
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
        if "2 nodes started" in out or process.returncode < 0:  # it was faster than we: done, or on its way out
            found = machine.status("net")
            assert found["state"] == "ready" or not found["nodes"]  # or the interpreter had not even started
            if found["nodes"]:
                machine.run("stop", "net")
        until(lambda: not machine.processes(), f"nothing runs, {delay} s after its start")


def test_a_service_that_is_never_ready_is_named_with_its_reason(machine: Any) -> None:
    file = machine.file("net", 2)
    make_it_wait(machine, file)
    said = machine.run("deploy", str(file), "--timeout", "3", code=1)
    assert "N1: keysync is not ready: waits for a file to say so" in said.stderr
    assert machine.json("deploy", str(file), "--timeout", "0.2", code=1)["unready"][0]["layer"] == "keysync"


@pytest.mark.slow
def test_a_service_in_a_crash_loop_is_named_with_its_log(machine: Any) -> None:
    file = machine.file("net", 2)
    make_it_wait(machine, file, "crash")
    began = time.monotonic()
    said = machine.run("deploy", str(file), "--timeout", "25", code=1)
    assert time.monotonic() - began < 15  # hopeless: it does not wait to the end
    assert "N1: keysync is not ready: ends again and again" in said.stderr
    assert "told to crash" in said.stderr
    starts = machine.run("logs", "N1", "supervisord", "-n", "1000").stdout.count("spawned: 'keysync'")
    assert 5 <= starts <= 7  # at once, at once, and then more and more slowly


def test_a_broken_file_starts_nothing(machine: Any, until: Until) -> None:
    file = machine.file("net")
    file.write_text("nodes: [")
    machine.run("deploy", str(file), code=2)
    until(lambda: not machine.processes(), "the warm parent ends")
    assert not (machine.home / "net").exists()


def make_it_wait(machine: Any, file: Path, how: str = "wait") -> None:
    """Have N1's keysync behave badly from its first start."""
    node = machine.home / file.stem / "N1"
    node.mkdir(parents=True)
    (node / "standin.json").write_text(json.dumps({"keysync": how}))


def _flat(port: Any) -> list[int]:
    return port if isinstance(port, list) else [port]
