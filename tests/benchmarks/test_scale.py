"""Sixty-four nodes on one machine: an 8x8 grid comes up and gives a key at both ends of every link."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import dispatch, scale
from benchmarks.every_link import every_link
from benchmarks.replicas import Rate, page
from benchmarks.scale import Carried, grid, ring

from qkdbus.network.load import load
from qkdbus_deploy.sandbox import sandbox
from qkdbus_deploy.status import look

GRID = Carried("grid", "ideal", 64, 112, processes=321, ready_s=4.0, cpu_s=7.0, pss_mb=1400.0, compared=112)


def test_a_ring_and_a_grid_have_the_links_that_they_are_named_for() -> None:
    assert (len(ring(64, "ideal").nodes), len(ring(64, "ideal").links)) == (64, 64)
    shape = grid(64, "ideal")
    assert (len(shape.nodes), len(shape.links)) == (64, 112)
    ends = [node for link in shape.links for node in link]
    assert sorted({ends.count(node) for node in shape.nodes}) == [2, 3, 4]
    odd = grid(90, "ideal")
    assert (len(odd.nodes), len(odd.links)) == (90, 9 * 9 + 8 * 10)


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (GRID, ""),
        (replace(GRID, trouble="n0001: keysync is not ready"), "keysync is not ready"),
        (replace(GRID, ready_s=50.0, cpu_s=95.0), "1.9 of"),
        (replace(GRID, nodes=1000), "as many as were asked for"),
        (replace(GRID, pss_mb=1e9), "memory"),
    ],
)
def test_growth_ends_for_a_reason(last: Carried, why: str) -> None:
    said = scale._ends(last, most=1000, longest=60.0)
    assert why in said
    assert bool(said) == bool(why)


def test_the_pages_tell_of_all() -> None:
    told = scale.page([replace(GRID, trouble="2 links gave no key")], [([GRID], "memory: too much")], 0.1)
    for words in ("| grid | ideal | 64 | 112 | 321 |", "2 links gave no key", "Where this machine ends", "memory: too"):
        assert words in told
    light = {"replicas": 2, "secret_bps": 2e6, "sifted_bps": 4e6, "blocks": 3, "failed": 0, "taken": 1.5}
    ways = [dispatch.Way(way, bits, 1e-3, 1000.0) for bits in dispatch.BLOCKS for way in dispatch.WAYS]
    told = page([{**light, "keys_equal": 7}], [Rate("one link", 1, 1, 900.0, 4, 0, 1.2, 0.8, 0.3)], ways, 0.1)
    for words in ("| 2 | 2.00 | 1.00 | 4.00 |", "| one link | 1 | 900 |", "`reserve` and `exchange`", "1,048,576 bits"):
        assert words in told


@pytest.mark.slow
@pytest.mark.crowded
@pytest.mark.timeout(900)
def test_a_grid_of_sixty_four_nodes_gives_a_key_at_both_ends_of_every_link(tmp_path: Path) -> None:
    shape = grid(64, "ideal")
    file = tmp_path / "scale.yaml"
    file.write_text(shape.file())
    with sandbox(load(file), patience=240) as box:
        formed = every_link(box.home, "scale", shape.links, 300.0)
        assert formed.failed == {}
        assert set(formed.links) == set(shape.links)
        assert len(box.processes()) == 1 + 64 * 5
        status = look(box.home / "scale", patience=20)
        assert status.state == "ready"
        assert {(jobs.node, jobs.peer) for jobs in status.jobs} == {
            end for one, other in shape.links for end in ((one, other), (other, one))
        }, "every dispatcher has had jobs of each of its links"


@pytest.mark.slow
@pytest.mark.crowded
@pytest.mark.timeout(900)
def test_sixty_four_virtual_quantum_nodes_take_turns_and_no_exchange_is_given_up(tmp_path: Path) -> None:
    shape = ring(64, "simulaqron")
    file = tmp_path / "scale.yaml"
    file.write_text(shape.file())
    with sandbox(load(file), patience=240) as box:
        formed = every_link(box.home, "scale", shape.links, 300.0)
        assert formed.failed == {} and set(formed.links) == set(shape.links)
        links = look(box.home / "scale", patience=20).links
    assert len(links) == 128
    assert sum(link.failed for link in links) <= 6, "work is thrown away"
