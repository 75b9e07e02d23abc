"""Reboots of a host on which systemd runs: its node comes back by itself, with all that it had."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .lab import Lab
from .systemd import Machine, missing, systemd

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(missing()), reason=missing() or "-"),
]
NETWORK = {
    "qkdbus_version": 1,
    "name": "net",
    "nodes": [{"node_name": "A", "neighbour_nodes": ["B"]}, {"node_name": "B", "neighbour_nodes": ["A"]}],
    "link_defaults": {"emulator": "ideal"},
}
USERS = ["root", "qkd"]  # a unit of the system's, and one of the user's own


class Two:
    """A and B, of which A has systemd, and a user at the controller."""

    def __init__(self, lab: Lab, a: Machine, folder: Path, user: str) -> None:
        self.lab, self.a, self.user = lab, a, user
        self.home = "/root" if user == "root" else f"/home/{user}"
        (folder / "net.yaml").write_text(yaml.safe_dump(NETWORK))
        kind: Any = "key" if user == "root" else "password"
        self._words = ("deploy", folder / "net.yaml", lab.inventory(folder / "inventory.yaml", kind=kind, user=user))

    def deploy(self) -> dict[str, Any]:
        return dict(json.loads(self.run(*self._words, "--json")))

    def run(self, *words: object) -> str:
        done = self.lab.run(["qkdbus", *map(str, words)], timeout=150.0)
        assert done.returncode == 0, f"{words}: code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def control(self, words: str) -> str:
        """What systemd says, that of A's user."""
        mine = "systemctl" if self.user == "root" else "systemctl --user"
        return self.a.run(f"{mine} {words}", user=self.user, check=False).strip()

    def units(self) -> str:
        folder = "/etc/systemd/system" if self.user == "root" else f"{self.home}/.config/systemd/user"
        return self.a.run(f"find {folder} -name '*qkdbus*'")

    def main_pid(self) -> int:
        return int(self.control("show -P MainPID qkdbus-net.service"))

    def supervisord(self) -> int:
        """The number of A's node there; 0 when it does not run."""
        file = f"{self.home}/.qkdbus/.nodes/net/A/supervisord.pid"
        return int(self.a.run(f"p=$(head -n 1 {file}) && kill -0 $p && echo $p", check=False).strip() or 0)

    def until_ready(self) -> None:
        _until(lambda: json.loads(self.run("status", "net", "--json"))["state"] == "ready", "all is ready")

    def keys_are_equal(self) -> None:
        results = json.loads(self.run("bench", "keys", "net", "--keys", "2", "--timeout", "240", "--json"))
        assert results and all(result["equal"] == 2 for result in results), results


@pytest.fixture
def two(new_lab: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Two]:
    lab = new_lab(names=["A", "B"])
    with systemd(lab, "A") as a:
        yield Two(lab, a, tmp_path, request.param)


@pytest.mark.parametrize("two", USERS, indirect=True)
def test_a_node_comes_back_after_a_reboot_with_its_keys(two: Two) -> None:
    first = two.deploy()
    assert first["ready"] and [note for note in first["notes"] if "systemd" in note and note.startswith("B")], first
    assert not [note for note in first["notes"] if note.startswith("A") and "systemd" in note]
    two.keys_are_equal()
    assert two.control("is-active qkdbus-net.service") == "active" and two.main_pid()
    two.a.crash()
    two.a.boot()
    _until(two.supervisord, "it is back")
    two.until_ready()
    two.keys_are_equal()
    assert two.deploy()["changed"] == []
    two.run("destroy", "net", "--yes")
    assert two.units() == "" and two.supervisord() == 0
    if two.user != "root":
        assert two.a.run("ls /var/lib/systemd/linger") == ""


@pytest.mark.parametrize("two", USERS, indirect=True)
def test_a_killed_warm_parent_is_started_again_and_nodes_do_not_notice(two: Two) -> None:
    two.deploy()
    warm, node = two.main_pid(), two.supervisord()
    assert warm and node
    two.a.run(f"kill -9 {warm}")
    _until(lambda: two.main_pid() not in (0, warm), "another warm parent")
    assert two.supervisord() == node
    _until(lambda: _state(two, "A")["pid"] == node, "it is kept again")
    two.a.run(f"kill -9 {node}")
    _until(lambda: two.supervisord() not in (0, node), "another supervisord")
    two.until_ready()


@pytest.mark.parametrize("two", ["root"], indirect=True)
def test_a_stopped_network_stays_stopped(two: Two) -> None:
    two.deploy()
    two.run("stop", "net")
    assert two.supervisord() == 0 and two.control("is-active qkdbus-net.service") == "inactive"
    two.a.crash()
    two.a.boot()
    _until(lambda: two.control("show -P ExecMainStartTimestampMonotonic qkdbus-net.service") != "0", "it was looked at")
    _until(lambda: two.control("is-active qkdbus-net.service") == "inactive", "it has ended")
    assert two.supervisord() == 0
    two.run("start", "net")
    assert two.supervisord() and two.control("is-active qkdbus-net.service") == "active"


def _state(two: Two, node: str) -> dict[str, Any]:
    [found] = [one for one in json.loads(two.run("status", "net", "--json"))["nodes"] if one["node"] == node]
    return dict(found)


def _until(holds: Callable[[], object], what: str, patience: float = 60.0) -> None:
    ends = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < ends, f"not so after {patience} s: {what}"
        time.sleep(0.2)
