"""What has drifted since a network was deployed is told by `status`, with the nodes that it concerns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qkdbus_deploy import drift, source
from qkdbus_deploy.status import Drift, look


def drifted(machine: Any, network: str = "net") -> list[Drift]:
    """Return what `qkdbus status` would, without the cost of starting it."""
    folder = machine.home / network
    return list(drift.look(folder, look(folder, patience=0.3)))


def edit(file: Path, **more: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **more}))


@pytest.fixture
def deployed(running: Any) -> Iterator[Any]:
    """A network that runs; what tests do to these files is undone."""
    folder = running.home / "net"
    files = [running.home.parent / "net.yaml", folder / source.FILE, folder / ".warm" / "placed.json"]
    texts = {file: file.read_text() for file in files}
    yield running
    for file, text in texts.items():
        file.write_text(text)


def test_a_network_that_is_as_its_file_says_has_no_drift(deployed: Any) -> None:
    assert drifted(deployed) == []
    file = deployed.home.parent / "net.yaml"
    file.write_text("# another look, the same network\n" + file.read_text())
    assert drifted(deployed) == []
    said = source.read(deployed.home / "net")
    assert said is not None and said.file == str(file) and said.version == source.ours()


def test_an_edited_file_is_told_with_the_nodes_that_it_concerns(deployed: Any) -> None:
    file = deployed.home.parent / "net.yaml"
    edit(file, links=[{"between": ["N1", "N2"], "block_bits": 2048}])
    [found] = drifted(deployed)
    assert (found.kind, found.nodes) == ("file", ("N1", "N2"))
    status = deployed.run("status", "net")
    assert f"note: {file} has changed since: it would change N1, N2" in status.stderr
    assert deployed.json("status", "net")["drift"] == [{"kind": "file", "nodes": ["N1", "N2"], "text": found.text}]


def test_nodes_added_and_removed_are_drift_too(deployed: Any) -> None:
    file = deployed.home.parent / "net.yaml"
    nodes = [
        {"node_name": "N0", "neighbour_nodes": ["N1"]},
        {"node_name": "N1", "neighbour_nodes": ["N0"]},
        {"node_name": "N5"},
    ]
    edit(file, nodes=nodes)
    [found] = drifted(deployed)
    assert found.nodes == ("N1", "N5", "N2")
    assert "N5 (added)" in found.text and "N2 (removed)" in found.text


@pytest.mark.parametrize(("text", "words"), [(None, "is gone"), ("nodes: [", "is no network file now")])
def test_a_file_that_cannot_be_read_any_more_is_told(text: str | None, words: str, deployed: Any) -> None:
    file = deployed.home.parent / "net.yaml"
    file.unlink()
    if text is not None:
        file.write_text(text)
    [found] = drifted(deployed)
    assert (found.kind, found.nodes) == ("gone", ()) and words in found.text
    assert deployed.run("status", "net").returncode == 0


def test_a_node_that_runs_as_it_was_placed_before_is_told(deployed: Any) -> None:
    placed = deployed.home / "net" / ".warm" / "placed.json"
    placed.write_text(json.dumps({**json.loads(placed.read_text()), "N1": "another"}))
    [found] = drifted(deployed)
    assert (found.kind, found.nodes) == ("generation", ("N1",))


def test_another_version_of_qkdbus_is_told(deployed: Any) -> None:
    file = deployed.home / "net" / source.FILE
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": "0.0.1"}))
    [found] = drifted(deployed)
    assert found.kind == "version" and "deployed by qkdbus 0.0.1" in found.text


def test_what_is_remembered_may_be_damaged_or_absent(deployed: Any) -> None:
    file = deployed.home / "net" / source.FILE
    file.write_text("{")
    [found] = drifted(deployed)
    assert found.kind == "unknown" and "damaged" in found.text
    file.unlink()
    assert drifted(deployed) == []


@pytest.mark.slow
def test_a_node_joins_without_a_restart_of_nodes_far_from_it(machine: Any) -> None:
    machine.deploy("net", 3)
    before = {node["node"]: node["pid"] for node in machine.status()["nodes"]}
    file = machine.file("net", 4)  # N3, at N2
    [found] = drifted(machine)
    assert found.nodes == ("N2", "N3")
    machine.run("deploy", str(file))
    after = {node["node"]: node["pid"] for node in machine.status()["nodes"]}
    assert (after["N0"], after["N1"]) == (before["N0"], before["N1"])
    assert after["N2"] != before["N2"] and "N3" in after
    assert drifted(machine) == []


def test_a_deploy_that_broke_off_is_not_taken_for_done(tmp_path: Path) -> None:
    from qkdbus.network.load import load

    file = tmp_path / "net.yaml"
    file.write_text(json.dumps({"qkdbus_version": 1, "nodes": [{"node_name": "A"}]}))
    folder = tmp_path / "home" / "net"
    (folder / "A").mkdir(parents=True)
    (folder / "A" / "node.yaml").touch()
    with pytest.raises(KeyboardInterrupt), source.remembered(folder, file, None, load(file)):
        raise KeyboardInterrupt
    said = source.read(folder)
    assert said is not None and said.digest == ""
    with source.remembered(folder, file, None, load(file)):
        pass
    said = source.read(folder)
    assert said is not None and said.digest == source.digest(load(file))


def test_plan_shows_first_what_a_deploy_would_change(deployed: Any) -> None:
    file = deployed.home.parent / "net.yaml"
    assert deployed.run("plan", str(file)).stdout.startswith("net is deployed so: nothing would change\n\nnet: 3 nodes")
    edit(file, links=[{"between": ["N0", "N1"], "block_bits": 4096}], log_level="debug")
    said = deployed.run("plan", str(file)).stdout
    assert said.startswith("a deploy would change of net, as it is deployed:\n  ~ N0 is restarted; its keys stay\n")
    assert "      link N1: block_bits 1024 -> 4096\n      settings: log_level info -> debug\n" in said
    change = deployed.json("plan", str(file))["change"]
    assert [one["effect"] for one in change["nodes"]] == ["restarts"] * 3 and change["nothing"] is False
