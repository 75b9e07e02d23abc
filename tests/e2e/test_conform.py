"""`qkdbus conform` at the endpoints of a network that runs, while streams are open."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import Result

if TYPE_CHECKING:
    from .conftest import Net

Run = Callable[..., Result]


def conforms(said: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said.stdout)
    assert said.exit_code == 0, [check for check in found["checks"] if check["verdict"] == "broken"]
    return {check["name"]: check["verdict"] for check in found["checks"]}


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["keymanager", "keysync", "dispatcher", "qbackend", "emulator"])
def test_each_service_of_a_node_conforms_where_it_runs(sites: Net, qkdbus: Run, layer: str) -> None:
    ends = sites.open("Bob", "Charlie")
    ends.agree(1)
    before = sites.pids()
    endpoint = sites.settings("Bob").ipc("qbackend.0" if layer == "qbackend" else layer)
    verdicts = conforms(qkdbus("conform", layer, endpoint, "--json"))
    assert sum(verdict == "holds" for verdict in verdicts.values()) >= 12
    assert sites.pids() == before
    ends.agree(1)
    ends.close()


@pytest.mark.slow
def test_a_key_manager_conforms_at_its_door_for_applications(sites: Net, qkdbus: Run) -> None:
    environment = {"QKDBUS_HOME": str(sites.home)}
    file = qkdbus("client", "add", "Alice", "prober", env=environment).stdout.split()[-1]
    try:
        verdicts = conforms(qkdbus("conform", "keymanager", "--credential", file, "--json"))
        assert verdicts["an-unknown-stream-is-told"] == verdicts["an-oversize-message-does-no-harm"] == "holds"
    finally:
        assert qkdbus("client", "revoke", "Alice", "prober", env=environment).exit_code == 0
