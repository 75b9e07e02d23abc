"""A real network: its metrics, table, events and traces, as its user sees them."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qkdbus import trace
from qkdbus.errors import Unavailable
from qkdbus.runtime.settings import load
from qkdbus_client import Client, QoS, Status
from qkdbus_deploy import parcel
from qkdbus_deploy.agent.operations import carry_out
from qkdbus_deploy.drivers.local import Local
from qkdbus_deploy.fleet import merging
from qkdbus_deploy.fleet.record import Record, Seat
from qkdbus_deploy.watching import catalogue, eventbook, exporter, exposition

pytestmark = pytest.mark.slow
QKDBUS = (sys.executable, "-c", "from qkdbus_deploy.cli import main; main(prog_name='qkdbus')")
PATIENCE = 90.0  # s
SERVICES = {"keymanager", "keysync", "dispatcher", "qbackend"}


def logged(watched: Any, followed: str) -> list[dict[str, Any]]:
    """Return the lines of a trace, which may still be on their way into the files."""
    return [json.loads(line) for line in watched.run("logs", "--trace", followed, "--json").output.splitlines()]


def until(look: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Look until there is something; return it, or the last look."""
    ends = time.monotonic() + patience
    while not (found := look()) and time.monotonic() < ends:
        time.sleep(0.2)
    return found


# -- traces
def test_one_open_connect_is_followed_through_both_nodes(watched: Any) -> None:
    names = "opened@Alice", "opener@Bob"
    with watched.client("Alice") as alice, watched.client("Bob", trace=True) as bob:
        first = alice.open_connect(*names, QoS(key_chunk_size=32, timeout=2000))
        joined = bob.open_connect(*names, ksid=first.ksid)
        assert joined.status == Status.SUCCESSFUL, joined
        expected = {
            ("Bob", "keymanager", "open_connect"),  # asked by the application
            ("Alice", "keymanager", "announce"),  # told by Bob's key manager
            ("Bob", "keysync", "open_stream"),  # asked by Bob's key manager
        }

        def look() -> bool:
            lines = logged(watched, joined.trace)
            calls = {(line["node"], line["layer"], line.get("method")) for line in lines if line["event"] == "called"}
            paired = {line["node"] for line in lines if line["event"] == "stream_paired"}
            return expected <= calls and paired == {"Alice", "Bob"}

        assert until(look), watched.run("logs", "--trace", joined.trace).output
        lines = logged(watched, joined.trace)
        assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
        calls = [line for line in lines if line["event"] == "called"]
        assert {line["level"] for line in calls} == {"info"}
        assert len({(one["node"], one["layer"], one["method"], one["seconds"]) for one in calls}) == len(calls), "once"
        assert not logged(watched, first.trace) or first.trace != joined.trace
        for client in (alice, bob):
            client.close(first.ksid)


def test_a_key_tells_the_exchange_that_formed_it_and_that_is_followed_through_all_layers(watched: Any) -> None:
    with watched.client("Alice", trace=True) as alice:
        got = alice.get_key(watched.ksid)
    assert got.status == Status.SUCCESSFUL, got
    formed, block = str(got.metadata["trace"]), str(got.metadata["block_id"])
    [own] = until(lambda: [line for line in logged(watched, got.trace) if line.get("method") == "get_key"])
    assert (own["from"], own["index"], own["block_id"], own["formed_by"]) == ("buffer", got.index, block, formed)

    lines = logged(watched, formed)
    for node in ("Alice", "Bob"):
        here = {(line["layer"], line["event"]) for line in lines if line["node"] == node}
        for event in ("job_started", "block_formed", "block_agreed"):
            assert ("keysync", event) in here, here
        assert {("dispatcher", "called"), ("qbackend", "called"), ("qbackend", "key_distilled")} <= here
    assert {line["block_id"] for line in lines if "block_id" in line} == {block}
    by_block = logged(watched, block)
    assert {(line["node"], line["event"], line["at"]) for line in lines} <= {
        (line["node"], line["event"], line["at"]) for line in by_block
    }


def test_a_stream_of_keys_writes_no_line_at_level_info(watched: Any) -> None:
    log = watched.home / watched.name / "Alice" / "logs" / "keymanager.log"
    with watched.client("Alice") as alice:
        alice.get_key(watched.ksid)
        time.sleep(0.5)
        before = log.stat().st_size
        traces = {alice.get_key(watched.ksid).trace for _ in range(50)}
    time.sleep(0.5)
    assert len(traces) == 50
    assert log.stat().st_size == before, log.read_text()[-2000:]


def test_no_key_is_in_any_log_or_event(watched: Any) -> None:
    secret = watched.key.key.hex()
    files = list((watched.home / watched.name).glob("*/logs/*"))
    assert len(files) >= 2 * len(SERVICES)
    assert [file for file in files if secret in file.read_text(errors="replace")] == []


def test_a_trace_of_one_s_own_is_given_on_the_command_line(watched: Any) -> None:
    own = trace.name(trace.new())
    said = watched.run("key", "get", "Alice", str(watched.ksid), "--trace", own)
    assert own in said.output
    assert until(lambda: logged(watched, own))
    assert watched.run("key", "get", "Alice", str(watched.ksid), "--trace", "12", ok=False).exit_code == 2
    assert watched.run("logs", "--trace", "12", ok=False).exit_code == 2


