"""A layer is swapped while its node runs, and taken back; the rest of the node does not notice."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

Until = Callable[..., float]
FOREIGN = """
import runpy, sys
sys.argv = ["qkdbus_dispatcher", *sys.argv[1:]]
runpy.run_module("qkdbus_dispatcher", run_name="__main__")
"""


def pids(machine: Any, node: str) -> dict[str, int]:
    found = machine.node("net", node)
    return {layer["layer"]: layer["pid"] for layer in found["layers"]} | {"supervisord": found["pid"]}


@pytest.mark.slow
def test_a_layer_is_swapped_and_taken_back_while_the_rest_runs(machine: Any, until: Until) -> None:
    machine.deploy("net", 2)
    program = machine.home / "my_dispatcher.py"
    program.write_text(FOREIGN)
    before = pids(machine, "N0")

    machine.run("swap", "N0", "dispatcher", "--", sys.executable, str(program))
    layer = machine.layer("net", "N0", "dispatcher")
    assert (layer["state"], str(program) in layer["swapped"]) == ("ready", True)
    command = machine_command(layer["pid"])
    assert command[1:] == [str(program), str(machine.home / "net" / "N0")]
    after = pids(machine, "N0")
    assert {name for name in before if before[name] != after[name]} == {"dispatcher"}

    os.kill(layer["pid"], signal.SIGKILL)  # it comes back as what it was swapped for
    until(lambda: machine.layer("net", "N0", "dispatcher")["pid"] not in (None, layer["pid"]), "another process")
    until(lambda: machine.layer("net", "N0", "dispatcher")["state"] == "ready", "ready")
    assert machine_command(machine.layer("net", "N0", "dispatcher")["pid"]) == command

    machine.run("stop", "net", "N0")
    machine.run("start", "net", "N0")  # with another supervisord
    assert machine_command(machine.layer("net", "N0", "dispatcher")["pid"]) == command

    machine.run("swap", "N0", "dispatcher", "--restore")
    layer = machine.layer("net", "N0", "dispatcher")
    assert (layer["state"], layer["swapped"]) == ("ready", "")
    assert not (machine.home / "net/N0/swapped.json").exists()


@pytest.mark.slow
def test_every_worker_is_swapped_with_its_number(machine: Any) -> None:
    machine.deploy("net", 1, layers={"qbackend": {"replicas": 2}})
    program = machine.home / "mine.py"
    program.write_text(FOREIGN.replace("dispatcher", "qbackend"))
    machine.run("swap", "N0", "qbackend", "--", sys.executable, str(program))
    node = machine.node("net", "N0")
    workers = {one["replica"]: machine_command(one["pid"]) for one in node["layers"] if one["layer"] == "qbackend"}
    assert {number: command[-2:] for number, command in workers.items()} == {
        0: ["--replica", "0"],
        1: ["--replica", "1"],
    }


@pytest.mark.slow
def test_a_program_that_does_not_live_is_told_with_its_words(machine: Any) -> None:
    machine.deploy("net", 1)
    words = ("swap", "N0", "keysync", "--timeout", "8", "--", sys.executable, "-c", "raise SystemExit('no licence')")
    said = machine.run(*words, code=1)
    assert "keysync is not ready" in said.stderr and "no licence" in said.stderr
    machine.run("swap", "N0", "keysync", "--restore")
    assert machine.layer("net", "N0", "keysync")["state"] == "ready"


def test_what_cannot_be_swapped_is_refused(machine: Any) -> None:
    machine.deploy("net", 1)
    assert (
        "no layer 'keysnc' in N0: did you mean keysync?"
        in machine.run("swap", "N0", "keysnc", "--", "x", code=2).stderr
    )
    assert "say -- and a command, or --restore" in machine.run("swap", "N0", "keysync", code=2).stderr
    machine.run("stop", "net", "N0")
    assert "N0 is not running" in machine.run("swap", "N0", "keysync", "--", "x", code=1).stderr


def machine_command(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return [word.decode() for word in file.read().split(b"\0") if word]
