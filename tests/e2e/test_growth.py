"""What comes and goes leaves nothing behind."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qkdbus_client import Client, QoS, Status

if TYPE_CHECKING:
    from .conftest import Net

SERVICES = ("keymanager", "keysync")
NODES = ("Alice", "Bob")
MB = 1 << 20
# A ring of chains; ids that are refused for a while on purpose (reference "agreement" 3); bits that exchanges have
# formed for streams closed meanwhile, of which the next streams are cut.
ALLOWED = {"chain": 1100, "used_oid": 2000, "reservoir": 64}


def rows(net: Net, node: str, service: str) -> dict[str, int]:
    """How many rows each table of a service has: in a copy, for its file is locked by the service."""
    state, service_has_moved = net.settings(node).state(service), 50
    while True:
        with tempfile.TemporaryDirectory() as folder:
            for file in state.parent.glob(f"{state.name}*"):
                shutil.copy(file, folder)
            try:
                return _counts(Path(folder) / state.name)
            except sqlite3.DatabaseError:  # copied in the middle of a checkpoint
                service_has_moved -= 1
                assert service_has_moved, "no copy can be read"


def _counts(file: Path) -> dict[str, int]:
    with closing(sqlite3.connect(file)) as base:
        tables = [name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: base.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def cycle(here: Client, there: Client, keys: int) -> None:
    names = ("cycle@Alice", "cycle@Bob")
    opened = here.open_connect(*names, QoS(key_chunk_size=16, timeout=5000))
    assert opened.ksid is not None
    assert there.open_connect(*names, ksid=opened.ksid).status == Status.SUCCESSFUL
    for _ in range(keys):
        mine, other = (client.get_key(opened.ksid) for client in (here, there))
        assert mine.key == other.key != b""
    for client in (here, there):
        assert client.close(opened.ksid).status == Status.SUCCESSFUL


def cycles(net: Net, count: int) -> None:
    here, there = net.client("Alice"), net.client("Bob")
    for number in range(count):
        cycle(here, there, keys=number % 10 == 0)


def grown_rows(net: Net, before: dict[str, dict[str, int]]) -> dict[str, int]:
    """Which tables have more rows than before, and how many more."""
    now = _all_rows(net)
    more = {f"{who} {table}": now[who][table] - before[who][table] for who in now for table in now[who]}
    return {table: count for table, count in more.items() if count > ALLOWED.get(table.split()[-1], 3)}


def _all_rows(net: Net) -> dict[str, dict[str, int]]:
    return {f"{node} {service}": rows(net, node, service) for node in NODES for service in SERVICES}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_thousand_streams_that_come_and_go_leave_nothing(fast: Net, wait_until: Callable[..., float]) -> None:
    cycles(fast, 150)  # until buffers and caches have the size that they keep
    time.sleep(3)
    before, was = _all_rows(fast), {(n, s): fast.memory(n, s) for n in NODES for s in SERVICES}
    began = time.monotonic()
    cycles(fast, 1000)
    took = time.monotonic() - began
    wait_until(lambda: not grown_rows(fast, before), 20, 0.5)
    after = _all_rows(fast)
    grown = {who: fast.memory(*who) - was[who] for who in was}
    print(f"\n1000 cycles in {took:.1f} s; grown: { {' '.join(w): f'{g / MB:.2f} MB' for w, g in grown.items()} }")
    for who in after:
        print(f"  {who}: {after[who]}")
    assert max(grown.values()) < 3 * MB
    assert fast.open("Alice", "Bob").agree(3)
