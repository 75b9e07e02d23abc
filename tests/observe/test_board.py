"""The live table and the Prometheus text: made of samples, without a network."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qkdbus_deploy import parcel
from qkdbus_deploy.status import LayerStatus, LinkStatus, NetworkStatus, NodeStatus, StreamStatus
from qkdbus_deploy.watching import catalogue, exposition
from qkdbus_deploy.watching.board import board, lines
from qkdbus_deploy.watching.processes import Use
from qkdbus_deploy.watching.sample import Buckets, Meter, Sample

DOCS = Path(__file__).parents[2] / "docs" / "observe.md"
LAST = {"disclosed": 100, "qber": 0.0123, "s": 2.71, "s_error": 0.02, "finished_at": 5.0}


def layer(name: str, state: str = "ready", restarts: int = 0, replica: int = 0) -> LayerStatus:
    return LayerStatus(name, replica, state, 100, 61.0, restarts, 1, "qkdbus", "")


def link(node: str, peer: str, **other: Any) -> LinkStatus:
    said: dict[str, Any] = {"state": "up", "protocol": "e91", "emulator": "ideal", "key_rate": 1234.0, "qber": 0.0}
    said |= {"buffered_keys": 7, "reservoir_bits": 4096, "alarm": "", "blocks": 3, "created": 1, "sifted_out": 0}
    said |= {"disclosed": 0, "kept": 1, "failed": 0, "speed": None, "last": LAST, "arbiter": node < peer}
    return LinkStatus(node=node, peer=peer, **{**said, **other})


def stream(node: str, delivered: int, expired: int = 0) -> StreamStatus:
    return StreamStatus(node, "ab" * 16, "a@Alice", "b@Bob", "Bob", "ready", 32, delivered, expired, 5, 9)


def sample(at: float, *, bits: int, cpu: float, delivered: int, calls: int = 0, **other: Any) -> Sample:
    """Two nodes at one moment; Alice's keymanager has used `cpu` s."""
    layers = tuple(layer(name) for name in ("keymanager", "keysync"))
    nodes = tuple(NodeStatus(name, "running", 1, 0, layers) for name in ("Alice", "Bob"))
    links = (link("Alice", "Bob"), link("Bob", "Alice", buffered_keys=6))
    status = NetworkStatus("net", 9, nodes, links, (stream("Alice", delivered), stream("Bob", 0)))
    used = Use(cpu, 40_000_000, 12_000_000, 30)
    histograms = {"seconds{method=get_key}": Buckets((0.001, 1.0), (3, 2, 1), 4.5)}
    gauges = {"keys_buffered": 3.0, "of_mine": 1.5}
    counters = {"get_key": calls, "refused": 5, "refusals{outcome=exhausted}": 5, "mine": 2}
    meters = (
        Meter("Alice", "keymanager", 0, used, counters, gauges, histograms, answered=True),
        Meter("Alice", "keysync", 0, used, {"key_bits{peer=Bob}": bits}, {"qber{peer=Bob}": 0.01}, answered=True),
        Meter("Alice", "supervisord", 0, Use(1.0, 20_000_000, None, None)),
        Meter("Bob", "keysync", 0, used, {"key_bits{peer=Alice}": bits}, answered=True),
        Meter("Bob", "keymanager", 0, None),
    )
    return replace(Sample(at, 0.25, status, meters), **other)


BEFORE = sample(100.0, bits=1000, cpu=5.0, delivered=10, calls=50)
NOW = sample(104.0, bits=9000, cpu=6.0, delivered=18, calls=450)


def test_rates_are_those_between_two_samples() -> None:
    found = board(BEFORE, NOW)
    [row] = found.links
    assert (row.link, row.rate_now, row.key_rate) == ("Alice - Bob", 2000.0, 1234.0)
    assert (row.qber, row.s, row.keys_ready) == (0.0123, 2.71, (7, 6))
    manager = next(one for one in found.services if (one.node, one.service) == ("Alice", "keymanager"))
    assert (manager.cpu, manager.memory, manager.calls, manager.refused) == (0.25, 12_000_000, 100.0, 0.0)
    assert [one.rate for one in found.streams] == [2.0, 0.0]


def test_a_first_sample_has_no_rates() -> None:
    found = board(None, NOW)
    assert found.links[0].rate_now is None
    assert {one.cpu for one in found.services} == {None}
    assert board(NOW, NOW).links[0].rate_now is None, "no time has passed"


def test_what_has_begun_anew_has_no_rate_rather_than_a_negative_one() -> None:
    found = board(NOW, replace(BEFORE, at=200.0))
    assert found.links[0].rate_now is None
    assert {one.cpu for one in found.services} <= {None, 0.0}
    assert [one.rate for one in found.streams] == [None, 0.0]


def test_memory_falls_back_to_what_can_be_seen() -> None:
    supervisord = next(one for one in board(BEFORE, NOW).services if one.service == "supervisord")
    assert supervisord.memory == 20_000_000


@pytest.mark.parametrize(("sort", "first"), [("cpu", "keymanager"), ("rate", "keymanager"), ("name", "supervisord")])
def test_the_largest_comes_first(sort: str, first: str) -> None:
    assert board(BEFORE, NOW, sort).services[0].service == first


def test_an_alarm_of_either_end_is_the_link_s() -> None:
    ends = (link("Alice", "Bob"), link("Bob", "Alice", state="alarm", alarm="QBER 0.25"))
    [row] = board(None, replace(NOW, status=replace(NOW.status, links=ends))).links
    assert (row.state, row.alarm) == ("alarm", "QBER 0.25")


