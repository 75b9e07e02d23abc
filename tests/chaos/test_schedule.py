"""What is planned for a run: by its seed, all kinds, nothing in each other's way; and what is told of it afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.chaos import networks, recovery, schedule
from benchmarks.chaos.check import Delivery
from benchmarks.chaos.recovery import Flow
from benchmarks.chaos.schedule import Fault, Field
from benchmarks.chaos.striking import Struck, concerned

from qkdbus.network.load import load

LAYERS = ("keymanager", "keysync", "dispatcher", "qbackend")
FIELD = Field(
    {"Alice": (*LAYERS, "emulator"), "Bob": (*LAYERS, "emulator"), "Charlie": LAYERS},
    [("Alice", "Bob"), ("Bob", "Charlie")],
    schedule.kinds(packets=True, read_only=True),
)


def test_a_seed_says_what_happens() -> None:
    one = schedule.plan(FIELD, 230, 600, 7)
    assert one == schedule.plan(FIELD, 230, 600, 7)
    assert one != schedule.plan(FIELD, 230, 600, 8)


@pytest.mark.parametrize("seed", range(5))
def test_a_run_has_faults_of_every_kind_and_all_end_in_time(seed: int) -> None:
    faults = schedule.plan(FIELD, 230, 600, seed)
    assert len(faults) >= 220
    assert {fault.kind for fault in faults} == set(FIELD.kinds)
    assert [fault.number for fault in faults] == list(range(1, len(faults) + 1))
    assert all(0 <= fault.at <= fault.at + fault.length <= 600.1 for fault in faults)
    assert all(fault.layer != "emulator" or fault.where[0] != "Charlie" for fault in faults)


@pytest.mark.parametrize("seed", range(5))
def test_a_short_run_has_faults_of_every_kind_too(seed: int) -> None:
    faults = schedule.plan(FIELD, 45, 80, seed)
    assert len({fault.kind for fault in faults}) >= len(FIELD.kinds) - 1


def test_no_two_faults_undo_each_other() -> None:
    faults = schedule.plan(FIELD, 230, 600, 3)
    for one in faults:
        for other in faults:
            same = one.kind == other.kind and set(one.where) == set(other.where) and one.layer == other.layer
            if one.number < other.number and same and one.kind[:4] != "kill":
                assert one.at + one.length <= other.at + 0.02, f"{one} {other}"


def test_a_fault_concerns_the_streams_that_can_feel_it() -> None:
    node, link, all_ = ("Bob",), ("Bob", "Alice"), ()
    ends = [("Alice", "Bob"), ("Bob", "Charlie"), ("Anna", "Bert")]
    felt = [[concerned(Fault(1, 0.0, "?", where), pair) for pair in ends] for where in (node, link, all_)]
    assert felt == [[True, True, False], [True, False, False], [True, True, True]]


def came(*at: tuple[float, int]) -> list[Delivery]:
    return [Delivery(index, b"", at=time) for time, index in at]


def test_recovery_is_until_both_ends_have_keys_that_were_not_agreed_before() -> None:
    here = came((1.0, 0), (2.0, 1), (13.0, 2), (14.0, 3), (15.0, 4))
    there = came((1.5, 0), (11.0, 1), (12.0, 2), (18.0, 3), (19.0, 4))
    flow = Flow(("Alice", "Bob"), 2, (here, there))
    hit = Struck(Fault(1, 0.0, "stop keysync", ("Bob",), "keysync", 5.0), 5.0, True, 10.0)
    gone = Struck(Fault(2, 0.0, "kill qbackend", ("Bob",), "qbackend"), 5.0, False, 5.0)
    (found,) = recovery.recoveries([hit, gone], [flow])
    assert found.any_key == 3.0, "here the first key after it comes at 13 s"
    assert found.fresh_key == 8.0, "there had 0 only; 1 and 2 may have been agreed; 3 comes at 18 s"
    (row,) = recovery.table([found])
    assert (row.kind, row.count, row.any_key, row.fresh_key, row.never) == ("stop keysync", 1, (3, 3), (8, 8), 0)


def test_a_fault_after_which_nothing_came_is_told() -> None:
    flow = Flow(("Alice", "Bob"), 2, (came((1.0, 0)), came((1.0, 0), (9.0, 1))))
    hit = Struck(Fault(1, 0.0, "link cut", ("Alice", "Bob"), "", 1.0), 1.0, True, 2.0)
    (found,) = recovery.recoveries([hit], [flow])
    assert (found.any_key, found.fresh_key) == (None, None)
    assert recovery.table([found])[0].never == 1


@pytest.mark.parametrize("nodes", [3, 8])
def test_the_networks_are_what_their_streams_need(nodes: int, tmp_path: Path) -> None:
    file = tmp_path / "network.yaml"
    file.write_text(networks.text(nodes))
    network = load(file)
    assert len(network.names) == nodes
    for plan in networks.streams(nodes):
        assert plan.ends[1] in network.node(plan.ends[0]).neighbour_nodes
    links = {tuple(sorted(plan.ends)) for plan in networks.streams(nodes)}
    assert len(links) == (2 if nodes == 3 else 8), "every link has a stream"
