"""Machines made, found again, added and removed: by REST, by osmclient, and by a stand-in for osmclient."""

from __future__ import annotations

import json

import pytest

from qkdbus.errors import Failed, QkdbusError, Refused, Unauthorised, Unavailable

from .conftest import Deployer
from .nbi_state import Outcome


def test_every_node_gets_a_machine_that_lets_us_in_and_knows_its_name(deployer: Deployer) -> None:
    machines = deployer.make("alice", "Bob_2", management_network="provider")
    assert machines.addresses == {"alice": "10.0.0.11", "Bob_2": "10.0.0.12"}
    assert machines.phases["instantiation"] == pytest.approx(30, abs=11)  # of the fake's clock, with the last pause
    vm = deployer.nbi.osm.vms["Bob_2"]
    assert [each.strip() for each in vm.keys] == [deployer.order.key().public]
    assert "hostname: bob-2\n" in vm.cloud_init and vm.network == "provider"
    assert machines.key.private == deployer.order.ssh_key.with_suffix("")  # type: ignore[union-attr]


def test_nothing_said_or_recorded_is_secret(deployer: Deployer) -> None:
    deployer.make("alice")
    deployer.unmake()
    tokens = deployer.nbi.issued
    told = json.dumps([deployer.said, deployer.record, repr(deployer.order)])
    assert tokens and not any(secret in told for secret in (deployer.order.password, *tokens))


def test_a_second_call_reads_addresses_and_changes_nothing(deployer: Deployer) -> None:
    first = deployer.make("alice", "bob")
    before = len(deployer.nbi.asked)
    again = deployer.make("alice", "bob")
    assert again.addresses == first.addresses and again.made == first.made
    assert first.fresh == {"alice", "bob"} and again.fresh == frozenset()
    assert again.phases == {"upload": 0.0, "instantiation": 0.0}
    changes = [each for each in deployer.nbi.asked[before:] if not each.startswith("GET")]
    assert all("/tokens" in each for each in changes)


def test_a_floating_address_is_taken_before_the_fixed_one_it_leads_to(deployer: Deployer) -> None:
    deployer.nbi.osm.machines = lambda node: "203.0.113.7;10.0.0.7"
    assert deployer.make("alice").addresses == {"alice": "203.0.113.7"}


def test_an_added_node_gets_a_service_of_its_own_and_goes_with_it(deployer: Deployer) -> None:
    first = deployer.make("alice", "bob")
    more = deployer.make("alice", "bob", "carol")
    assert more.fresh == {"carol"}
    assert {**more.addresses, "carol": ""} == {**first.addresses, "carol": ""}
    assert [each.nodes for each in more.made.services] == [("alice", "bob"), ("carol",)]
    fewer = deployer.make("alice", "bob")
    assert fewer.addresses == first.addresses and sorted(deployer.nbi.osm.vms) == ["alice", "bob"]
    assert len(deployer.nbi.osm.nsds) == 1


def test_a_machine_in_a_service_with_others_stays_and_is_said_to(deployer: Deployer) -> None:
    first = deployer.make("alice", "bob")
    assert list(deployer.make("alice").addresses) == ["alice"]
    assert any("machine of bob: kept" in each for each in deployer.said)
    assert deployer.make("alice", "bob").addresses == first.addresses
    assert len(deployer.nbi.osm.services) == 1


def test_a_node_may_go_to_another_cloud(deployer: Deployer) -> None:
    far = deployer.nbi.osm.add_vim("far")
    deployer.make("alice", "bob", vim_accounts={"bob": "far"})
    assert deployer.nbi.osm.vms["bob"].vim == far != deployer.nbi.osm.vms["alice"].vim


def test_the_same_machine_is_described_once_and_another_one_anew(deployer: Deployer) -> None:
    deployer.make("alice")
    deployer.another().make("dave", network="line")
    assert len(deployer.nbi.osm.vnfds) == 1
    deployer.make("alice", "bob", image="debian-12")
    assert sorted(each["sw-image-desc"][0]["image"] for each in deployer.nbi.osm.vnfds.values()) == [
        "debian-12",
        "ubuntu24.04",
    ]


