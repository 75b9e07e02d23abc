"""Descriptors: what they hold, that they are the same for the same order, and that the fake OSM takes them."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
import yaml

from qkdbus.errors import Refused
from qkdbus_deploy.osm import descriptors
from qkdbus_deploy.osm.order import Order

from . import nbi_checks as checks

ORDER = Order("osm", image="debian-12", cpus=4, memory_gb=1.5, storage_gb=9)


def test_a_package_holds_the_machine_ordered() -> None:
    package = descriptors.package(ORDER)
    vnfd, _ = checks.package(package.content, "application/gzip", None)
    assert vnfd["id"] == vnfd["product-name"] == package.descriptor
    assert vnfd["sw-image-desc"][0]["image"] == "debian-12"
    compute = vnfd["virtual-compute-desc"][0]
    assert compute["virtual-cpu"]["num-virtual-cpu"] == 4 and compute["virtual-memory"]["size"] == 1.5
    assert vnfd["virtual-storage-desc"][0]["size-of-storage"] == 9


def test_the_sums_in_a_package_are_those_of_its_files() -> None:
    with tarfile.open(fileobj=io.BytesIO(descriptors.package(ORDER).content)) as tar:
        files = {each.name.split("/", 1)[1]: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr]
    lines = [line.split() for line in files.pop("checksums.txt").decode().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert sums == {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    assert len(sums) == 2


def test_the_same_order_is_the_same_package_and_another_is_another(tmp_path: Path) -> None:
    again = Order("elsewhere", user="somebody", image="debian-12", cpus=4, memory_gb=1.5, storage_gb=9)
    assert descriptors.package(ORDER) == descriptors.package(again)
    own = tmp_path / "init"
    own.write_text("#cloud-config\npackages: [python3.11]\n")
    others = [Order("osm"), Order("osm", cpus=4), Order("osm", image="debian-12"), Order("osm", cloud_init=own)]
    assert len({descriptors.package(each).descriptor for each in (ORDER, *others)}) == 5


def test_a_service_names_each_node_once_and_ties_it_to_the_management_network() -> None:
    text = descriptors.service(Order("osm", management_network="provider"), "ring_1", "machine", ["alice", "bob"])
    vnfd = {"id": "machine", "ext-cpd": [{"id": "mgmt-ext"}]}
    nsd = checks.nsd(text.encode(), {"machine": vnfd})
    assert nsd["virtual-link-desc"] == [{"id": "mgmtnet", "mgmt-network": True, "vim-network-name": "provider"}]
    for node, profile in zip(["alice", "bob"], nsd["df"][0]["vnf-profile"], strict=True):
        [end] = profile["virtual-link-connectivity"][0]["constituent-cpd-id"]
        assert profile["id"] == end["constituent-base-element-id"] == node


def test_without_a_management_network_osm_chooses() -> None:
    text = descriptors.service(Order("osm"), "ring_1", "machine", ["alice"])
    assert yaml.safe_load(text)["nsd"]["nsd"][0]["virtual-link-desc"] == [{"id": "mgmtnet", "mgmt-network": True}]


def test_names_that_osm_cannot_take_are_refused() -> None:
    with pytest.raises(Refused, match="none of"):
        descriptors.service(Order("osm"), "ring_1", "machine", ["it's"])


@pytest.mark.parametrize(("node", "host"), [("alice", "alice"), ("Bob_2.x", "bob-2-x"), ("__", "node")])
def test_a_machine_calls_itself_as_its_node_as_far_as_it_may(node: str, host: str) -> None:
    assert descriptors.hostname(node) == host


def test_a_cloud_init_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="No such file"):
        descriptors.package(Order("osm", cloud_init=tmp_path / "none"))
    (tmp_path / "odd").write_text("packages: [python3.11]\n")
    with pytest.raises(Refused, match="its first line is neither"):
        descriptors.package(Order("osm", cloud_init=tmp_path / "odd"))