# -- metrics
def test_the_metrics_of_every_service_are_read_by_a_strict_reader(
    watched: Any, metrics: Callable[[str], dict[str, Any]]
) -> None:
    read = metrics(watched.run("metrics", "--once").output)
    assert set(read) <= {metric.name for metric in catalogue.ALL}
    others = [sorted(labels) for name in read if name.startswith("qkdbus_other") for _, labels in read[name].samples]
    assert others == [], "every number of ours has a name"
    for node in ("Alice", "Bob"):
        for layer in SERVICES:
            assert read["qkdbus_service_up"].values(node=node, layer=layer) == [1.0]
            assert read["qkdbus_process_resident_memory_bytes"].values(node=node, layer=layer)[0] > 1e6
        assert read["qkdbus_link_key_bits_total"].values(node=node, link="Alice-Bob")[0] >= 4096
        assert read["qkdbus_link_up"].values(node=node, link="Alice-Bob") == [1.0]
        assert read["qkdbus_exchanges_total"].values(node=node, outcome="block")[0] >= 1
        assert read["qkdbus_worker_exchanges_total"].values(node=node, worker="0", outcome="done")[0] >= 1
        assert read["qkdbus_keys_delivered_total"].values(node=node)[0] >= 1
        assert read["qkdbus_process_cpu_seconds_total"].values(node=node, layer="supervisord")
    calls = read["qkdbus_calls_total"].values(node="Alice", layer="keymanager", method="get_key")
    taken = read["qkdbus_call_seconds"].values(node="Alice", layer="keymanager", method="get_key", le="+Inf")
    assert calls[0] == taken[0] >= 1
    assert read["qkdbus_exchange_stage_seconds"].values(node="Alice", stage="forming", le="+Inf")[0] >= 1


@pytest.fixture
def scraped(watched: Any) -> Iterator[str]:
    """An exporter; its address."""
    failed: list[str] = []
    local = Local(watched.home)
    server = exporter.serve(("127.0.0.1", 0), lambda: local.samples(watched.name), failed.append)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()
    assert failed == []


def test_prometheus_scrapes_over_http(scraped: str, metrics: Callable[[str], dict[str, Any]]) -> None:
    with urllib.request.urlopen(f"{scraped}/metrics", timeout=PATIENCE) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert len(metrics(answer.read().decode())["qkdbus_service_up"].samples) == 2 * len(SERVICES)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{scraped}/keys", timeout=PATIENCE)


def test_an_address_that_is_taken_is_said(watched: Any, scraped: str) -> None:
    where = scraped.removeprefix("http://")
    said = watched.run("metrics", "--listen", where, ok=False)
    assert said.exit_code == 2
    assert "choose another" in said.output
    assert watched.run("metrics", "--listen", "nowhere", ok=False).exit_code == 2


# -- table
def test_the_table_shows_links_services_and_streams(watched: Any) -> None:
    text = watched.run("top", "--once", "--interval", "0.5").output
    assert "Alice - Bob" in text
    for layer in SERVICES:
        assert layer in text
    said = json.loads(watched.run("top", "--once", "--interval", "0.5", "--json", "--sort", "memory").output)
    assert said["links"][0]["state"] == "up"
    assert all(row["cpu"] is not None and row["memory"] > 0 for row in said["services"]), said["services"]
    memory = [row["memory"] for row in said["services"]]
    assert memory == sorted(memory, reverse=True)
    assert {row["node"] for row in said["streams"]} == {"Alice", "Bob"}


def read_terminal(master: int, wanted: str) -> str:
    """Read what is shown until it holds this text, or the terminal is gone."""
    text, ends = "", time.monotonic() + PATIENCE
    while wanted not in text and time.monotonic() < ends:
        if select.select([master], [], [], 1.0)[0]:
            try:
                text += os.read(master, 1 << 16).decode(errors="replace")
            except OSError:
                break
    return text


@pytest.mark.parametrize("end", ["q", "\x03"])
def test_on_a_terminal_it_is_painted_in_place_and_a_key_ends_it(watched: Any, end: str) -> None:
    pid, master = pty.fork()
    if pid == 0:
        os.execv(QKDBUS[0], [*QKDBUS, "--home", str(watched.home), "top", "--interval", "0.3"])
    try:
        text = read_terminal(master, "sorted by name")
        os.write(master, b"m")
        text += read_terminal(master, "sorted by memory")
        os.write(master, end.encode())
        text += read_terminal(master, "\x1b[?1049l")
        assert "sorted by memory" in text, text[-2000:]
        assert text.rstrip().endswith("\x1b[?1049l"), text[-500:]
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        os.close(master)


