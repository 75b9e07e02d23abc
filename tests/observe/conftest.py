"""A network for all tests of this folder, and a strict reader of Prometheus's text."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from qkdbus.network.load import load
from qkdbus_client import Client, Key, QoS, Status
from qkdbus_deploy.cli import main
from qkdbus_deploy.sandbox import sandbox

NETWORK = """\
qkdbus_version: 1
name: watched
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice]}
link_defaults: {emulator: ideal, block_bits: 4096}
buffers: {window_bytes: 4096}
"""
SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>[+-]?(?:Inf|[0-9.eE+-]+)|NaN)"
)
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(?:,|$)')


@dataclass
class Family:
    """A metric as it was read."""

    kind: str
    help: str
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)

    def values(self, **labels: str) -> list[float]:
        """The values whose labels are (at least) these."""
        return [value for (_, have), value in self.samples.items() if set(labels.items()) <= have]


def read_metrics(text: str) -> dict[str, Family]:
    """Read the text format 0.0.4 as strictly as it is specified. AssertionError, with the line, when it is broken."""
    assert text.endswith("\n")
    families: dict[str, Family] = {}
    helped: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, said = line.removeprefix("# HELP ").partition(" ")
            assert name not in helped, f"twice: {line}"
            assert said, line
            helped[name] = said
        elif line.startswith("# TYPE "):
            current, _, kind = line.removeprefix("# TYPE ").partition(" ")
            assert kind in ("counter", "gauge", "histogram", "summary", "untyped"), line
            assert current not in families, f"its lines must be one group: {line}"
            families[current] = Family(kind, helped[current])
        else:
            found = SAMPLE.fullmatch(line)
            assert found, line
            name, family = found["name"], families[current]
            allowed = {current}
            if family.kind == "histogram":
                allowed = {f"{current}_bucket", f"{current}_sum", f"{current}_count"}
            assert name in allowed, f"{line!r} below {current}"
            pairs = LABEL.findall(found["labels"] or "")
            assert "".join(f'{label}="{value}",' for label, value in pairs).rstrip(",") == (found["labels"] or ""), line
            assert len({label for label, _ in pairs}) == len(pairs), f"a label twice: {line}"
            key = name, frozenset(pairs)
            assert key not in family.samples, f"a series twice: {line}"
            family.samples[key] = float(found["value"].replace("Inf", "inf"))
    for name, family in families.items():
        if family.kind == "histogram":
            _check_histogram(name, family)
    return families


def _check_histogram(name: str, family: Family) -> None:
    series: dict[frozenset[tuple[str, str]], list[tuple[float, float]]] = {}
    for (full, labels), value in family.samples.items():
        if full == f"{name}_bucket":
            [bound] = [float(said.replace("Inf", "inf")) for label, said in labels if label == "le"]
            rest = frozenset(pair for pair in labels if pair[0] != "le")
            series.setdefault(rest, []).append((bound, value))
    assert series
    for labels, buckets in series.items():
        counts = [count for _, count in sorted(buckets)]
        assert counts == sorted(counts), f"{name}: buckets that shrink"
        assert sorted(buckets)[-1][0] == float("inf")
        assert family.samples[f"{name}_count", labels] == counts[-1]
        assert (f"{name}_sum", labels) in family.samples


@pytest.fixture(scope="session")
def metrics() -> Callable[[str], dict[str, Family]]:
    """The strict reader."""
    return read_metrics


class Watched:
    """A network that runs, with a stream of which both ends have fetched keys."""

    def __init__(self, home: Path, name: str) -> None:
        self.home, self.name = home, name
        self.ksid, self.key = self._exchange()

    def run(self, *words: str, ok: bool = True) -> Result:
        """Run a command; all that it says is in `.output`."""
        result = CliRunner().invoke(main, ["--home", str(self.home), *words])
        assert not ok or result.exit_code == 0, f"{words}: {result.output}"
        return result

    def client(self, node: str, **how: object) -> Client:
        return Client(node, network=self.name, home=self.home, patience=60.0, **how)  # type: ignore[arg-type]

    def _exchange(self) -> tuple[UUID, Key]:
        names = "app1@Alice", "app2@Bob"
        with self.client("Alice") as alice, self.client("Bob") as bob:
            opened = alice.open_connect(*names, QoS(key_chunk_size=32, timeout=2000))
            assert opened.ksid is not None, opened
            joined = bob.open_connect(*names, ksid=opened.ksid)
            assert joined.status == Status.SUCCESSFUL, joined
            fetched = fetch(alice, opened.ksid)
            assert fetch(bob, opened.ksid).key == fetched.key
            return opened.ksid, fetched


def fetch(client: Client, ksid: UUID, patience: float = 90.0) -> Key:
    """Ask for a key until there is one."""
    ends = time.monotonic() + patience
    while (got := client.get_key(ksid)).status != Status.SUCCESSFUL:
        assert time.monotonic() < ends, f"no key in {patience:g} s: {got}"
    return got


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """One network for every test of this folder that needs one."""
    file = tmp_path_factory.mktemp("watched") / "network.yaml"
    file.write_text(NETWORK)
    with sandbox(load(file)) as box:
        yield Watched(box.home, box.name)
