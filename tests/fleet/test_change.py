"""Change and apply on hosts: what `plan` foresees is what `deploy` does, and the rest keeps running."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qkdbus_deploy import kernel, pidfile
from qkdbus_deploy.cli import main

Inventory = Callable[..., Path]
Run = Callable[..., Result]
LINE = {"a": ["b"], "b": ["a"]}


@pytest.fixture
def place(root: Path) -> Iterator[Path]:
    """A folder with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="qk", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def run(place: Path) -> Iterator[Run]:
    """Run `qkdbus`; what it has deployed is destroyed at the end."""

    def run(*words: object, code: int = 0) -> Result:
        said = CliRunner().invoke(main, ["--home", str(place / "home"), *map(str, words)])
        assert said.exit_code == code, said.output
        return said

    yield run
    if (place / "home" / "net").exists():
        run("destroy", "net", "--yes")


def write(place: Path, lines: dict[str, list[str]], **more: Any) -> Path:
    """Write a network; each node has an address of its own, all of them this machine's."""
    nodes = [
        {"node_name": name, "neighbour_nodes": peers, "node_ip": f"127.0.7.{1 + 'abc'.index(name)}"}
        for name, peers in lines.items()
    ]
    file = place / "net.yaml"
    file.write_text(json.dumps({"link_defaults": {"emulator": "ideal"}, "nodes": nodes, **more}))
    return file


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_node_joins_and_a_link_changes(place: Path, inventory: Inventory, run: Run) -> None:
    hosts = inventory(**{name: {"qkdbus_home": str(place / name)} for name in "abc"})
    file = write(place, LINE)
    run("deploy", file, hosts)
    assert "nothing would change" in run("plan", file).stdout
    assert json.loads(run("status", "net", "--json").stdout)["drift"] == []
    before = {name: pid(place, name) for name in "ab"}

    write(place, {"a": ["b"], "b": ["a", "c"], "c": ["b"]})
    change = json.loads(run("plan", file, "--json").stdout)["change"]
    assert {one["node"]: one["effect"] for one in change["nodes"]} == {
        "a": "goes on",
        "b": "restarts",
        "c": "starts anew",
    }
    status = run("status", "net", "--json")
    [drift] = json.loads(status.stdout)["drift"]
    assert (drift["kind"], drift["nodes"]) == ("file", ["b", "c"])
    done = json.loads(run("deploy", file, "--json").stdout)
    assert sorted(done["changed"]) == ["b", "c"]
    assert pid(place, "a") == before["a"] and pid(place, "b") != before["b"]
    said = json.loads(run("doctor", "net", "--json").stdout)
    checks = {(one["check"], one["where"]): one["severity"] for one in said["findings"]}
    assert checks["doors", "a"] == checks["software", "c"] == checks["drift", "net"] == "ok"

    run("stop", "net", "b", "keysync")
    findings = json.loads(run("doctor", "net", "--json", code=1).stdout)["findings"]
    shut = [one["text"] for one in findings if (one["check"], one["severity"]) == ("doors", "error")]
    assert len(shut) == 2 and all("does not reach b (keysync) at 127.0.7.2" in text for text in shut)

    record = place / "home" / "net" / ".fleet" / "record.json"
    known = json.loads(record.read_text())
    known["seats"]["b"]["generation"] = "another"
    record.write_text(json.dumps(known))
    kinds = {(one["kind"], *one["nodes"]) for one in json.loads(run("status", "net", "--json").stdout)["drift"]}
    assert kinds == {("generation", "b"), ("unsent", "b")}


def pid(place: Path, node: str) -> kernel.Mark:
    found = pidfile.read(place / node / "net" / node)
    assert found is not None
    return found[0]