def test_what_was_made_is_removed_and_nothing_else(deployer: Deployer) -> None:
    other = deployer.another()
    other.make("alice", network="theirs", cpus=1)
    there = (set(deployer.nbi.osm.services), set(deployer.nbi.osm.nsds), set(deployer.nbi.osm.vnfds))
    deployer.make("alice2", "bob", cpus=2)
    gone = deployer.unmake()
    assert not gone.made and gone.left == () and not deployer.made
    osm = deployer.nbi.osm
    assert (set(osm.services), set(osm.nsds), set(osm.vnfds)) == there and list(osm.vms) == ["alice"]
    assert deployer.unmake().left == ()


def test_a_package_that_others_use_is_left_and_said_to_be(deployer: Deployer) -> None:
    deployer.make("alice")
    deployer.another().make("dave", network="line")
    gone = deployer.unmake()
    assert not gone.made and gone.left == () and len(deployer.nbi.osm.vnfds) == 1
    assert any("left at OSM, other network services use it" in each for each in deployer.said)


def test_a_failure_is_told_in_osms_words_and_made_anew_when_its_cause_is_mended(deployer: Deployer) -> None:
    deployer.nbi.osm.making = [Outcome(20.0, "FAILED", "Quota exceeded for cores: Requested 2, allowed 0"), Outcome()]
    with pytest.raises(Failed, match=r"alice.*FAILED.*Quota exceeded for cores"):
        deployer.make("alice")
    assert deployer.make("alice").addresses == {"alice": "10.0.0.11"}
    assert len(deployer.nbi.osm.services) == len(deployer.nbi.osm.nsds) == 1


def test_an_impatient_call_is_gone_on_with_by_the_next(deployer: Deployer) -> None:
    deployer.nbi.osm.making = [Outcome(100.0)]
    with pytest.raises(Unavailable, match="not finished the machines of alice after 50 s"):
        deployer.make("alice", timeout=50.0)
    assert deployer.make("alice", timeout=500.0).addresses == {"alice": "10.0.0.11"}
    assert len(deployer.nbi.osm.services) == 1


def test_what_never_ends_ends_for_us_and_can_be_removed(deployer: Deployer) -> None:
    deployer.nbi.osm.making = [Outcome(None)]
    with pytest.raises(Unavailable):
        deployer.make("alice", timeout=50.0)
    assert deployer.unmake().left == () and not deployer.nbi.osm.services and not deployer.nbi.osm.leaked


@pytest.mark.parametrize("path", ["vnf_packages_content", "ns_descriptors_content", "ns_instances_content"])
@pytest.mark.parametrize("then", ["make", "unmake"])
def test_what_was_made_without_our_hearing_of_it_is_found_again(deployer: Deployer, path: str, then: str) -> None:
    deployer.nbi.lost = [path]
    with pytest.raises(QkdbusError):
        deployer.make("alice")
    if then == "make":
        assert deployer.make("alice").addresses == {"alice": "10.0.0.11"}
        assert len(deployer.nbi.osm.services) == len(deployer.nbi.osm.nsds) == len(deployer.nbi.osm.vnfds) == 1
    assert deployer.unmake().left == ()
    assert not deployer.nbi.osm.services and not deployer.nbi.osm.nsds and not deployer.nbi.osm.vnfds
    assert not deployer.nbi.osm.leaked


def test_a_service_that_somebody_removed_is_made_anew(deployer: Deployer) -> None:
    deployer.make("alice")
    [ns] = deployer.nbi.osm.services
    deployer.nbi.osm.terminate(ns, force=True)
    assert deployer.make("alice").addresses == {"alice": "10.0.0.12"}
    assert len(deployer.nbi.osm.nsds) == 1 and any("gone from OSM" in each for each in deployer.said)


def test_a_service_ended_before_it_began_leaves_no_record(deployer: Deployer) -> None:
    deployer.nbi.osm.pickup = 3.0
    deployer.nbi.lost = ["ns_instances_content"]
    with pytest.raises(QkdbusError):
        deployer.make("alice")
    assert deployer.unmake().left == ()
    assert not deployer.nbi.osm.services and not deployer.nbi.osm.vms and not deployer.nbi.osm.leaked


