"""Deploy through OSM to the end: machines are made, become nodes, give equal keys, and are removed again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.hosts.fixtures import able, new_lab
from tests.hosts.sites import Site, packed, site

from .fake_nbi import FakeNbi
from .nbi_state import Outcome

__all__ = ["able", "new_lab", "packed", "site"]
pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]


class Cloud:
    """OSM whose machines are the hosts of a lab, switched off until they are made."""

    def __init__(self, net: Site, folder: Path) -> None:
        self.net, self.lab = net, net.lab
        for host in self.lab.hosts:
            self.lab.crash(host)
        with self.lab.inside():
            self.nbi = FakeNbi(self._make, self._unmake, clock=time.time, folder=folder)
        self.nbi.osm.making[:] = [Outcome(2.0)]
        self.nbi.osm.ending[:] = [Outcome(1.0)]
        self.nbi.osm.add_vim("lab")
        self.environment = {
            "OSM_HOSTNAME": self.nbi.hostname,
            "OSM_USER": self.nbi.user,
            "OSM_PASSWORD": self.nbi.password,
            "OSM_PROJECT": self.nbi.project,
        }
        public = self.lab.key.with_suffix(".pub")
        # `--osm-way rest`: osmclient does not check certificates, and may or may not be here
        self.words: list[object] = ["--osm-ca", self.nbi.certificate, "--osm-way", "rest"]
        self.order = [*self.words, "--vim-account", "lab", "--ssh-key", public, "--image-user", "root"]

    def _make(self, node: str) -> str:
        self.lab.boot(node)
        return str(self.lab.hosts[node].address)

    def _unmake(self, node: str) -> None:
        self.lab.crash(node)


@pytest.fixture
def cloud(site: Callable[..., Site], tmp_path: Path) -> Iterator[Callable[..., Cloud]]:
    open_ones: list[Cloud] = []

    def make(*names: str) -> Cloud:
        made = Cloud(site(*names), tmp_path)
        made.nbi.__enter__()
        open_ones.append(made)
        return made

    yield make
    for one in open_ones:
        one.nbi.__exit__(None, None, None)


def test_machines_are_made_give_keys_and_are_removed(cloud: Callable[..., Cloud]) -> None:
    here = cloud("A", "B", "C")
    net, osm = here.net, here.nbi.osm
    file = net.file("AB")
    file.write_text(file.read_text().replace("node_ip", "node_ip: 192.0.2.1 #"))  # of no use: OSM gives addresses
    done = net.json("deploy", file, *here.order, env=here.environment)
    assert done["ready"] and sorted(done["changed"]) == ["A", "B"], done
    assert list(done["phases"])[:3] == ["upload", "instantiation", "ssh"]
    assert done["phases"]["instantiation"] >= 2.0
    assert [vm.vim for vm in osm.vms.values()] and {vm.node for vm in osm.vms.values()} == {"A", "B"}
    net.keys_are_equal()
    assert net.json("status", "net")["state"] == "ready"

    done = net.json("deploy", net.file("ABC"), env=here.environment)  # one more; where OSM is, is known
    assert done["ready"] and sorted(done["changed"]) == ["B", "C"], done
    net.keys_are_equal()

    kept = (net.lab.home / ".qkdbus/net/.fleet/record.json").read_text()
    assert here.nbi.password not in kept
    net.run("destroy", "net", "--yes", env=here.environment)
    assert not osm.vms and not osm.services and not osm.nsds and not osm.vnfds
    assert not (net.lab.home / ".qkdbus/net").exists()


def test_machines_that_cannot_be_made_are_told_and_the_next_run_makes_them(cloud: Callable[..., Cloud]) -> None:
    here = cloud("A", "B")
    here.nbi.osm.making[:] = [Outcome(1.0, "FAILED", "no valid host was found: not enough memory"), Outcome(1.0)]
    file = here.net.file("AB", link_defaults={"emulator": "ideal"})
    said = here.net.run("deploy", file, *here.order, code=1, env=here.environment)
    assert "not enough memory" in said, said
    assert here.net.json("deploy", file, env=here.environment)["ready"]
    here.net.keys_are_equal()
    here.net.run("destroy", "net", "--yes", env=here.environment)
    assert not here.nbi.osm.vms


def test_a_wrong_password_for_osm_is_told_and_leaves_nothing(cloud: Callable[..., Cloud]) -> None:
    here = cloud("A")
    wrong = {**here.environment, "OSM_PASSWORD": "guess-me"}
    said = here.net.run("deploy", here.net.file("A"), *here.order, code=2, env=wrong)
    assert "guess-me" not in said and "password" in said.lower(), said
    assert not (here.net.lab.home / ".qkdbus/net").exists()
