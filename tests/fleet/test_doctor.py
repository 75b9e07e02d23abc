"""The doctor looks at the hosts of an inventory; those here are this machine, or nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qkdbus_deploy.cli import main

Inventory = Callable[..., Path]
Ask = Callable[..., dict[tuple[str, str], list[dict[str, Any]]]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Return (check, where) -> findings, for a network a - b of which fields of the nodes are given."""

    def run(inventory: Path, **nodes: dict[str, Any]) -> dict[tuple[str, str], list[dict[str, Any]]]:
        each = [
            {"node_name": name, "neighbour_nodes": ["ab".replace(name, "")], **nodes.get(name, {})} for name in "ab"
        ]
        file = tmp_path / "net.yaml"
        file.write_text(json.dumps({"link_defaults": {"emulator": "ideal"}, "nodes": each}))
        words = ["--home", str(tmp_path / "home"), "doctor", str(file), str(inventory), "--json"]
        said: Result = CliRunner().invoke(main, words)
        found: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for one in json.loads(said.stdout)["findings"]:
            found.setdefault((one["check"], one["where"]), []).append(one)
        errors = any(one["severity"] == "error" for group in found.values() for one in group)
        assert said.exit_code == int(errors), said.output
        return found

    return run


def test_hosts_that_are_well(inventory: Inventory, ask: Ask) -> None:
    found = ask(inventory(a={}, b={}), a={"node_ip": "127.0.0.1"}, b={"node_ip": "localhost"})
    for name in "ab":
        for check in ("host", "disk", "clock"):
            assert [one["severity"] for one in found[check, name]] == ["ok"], check
    assert found["ansible", ""][0]["severity"] == "ok"
    assert found["names", "a"] == [
        {"check": "names", "where": "a", "severity": "ok", "text": "localhost is known", "mend": ""}
    ]
    assert ("names", "b") not in found  # an address needs no look-up


def test_a_host_that_cannot_be_reached_does_not_hide_the_others(inventory: Inventory, ask: Ask) -> None:
    lost = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    found = ask(inventory(a=lost, b={}))
    [one] = found["host", "a"]
    assert one["severity"] == "error" and "nothing listens at 127.0.0.1:1" in one["text"]
    assert found["host", "b"][0]["severity"] == "ok"


def test_a_name_that_leads_nowhere_is_told(inventory: Inventory, ask: Ask) -> None:
    found = ask(inventory(a={}, b={}), b={"node_ip": "no-such-host.invalid"})
    [one] = found["names", "a"]
    assert one["severity"] == "error" and "no-such-host.invalid, where b is, is not known there" in one["text"]


def test_a_node_without_a_host_is_told(inventory: Inventory, ask: Ask) -> None:
    [one] = ask(inventory(a={}))["hosts", ""]
    assert one["severity"] == "error" and "no host in the inventory for b" in one["text"]


def test_an_inventory_that_is_not_there_is_told(tmp_path: Path, ask: Ask) -> None:
    [one] = ask(tmp_path / "nowhere.yaml")["hosts", ""]
    assert one["severity"] == "error" and "no such inventory" in one["text"]
