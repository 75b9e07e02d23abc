from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qkdbus.bus.curve import KeyPair
from qkdbus.network.addresses import allocate
from qkdbus.network.load import load
from qkdbus.network.model import Network
from qkdbus_deploy.bundles import Plan
from qkdbus_deploy.certs import gather
from qkdbus_deploy.plan import Place, Target, plan

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def three_sites() -> Network:
    return load(EXAMPLES / "three-sites.yaml")


@pytest.fixture
def ring() -> Network:
    return load(EXAMPLES / "ring-8.yaml")


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(Place(tmp_path / "home", Path("/run/user/1000/qkdbus"), "/opt/python"))


@pytest.fixture
def pairs() -> Callable[[], KeyPair]:
    """Give numbered pairs in place of chance, so that two plans can be compared."""
    numbers = iter(range(10_000))

    def make() -> KeyPair:
        number = next(numbers)
        return KeyPair(f"public-{number:032}", f"secret-{number:032}")

    return make


@pytest.fixture
def planned(target: Target, pairs: Callable[[], KeyPair]) -> Callable[[Network], Plan]:
    """Plan a network that was never deployed."""

    def of(network: Network) -> Plan:
        return plan(network, allocate(network), gather(network, target.here.home / network.name, pairs), target)

    return of
