"""OSM's records, the deployment's record, and the inventory."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from qkdbus.errors import BadFile
from qkdbus_deploy.osm import records
from qkdbus_deploy.osm.inventory import to_inventory
from qkdbus_deploy.osm.machines import Machines
from qkdbus_deploy.osm.made import Made, Service
from qkdbus_deploy.osm.order import Key, Order
from qkdbus_deploy.osm.port import Function

MANAGEMENT = {"name": "eth0", "mgmt-vnf": True, "ip-address": "10.0.0.7"}
OTHER = {"name": "eth1", "ip-address": "10.9.9.9"}


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"ip-address": "10.0.0.5", "vdur": [{"ip-address": "10.0.0.6"}]}, "10.0.0.5"),
        ({"ip-address": "203.0.113.5;10.0.0.5"}, "203.0.113.5"),
        ({"ip-address": None, "vdur": [{"ip-address": None}, {"ip-address": "10.0.0.6"}]}, "10.0.0.6"),
        ({"vdur": [{"interfaces": [OTHER, MANAGEMENT]}]}, "10.0.0.7"),
        ({"vdur": [{"interfaces": [OTHER]}]}, None),
        ({"vdur": None}, None),
        ({}, None),
    ],
)
def test_a_machine_is_at_its_management_address(fields: dict[str, Any], address: str | None) -> None:
    assert records.function({"_id": "1", "member-vnf-index-ref": "alice", **fields}) == Function("alice", address)


def test_a_list_of_stages_is_one_line_and_long_words_are_cut() -> None:
    found = records.operation(
        {"_id": "1", "operationState": "FAILED", "stage": ["Stage 2/5", "", "VMs"], "detailed-status": "x\n" * 3000}
    )
    assert found.stage == "Stage 2/5; VMs" and found.bad and not found.good
    assert len(found.detail) == 2000 and found.detail.endswith("x...")


def test_what_was_made_survives_being_written_down() -> None:
    made = Made("https://osm:9999/osm project lab", {"node": "1"}, (Service("ring_1", ("a", "b"), "node", "2", "3"),))
    assert Made.read(made.plain()) == made and made and not Made()


def test_a_record_that_is_none_is_said_to_be() -> None:
    for odd in ({}, {"at": "", "packages": {}, "services": [{"name": "x"}]}, {"at": "", "packages": 5, "services": []}):
        with pytest.raises(BadFile, match="cannot be read"):
            Made.read(odd)


def test_an_inventory_says_where_who_and_with_which_key() -> None:
    machines = Machines({"alice": "10.0.0.5"}, {}, Made(), Key("ssh-ed25519 AAAA", Path("/home/me/.ssh/id")))
    found = to_inventory(Order("osm", image_user="debian"), machines, Path("/home/my self/known_hosts"))
    assert found["all"]["hosts"] == {"alice": {"ansible_host": "10.0.0.5"}}
    common = found["all"]["vars"]
    assert (common["ansible_user"], common["ansible_ssh_private_key_file"]) == ("debian", "/home/me/.ssh/id")
    options = shlex.split(common["ansible_ssh_common_args"])
    assert options[3] == 'UserKnownHostsFile="/home/my self/known_hosts"'


def test_a_key_in_an_agent_is_left_to_the_agent() -> None:
    found = to_inventory(Order("osm"), Machines({"alice": "10.0.0.5"}, {}, Made(), Key("ssh-ed25519 AAAA", None)))
    assert set(found["all"]["vars"]) == {"ansible_connection", "ansible_user"}