def test_a_host_that_is_gone_leaves_its_place() -> None:
    lost = NodeStatus("Bob", "unknown", None, 0, (layer("keysync", "unknown"),), "b", "cannot be reached")
    status = replace(NOW.status, nodes=(NOW.status.nodes[0], lost), links=NOW.status.links[:1])
    now = replace(NOW, status=status, meters=NOW.meters[:3])
    found = board(BEFORE, now)
    assert found.links[0].keys_ready == (7, None)
    assert [(one.state, one.cpu) for one in found.services if one.node == "Bob"] == [("unknown", None)] * 2
    assert "cannot be reached" in "\n".join(lines(found))
    assert "qkdbus_node_restarts_total{" in exposition.text(now)


def test_the_table_has_all_three_parts_and_the_units_are_named() -> None:
    text = "\n".join(lines(board(BEFORE, NOW)))
    assert re.search(r"Alice - Bob +up +1234 +2000 +0.0123 +2.710 +4096 +7/6 +0", text), text
    assert re.search(r"Alice +keymanager +ready +25.0 +12.0 +0 +61 s +100 +0", text), text
    assert re.search(r"abababab +Alice +a@Alice - b@Bob +ready +2 +5 +18 +0", text), text


def test_many_streams_are_cut_and_counted() -> None:
    text = lines(board(BEFORE, NOW), streams_at_most=1)
    assert text[-1] == "... and 1 more"


def test_a_board_is_data_for_scripts() -> None:
    said = json.loads(json.dumps(board(BEFORE, NOW).plain()))
    assert said["links"][0]["rate_now"] == 2000.0


def test_a_sample_comes_back_from_a_host_as_it_was() -> None:
    assert parcel.sample(parcel.plain(NOW)) == NOW


# -- Prometheus
def test_the_text_is_read_by_a_strict_reader(metrics: Callable[[str], dict[str, Any]]) -> None:
    read = metrics(exposition.text(NOW))
    bits = read["qkdbus_link_key_bits_total"]
    assert bits.kind == "counter"
    assert bits.values(link="Alice-Bob", network="net", layer="keysync", replica="0") == [9000.0, 9000.0]
    assert bits.values(link="Alice-Bob", node="Bob") == [9000.0]
    assert read["qkdbus_calls_total"].values(method="get_key", node="Alice") == [450.0]
    assert read["qkdbus_refusals_total"].values(outcome="exhausted") == [5.0]
    assert read["qkdbus_process_cpu_seconds_total"].values(layer="keymanager") == [6.0]
    assert read["qkdbus_service_up"].values(node="Bob", layer="keysync") == [1.0]


def test_buckets_are_summed_up(metrics: Callable[[str], dict[str, Any]]) -> None:
    taken = metrics(exposition.text(NOW))["qkdbus_call_seconds"]
    assert taken.kind == "histogram"
    assert [taken.values(le=bound)[0] for bound in ("0.001", "1", "+Inf")] == [3.0, 5.0, 6.0]


def test_what_a_foreign_service_says_is_kept_apart(metrics: Callable[[str], dict[str, Any]]) -> None:
    read = metrics(exposition.text(NOW))
    assert read["qkdbus_other_total"].values(name="mine") == [2.0]
    assert read["qkdbus_other"].values(name="of_mine") == [1.5]


def test_no_name_or_value_of_a_service_can_break_the_text(metrics: Callable[[str], dict[str, Any]]) -> None:
    evil = 'x"} 1\n# TYPE a counter\\'
    odd = Meter("Alice", "keysync", 0, None, {evil: 1}, {evil: math.inf, "nan": math.nan}, answered=True)
    read = metrics(exposition.text(replace(NOW, meters=(odd,))))
    assert read["qkdbus_other_total"].values() == [1.0]
    assert sorted(map(str, read["qkdbus_other"].values())) == ["inf", "nan"]


def test_a_histogram_that_does_not_fit_is_left_out(metrics: Callable[[str], dict[str, Any]]) -> None:
    odd = Meter("Alice", "keysync", 0, None, histograms={"seconds": Buckets((1.0,), (1,), 1.0)}, answered=True)
    assert "qkdbus_call_seconds" not in metrics(exposition.text(replace(NOW, meters=(odd,))))


@pytest.mark.parametrize("metric", catalogue.ALL, ids=lambda metric: metric.name)
def test_names_follow_the_rules(metric: catalogue.Metric) -> None:
    assert re.fullmatch(r"qkdbus_[a-z][a-z0-9_]*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter"), "what only grows, and nothing else"
    assert metric.help.endswith("."), "a sentence"
    assert not re.search(r"_(ms|milliseconds|kb|percent|octets)(_|$)", metric.name), "base units"


def test_each_name_is_there_once() -> None:
    names = [metric.name for metric in catalogue.ALL]
    assert len(set(names)) == len(names)
    for table in (catalogue.COUNTERS, catalogue.GAUGES, catalogue.HISTOGRAMS):
        sources = [metric.source for metric in table]
        assert len(set(sources)) == len(sources)


def test_every_metric_is_in_the_documentation_as_it_is_exported() -> None:
    listed = dict(re.findall(r"^\| `(qkdbus_\w+)` \| (\w+) \|", DOCS.read_text(), re.MULTILINE))
    assert listed == {metric.name: metric.kind for metric in catalogue.ALL}
