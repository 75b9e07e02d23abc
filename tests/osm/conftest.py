"""A fake OSM for each test, and a deployer who keeps a record as the real one does: through JSON."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from qkdbus_deploy.osm.child import Child
from qkdbus_deploy.osm.machines import Machines, make
from qkdbus_deploy.osm.made import Made
from qkdbus_deploy.osm.order import Order
from qkdbus_deploy.osm.osmclient import OsmClient
from qkdbus_deploy.osm.port import Port
from qkdbus_deploy.osm.remove import Unmade, unmake
from qkdbus_deploy.osm.rest import Rest
from qkdbus_deploy.osm.waiting import Pace

from .fake_nbi import FakeNbi
from .nbi_state import Clock

STANDINS = Path(__file__).parent / "standins"
ABSENT = "osmclient is not installed (it is on no package index; docs/osm.md says how to get it)"


@dataclass
class Deployer:
    """Makes and removes machines at an OSM, one call after the other; each REST call logs in anew."""

    nbi: FakeNbi
    order: Order
    clock: Clock
    way: str
    child: Child = field(default_factory=Child)
    said: list[str] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=lambda: Made().plain())

    @contextmanager
    def port(self, order: Order) -> Iterator[Port]:
        if self.way == "rest":
            with closing(Rest(order, clock=self.clock)) as port:
                yield port
            return
        client = OsmClient(order)
        client._child = self.child  # it starts but once a test
        yield client

    @property
    def made(self) -> Made:
        return Made.read(json.loads(json.dumps(self.record)))

    def remember(self, made: Made) -> None:
        self.record = made.plain()

    def make(self, *nodes: str, network: str = "ring", **changed: Any) -> Machines:
        self.order = replace(self.order, **changed)
        pace = Pace(self.clock, self.clock.sleep)
        with self.port(self.order) as port:
            return make(self.order, network, nodes, port, self.said.append, self.remember, self.made, pace=pace)

    def unmake(self, **changed: Any) -> Unmade:
        order = replace(self.order, **changed)
        pace = Pace(self.clock, self.clock.sleep)
        with self.port(order) as port:
            return unmake(order, self.made, port, self.said.append, self.remember, pace=pace)

    def another(self) -> Deployer:
        return Deployer(self.nbi, self.order, self.clock, self.way, self.child)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def nbi(clock: Clock, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FakeNbi]:
    """Speaks HTTPS, but for the stand-in, which makes so many connections that TLS would be most of the work."""
    plain = "way" in request.fixturenames and request.getfixturevalue("way") == "standin"
    addresses = iter(range(11, 250))
    with FakeNbi(lambda node: f"10.0.0.{next(addresses)}", clock=clock, folder=None if plain else tmp_path) as nbi:
        nbi.osm.add_vim("cloud")
        yield nbi


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "you@here", "-f", file], check=True)
    return file.with_suffix(".pub")


@pytest.fixture
def order(nbi: FakeNbi, key: Path) -> Order:
    who: dict[str, Any] = {"user": nbi.user, "password": nbi.password, "project": nbi.project}
    return Order(nbi.hostname, ca=nbi.certificate, vim_account="cloud", ssh_key=key, **who)


@pytest.fixture(params=["rest", "osmclient", "standin"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How OSM is asked: by REST, by the real osmclient where there is one, by a stand-in for it."""
    if request.param == "osmclient" and importlib.util.find_spec("osmclient") is None:
        pytest.skip(ABSENT)
    if request.param == "standin":
        monkeypatch.syspath_prepend(str(STANDINS))
    return str(request.param)


@pytest.fixture
def deployer(nbi: FakeNbi, order: Order, clock: Clock, way: str) -> Iterator[Deployer]:
    deployer = Deployer(nbi, order, clock, way)
    yield deployer
    deployer.child.close()
