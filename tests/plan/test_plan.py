"""What each node gets follows from the network file alone, and the two ends of a link agree on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qkdbus.bus.curve import KeyPair
from qkdbus.errors import Refused
from qkdbus.network.addresses import allocate, numbers
from qkdbus.network.model import LayerChoice, LinkSettings, Network
from qkdbus.runtime.settings import load
from qkdbus_deploy.bundles import File, Plan
from qkdbus_deploy.certs import gather
from qkdbus_deploy.plan import Target, plan

Planned = Callable[[Network], Plan]


def test_the_same_network_gives_the_same_plan(ring: Network, target: Target, pairs: Callable[[], KeyPair]) -> None:
    keys = gather(ring, target.here.home, pairs)
    assert plan(ring, allocate(ring), keys, target) == plan(ring, allocate(ring), keys, target)


def test_every_node_gets_the_ports_it_was_given(ring: Network, planned: Planned) -> None:
    ports = allocate(ring)
    found = {bundle.name: bundle.settings.ports for bundle in planned(ring).bundles}
    assert found == ports
    assert len({port for one in found.values() for port in numbers(one)}) == 8 * 5


def test_the_two_ends_of_a_link_agree_on_it(ring: Network, planned: Planned) -> None:
    settings = {bundle.name: bundle.settings for bundle in planned(ring).bundles}
    ends = [(one, other) for one in settings.values() for other in one.neighbours]
    assert len(ends) == 16
    for one, seen in ends:
        other = settings[seen.name]
        back = other.neighbour(one.name)
        assert seen.arbiter is not back.arbiter
        assert seen.arbiter is (one.name < other.name)
        assert seen.link == back.link
        assert (seen.host, seen.ports) == (other.host, other.ports)
        assert seen.emulator_socket == f"{other.run}/simulaqron.sock"


def test_each_neighbour_is_known_by_the_key_it_has(three_sites: Network, planned: Planned) -> None:
    found = planned(three_sites)
    own = {
        bundle.name: json.loads(next(file.text for file in bundle.files if file.path == "certs/node.json"))
        for bundle in found.bundles
    }
    assert len({pair["public_key"] for pair in own.values()}) == 3
    for bundle in found.bundles:
        for neighbour in bundle.settings.neighbours:
            assert neighbour.public_key == own[neighbour.name]["public_key"]


def test_the_client_file_opens_the_north_door_of_each_node(three_sites: Network, planned: Planned) -> None:
    found = planned(three_sites)
    [file] = found.files
    client = json.loads(file.text)
    assert (file.path, client["network"], list(client["nodes"])) == (
        "client.json",
        "three-sites",
        ["Alice", "Bob", "Charlie"],
    )
    for bundle in found.bundles:
        entry, files = client["nodes"][bundle.name], {file.path: file.text for file in bundle.files}
        assert entry["endpoint"] == f"tcp://127.0.0.1:{bundle.settings.ports.north}"
        assert entry["server_key"] == json.loads(files["certs/node.json"])["public_key"]
        assert json.loads(files["certs/apps.json"]) == {"*": entry["public_key"]}
        assert entry["app"] == "*"


def test_a_service_reads_the_settings_that_were_planned(three_sites: Network, planned: Planned, tmp_path: Path) -> None:
    for bundle in planned(three_sites).bundles:
        (tmp_path / "node.yaml").write_text(next(file.text for file in bundle.files if file.path == "node.yaml"))
        assert load(tmp_path) == bundle.settings


def test_a_node_without_an_emulated_link_has_no_emulator(three_sites: Network, planned: Planned) -> None:
    link = three_sites.link_defaults.model_copy(update={"emulator": "ideal"})
    ideal = LinkSettings.model_validate({"emulator": link.emulator})
    bundle = planned(three_sites.model_copy(update={"link_defaults": ideal})).bundle("Bob")
    assert [program.name for program in bundle.programs] == ["keymanager", "keysync", "dispatcher", "qbackend_0"]
    assert {neighbour.emulator_socket for neighbour in bundle.settings.neighbours} == {""}


def test_replicas_are_programs_with_a_port_each(three_sites: Network, planned: Planned) -> None:
    network = three_sites.model_copy(update={"layers": {"qbackend": LayerChoice(replicas=3)}})
    bundle = planned(network).bundle("Alice")
    workers = [program for program in bundle.programs if program.layer == "qbackend"]
    assert [(worker.name, worker.command[-2:]) for worker in workers] == [
        ("qbackend_0", ("--replica", "0")),
        ("qbackend_1", ("--replica", "1")),
        ("qbackend_2", ("--replica", "2")),
    ]
    assert len(set(bundle.settings.ports.qbackend)) == 3
    assert bundle.settings.layers["qbackend"].replicas == 3


@pytest.mark.parametrize(
    ("run", "begins"),
    [
        (None, ("/opt/python", "-m", "qkdbus_keysync")),
        ("mylab", ("/opt/python", "-m", "mylab_keysync")),
        ("python3 -m other_keysync", ("/opt/python", "-m", "other_keysync")),
        ("'/opt/my lab/keysync' --fast", ("/opt/my lab/keysync", "--fast")),
    ],
)
def test_a_layer_may_be_another_program(
    run: str | None, begins: tuple[str, ...], three_sites: Network, target: Target, pairs: Callable[[], KeyPair]
) -> None:
    network = three_sites.model_copy(update={"layers": {"keysync": LayerChoice(run=run)}})
    target = replace(target, packages={"mylab": "mylab_keysync"})
    found = plan(network, allocate(network), gather(network, target.here.home, pairs), target)
    [command] = [program.command for program in found.bundle("Bob").programs if program.layer == "keysync"]
    assert command == (*begins, str(target.here.home / "three-sites" / "Bob"))


def test_sockets_of_a_node_with_a_long_path_live_elsewhere(
    three_sites: Network, target: Target, pairs: Callable[[], KeyPair]
) -> None:
    deep = replace(
        target, here=replace(target.here, home=Path("/h") / ("x" * 90), run_root=Path("/run/user/1000/qkdbus"))
    )
    found = plan(three_sites, allocate(three_sites), gather(three_sites, deep.here.home, pairs), deep)
    runs = {bundle.run for bundle in found.bundles}
    assert {run.parent for run in runs} == {deep.here.run_root}
    assert len(runs) == 3
    assert all(len(f"{run}/supervisor.sock.4194304") <= 107 for run in runs)
    shallow = replace(deep, here=replace(deep.here, home=Path("/h")))
    near = plan(three_sites, allocate(three_sites), gather(three_sites, deep.here.home, pairs), shallow)
    assert near.bundle("Bob").run == Path("/h/three-sites/Bob/run")


def test_a_machine_without_a_short_path_for_sockets_is_refused(
    three_sites: Network, target: Target, pairs: Callable[[], KeyPair]
) -> None:
    deep = replace(target, here=replace(target.here, home=Path("/h") / ("x" * 90), run_root=Path("/r") / ("x" * 90)))
    with pytest.raises(Refused, match="XDG_RUNTIME_DIR or TMPDIR"):
        plan(three_sites, allocate(three_sites), gather(three_sites, deep.here.home, pairs), deep)


def test_nothing_that_prints_a_plan_prints_a_secret(three_sites: Network, planned: Planned) -> None:
    found = planned(three_sites)
    secrets = [secret for file in _files(found) for secret in file.secrets]
    assert len(secrets) == 6 + 2 * 2  # of nodes, of the local user at each; of links, at both ends
    assert all(any(secret in file.text for file in _files(found)) for secret in secrets)
    shown = repr(found) + "".join(file.shown for file in _files(found))
    assert "secret-" not in shown
    assert not [secret for secret in secrets if secret in shown]


def test_a_digest_tells_whether_services_have_to_start_again(three_sites: Network, planned: Planned) -> None:
    bundle = planned(three_sites).bundle("Alice")

    def changed(path: str) -> str:
        files = tuple(replace(file, text=file.text + " ") if file.path == path else file for file in bundle.files)
        return replace(bundle, files=files).digest

    assert changed("node.yaml") != bundle.digest
    assert changed("certs/apps.json") == bundle.digest  # read again while they run


def _files(found: Plan) -> list[File]:
    return [*found.files, *(file for bundle in found.bundles for file in bundle.files)]