def test_what_cannot_be_removed_is_named_kept_and_removed_later(deployer: Deployer) -> None:
    deployer.make("alice")
    deployer.make("alice", "bob")
    deployer.nbi.osm.ending = [Outcome(5.0, "FAILED", "VIM unreachable"), Outcome(5.0)]
    stuck = deployer.unmake()
    assert [each.nodes for each in stuck.made.services] == [("alice",)] and list(deployer.nbi.osm.vms) == ["alice"]
    assert "alice" in stuck.left[0] and "VIM unreachable" in stuck.left[0]
    assert deployer.unmake().left == () and not deployer.nbi.osm.services and not deployer.nbi.osm.vnfds


def test_a_partial_success_without_an_address_says_which_node_has_none(deployer: Deployer) -> None:
    deployer.nbi.osm.making = [Outcome(9.0, "PARTIALLY_COMPLETED", "1 of 2", without=("bob",))]
    with pytest.raises(Failed, match="no address of bob"):
        deployer.make("alice", "bob")
    assert any("PARTIALLY_COMPLETED: 1 of 2" in each for each in deployer.said)


def test_a_token_that_runs_out_is_no_end(deployer: Deployer) -> None:
    deployer.nbi.token_life = 5.0
    assert deployer.make("alice").addresses == {"alice": "10.0.0.11"}


def test_an_unknown_cloud_is_refused_and_the_known_ones_named(deployer: Deployer) -> None:
    with pytest.raises(Refused, match=r"no VIM account 'clowd' \(for alice\); it has cloud"):
        deployer.make("alice", vim_account="clowd")
    assert not deployer.nbi.osm.vnfds and not deployer.made


def test_a_cloud_in_error_is_said_to_be(deployer: Deployer) -> None:
    deployer.nbi.osm.add_vim("broken", "ERROR", "Authentication failure at keystone")
    with pytest.raises(Unavailable, match="'broken' is ERROR: Authentication failure at keystone"):
        deployer.make("alice", vim_account="broken")


def test_a_wrong_password_is_unauthorised_and_not_repeated(deployer: Deployer) -> None:
    with pytest.raises(Unauthorised, match="invalid username or password") as raised:
        deployer.make("alice", password="not this one")
    assert "not this one" not in str(raised.value)


def test_a_project_unknown_to_osm_makes_nobody_think_that_all_is_gone(deployer: Deployer) -> None:
    deployer.make("alice")
    deployer.nbi.project = "renamed"
    with pytest.raises(QkdbusError, match="did not let us in"):
        deployer.unmake()
    with pytest.raises(QkdbusError, match="did not let us in"):
        deployer.make("alice")
    assert deployer.made.services


def test_another_osm_is_not_asked_to_remove_what_this_one_made(deployer: Deployer) -> None:
    deployer.make("alice")
    with pytest.raises(Refused, match="were made by OSM at"):
        deployer.unmake(project="another")
    assert deployer.nbi.osm.services


def test_a_question_in_between_that_osm_does_not_answer_is_asked_again(deployer: Deployer) -> None:
    deployer.nbi.osm.making = [Outcome(60.0)]
    pauses = 0

    def sleep(seconds: float) -> None:
        nonlocal pauses
        deployer.clock.now += seconds
        pauses += 1
        deployer.nbi.busy = pauses % 2

    deployer.clock.sleep = sleep  # type: ignore[method-assign]
    assert deployer.make("alice").addresses == {"alice": "10.0.0.11"}
    assert pauses > 4


def test_an_osm_that_answers_no_more_is_given_up_and_gone_on_with_later(deployer: Deployer) -> None:
    deployer.nbi.osm.making = [Outcome(200.0)]
    usual = deployer.clock.sleep

    def sleep(seconds: float) -> None:
        usual(seconds)
        deployer.nbi.busy = 1000

    deployer.clock.sleep = sleep  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="no healthy upstream"):
        deployer.make("alice")
    deployer.clock.sleep, deployer.nbi.busy = usual, 0  # type: ignore[method-assign]
    assert deployer.make("alice").addresses == {"alice": "10.0.0.11"}
    assert len(deployer.nbi.osm.services) == 1
