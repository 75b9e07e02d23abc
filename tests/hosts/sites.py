"""A user at the controller of a lab, who deploys networks to its hosts."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from .inventory import Kind
from .lab import Lab


class Site:
    """A user at the controller, with a network of the lab's hosts in a ring or a line."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self._folder = lab, folder

    def file(self, names: Sequence[str], ring: bool = False, **more: Any) -> Path:
        ends = list(itertools.pairwise(names)) + ([(names[-1], names[0])] if ring else [])
        nodes = [
            {
                "node_name": name,
                "node_ip": self.lab.hosts[name].address if name in self.lab.hosts else "",
                "neighbour_nodes": [b if a == name else a for a, b in ends if name in (a, b)],
            }
            for name in names
        ]
        said = {"qkdbus_version": 1, "name": "net", "nodes": nodes, **more}
        file = self._folder / "net.yaml"
        file.write_text(yaml.safe_dump(said))
        return file

    def inventory(self, kind: Kind = "password", **more: Any) -> Path:
        return self.lab.inventory(self._folder / "inventory.yaml", kind=kind, **more)

    def run(self, *words: object, code: int = 0, timeout: float = 300.0, env: Mapping[str, str] | None = None) -> str:
        done = self.lab.run(["qkdbus", *map(str, words)], timeout=timeout, env=env)
        assert done.returncode == code, f"{words}: code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    def json(self, *words: object, code: int = 0, **more: Any) -> Any:
        done = self.lab.run(["qkdbus", *map(str, words), "--json"], timeout=300.0, **more)
        assert done.returncode == code, f"{words}: code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def keys_are_equal(self, *more: object, keys: int = 3) -> list[dict[str, Any]]:
        results = self.json("bench", "keys", "net", "--keys", keys, "--timeout", 240, *more)
        assert all(result["equal"] == keys for result in results), results
        return list(results)

    def keys(self, node: str, ksid: str, count: int, patience: float = 60.0) -> list[str]:
        """The next keys of a stream at a node; asked again while there are none."""
        found: list[str] = []
        ends = time.monotonic() + patience
        while len(found) < count:
            done = self.lab.run(
                ["qkdbus", "key", "get", node, ksid, "--count", str(min(5, count - len(found))), "--hex"]
            )
            found += done.stdout.split()
            assert len(found) == count or time.monotonic() < ends, done.stderr
        return found

    def pids(self) -> dict[str, int]:
        return {node["node"]: node["pid"] for node in self.json("status", "net")["nodes"]}


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where software is packed, once for all tests."""
    return tmp_path_factory.mktemp("software")


@pytest.fixture
def site(new_lab: Any, tmp_path: Path, packed: Path) -> Callable[..., Site]:
    def make(*names: str, **more: Any) -> Site:
        lab = new_lab(names=list(names), **more)
        (lab.home / ".qkdbus").mkdir(mode=0o700)
        (lab.home / ".qkdbus" / ".software").symlink_to(packed)
        return Site(lab, tmp_path)

    return make