# -- events
def test_past_events_are_there_and_can_be_chosen(watched: Any) -> None:
    said = [json.loads(line) for line in watched.run("events", "-n", "10000", "--json").output.splitlines()]
    assert {one["node"] for one in said} == {"Alice", "Bob"}
    assert {"block_formed", "key_distilled", "stream_opened", "called"} <= {one["event"] for one in said}
    assert not [one for one in said if one["event"] == "gap"], "nothing was lost"
    assert [one["at"] for one in said] == sorted(one["at"] for one in said)
    chosen = watched.run(
        "events", "watched", "Bob", "--layer", "keysync", "--match", "block_f", "--json", "-n", "3"
    ).output
    assert 1 <= len(chosen.splitlines()) <= 3
    assert {(one["node"], one["event"]) for one in map(json.loads, chosen.splitlines())} == {("Bob", "block_formed")}
    assert watched.run("events", "Bob", "--match", "(", ok=False).exit_code == 2
    assert watched.run("events", "watched", "Nobody", ok=False).exit_code == 2


class Following:
    """`qkdbus events -f` in a process of its own."""

    def __init__(self, home: Path, *words: str) -> None:
        command = [*QKDBUS, "--home", str(home), "events", *words, "-f", "--json", "-n", "1"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.said: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(json.loads(line))

    def __enter__(self) -> Following:
        assert until(lambda: self.said), "the last event shows that it follows"
        self.said.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(30) == 130


def open_and_close(client: Client, number: int) -> None:
    opened = client.open_connect(f"f{number}@Alice", f"f{number}@Bob", QoS(key_chunk_size=32, timeout=500))
    assert opened.ksid is not None
    client.close(opened.ksid)


def test_events_are_told_as_they_come_each_once(watched: Any) -> None:
    with Following(watched.home, "watched") as following, watched.client("Alice") as alice:
        number = 0

        def happened() -> bool:
            nonlocal number
            number += 1
            open_and_close(alice, number)
            return [one["event"] for one in following.said].count("stream_closed") >= 2

        assert until(happened)
        time.sleep(0.5)
        said = list(following.said)
    numbered = [one for one in said if "number" in one]  # what supervisord says has none
    names = [(one["node"], one["layer"], one["replica"], one["number"]) for one in numbered]
    assert len(set(names)) == len(names)
    assert not [one for one in said if one["event"] == "gap"]


def test_a_service_that_was_killed_is_followed_on(watched: Any) -> None:
    with Following(watched.home, "watched", "Alice", "--layer", "qbackend") as following:
        status = Local(watched.home).status(watched.name)
        [pid] = [
            one.pid for node in status.nodes if node.node == "Alice" for one in node.layers if one.layer == "qbackend"
        ]

        def begun_anew() -> bool:
            return any(one["event"] == "started" and one["number"] == 1 for one in following.said)

        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert until(begun_anew), following.said
    settings = load(watched.home / watched.name / "Alice")
    assert (settings.run / "qbackend.0.events").exists()


# -- on another host: what its agent answers, and what is made of that
def ask(watched: Any, op: str, **request: Any) -> Any:
    said = carry_out({"op": op, "home": str(watched.home), "network": watched.name, **request})
    return json.loads(json.dumps(said))  # as it comes over the wire


def test_a_host_s_sample_is_the_network_s_where_it_is_the_only_one(
    watched: Any, metrics: Callable[[str], dict[str, Any]]
) -> None:
    seat = Seat("far", "/home", "python3", ("digest",))
    known = Record("inventory", {"Alice": seat, "Bob": seat})
    folder = watched.home / watched.name
    one = merging.sample(watched.name, folder, known, {"far": ask(watched, "sample")}, 0.5)
    assert {node.host for node in one.status.nodes} == {"far"}
    read = metrics(exposition.text(one))
    assert read["qkdbus_link_up"].values(node="Alice", link="Alice-Bob") == [1.0]
    lost = merging.sample(watched.name, folder, known, {"far": Unavailable("far: cannot be reached")}, 0.5)
    assert {node.state for node in lost.status.nodes} == {"unknown"}
    assert set(metrics(exposition.text(lost))["qkdbus_service_up"].values()) == {0.0}


def test_a_host_tells_the_events_that_have_come_since(watched: Any) -> None:
    request = {"node": "Alice", "layer": None, "level": "debug", "patience": PATIENCE, "what": "events"}
    cursors = ask(watched, "follow", cursors=None, **request)["cursors"]
    assert set(cursors) == {
        f"Alice/{program}.events" for program in ("keymanager", "keysync", "dispatcher", "qbackend_0")
    }
    with watched.client("Alice", trace=True) as alice:
        opened = alice.open_connect("far@Alice", "far@Bob", QoS(key_chunk_size=32, timeout=500))
        alice.close(opened.ksid)
    found: list[Any] = []

    def look() -> bool:
        nonlocal cursors
        answer = ask(watched, "follow", cursors=cursors, **request)
        cursors = answer["cursors"]
        found.extend(parcel.lines(answer["lines"]))
        return "stream_closed" in [line.event for line in found]

    assert until(look)
    events = list(eventbook.once(found))
    assert [line.event for line in events].count("stream_closed") == 1
    mine = {"node": None, "layer": None, "count": 1000, "level": "debug", "what": "both", "trace": opened.trace}
    lines = parcel.lines(ask(watched, "logs", **mine))
    assert {"called", "stream_new"} <= {line.event for line in lines}
