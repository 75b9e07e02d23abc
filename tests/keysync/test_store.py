"""The database: when it is trusted, who may read it, and that wiped bits are gone from every file."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from qkdbus.wire import keysync_pb2 as wire
from qkdbus_keysync.rows import OpenRow
from qkdbus_keysync.store import StoreBroken, open_store
from qkdbus_keysync.tables import Tables

KSID, A, B = b"k" * 16, b"a" * 16, b"b" * 16


def marked(path: Path, boot_id: str, *, clean: bool) -> None:
    store, _ = open_store(path, boot_id)
    store.write("INSERT OR REPLACE INTO mark VALUES ('here', '1')")
    store.commit()
    store.close(clean=clean)


@pytest.mark.parametrize(
    ("clean", "boot_id", "fresh"),
    [(True, "one", ""), (False, "one", ""), (True, "two", ""), (False, "two", "boot")],
)
def test_a_store_of_another_boot_is_trusted_after_a_clean_stop_only(
    tmp_path: Path, clean: bool, boot_id: str, fresh: str
) -> None:
    path = tmp_path / "state" / "keysync.sqlite"
    marked(path, "one", clean=clean)
    store, why = open_store(path, boot_id)
    assert why == fresh
    assert bool(store.read("SELECT 1 FROM mark WHERE name='here'").fetchone()) == (not fresh)
    store.close(clean=False)


def test_a_clean_mark_does_not_outlive_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "keysync.sqlite"
    marked(path, "one", clean=True)
    store, _ = open_store(path, "two")
    store.close(clean=False)
    _, why = open_store(path, "three")
    assert why == "boot"


def test_with_durability_power_another_boot_is_no_loss(tmp_path: Path) -> None:
    path = tmp_path / "keysync.sqlite"
    store, _ = open_store(path, "one", "power")
    assert store.read("PRAGMA synchronous").fetchone()[0] == 2
    store.close(clean=False)
    assert open_store(path, "two", "power")[1] == ""


def test_a_file_that_is_no_database_is_a_lost_store(tmp_path: Path) -> None:
    path = tmp_path / "keysync.sqlite"
    path.write_bytes(b"nonsense" * 1000)
    store, why = open_store(path, "one")
    assert why == "damaged"
    store.commit()


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keysync.sqlite"
    store, _ = open_store(path, "one")
    store.write("INSERT INTO mark VALUES ('x', 'y')")
    store.commit()
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert store.read("PRAGMA secure_delete").fetchone()[0] == 1
    assert store.read("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_a_refused_transaction_is_named_and_changes_nothing(tmp_path: Path) -> None:
    store, _ = open_store(tmp_path / "keysync.sqlite", "one")
    store.write("INSERT INTO mark VALUES ('x', 'y')")
    with pytest.raises(sqlite3.Error), store.step():
        store.write("INSERT INTO mark VALUES ('x', 'z')")
    with pytest.raises(StoreBroken):
        store.commit()
    assert store.read("SELECT count(*) FROM mark WHERE name='x'").fetchone()[0] == 0


def contents(net: Any, name: str) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(net.folder.glob(f"{name}.sqlite*")))


async def test_delivered_expired_and_closed_bits_are_in_no_file(net: Any) -> None:
    await net.pair(KSID, A, B, ttl=10)
    await net.until(lambda: net.alice.take(A).next_index == 32 and net.bob.take(B).next_index == 32)
    keys = [run.bits[n : n + 32] for run in net.alice.take(A).runs for n in range(0, len(run.bits), 32)]
    net.fibre.cut = True
    assert all(key in contents(net, "alice") and key in contents(net, "bob") for key in keys)

    net.alice.take(A, low=5, done=[8, 1, 12, 3])  # parts of rows
    net.bob.ask("close_stream", wire.CloseStream(oid=B))
    for node in (net.alice, net.bob):
        node.service._tick()
    found = [n for n, key in enumerate(keys) if key in contents(net, "alice")]
    assert found == [5, 6, 7, 9, 10, 11, *range(15, 32)]
    assert not any(key in contents(net, "bob") for key in keys)

    net.now += 11
    net.alice.service._tick()
    assert not any(key in contents(net, "alice") for key in keys)


def test_keys_of_an_older_version_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "keysync.sqlite"
    store, _ = open_store(path, "one")
    Tables(store, "Bob").save_open(OpenRow(A, "Bob", KSID, None, 32, 0, 3, 0, 0, 500))
    for statement in ("ALTER TABLE open DROP COLUMN min_bps", "PRAGMA user_version=1"):  # as version 1 had it
        store.write(statement)
    store.commit()
    store.close(clean=True)
    store, why = open_store(path, "one")
    assert why == ""
    assert Tables(store, "Bob").open(A) == OpenRow(A, "Bob", KSID, None, 32, 0, 3, 0, 0)
    Tables(store, "Bob").save_open(OpenRow(B, "Bob", KSID, None, 32, 0, 3, 0, 0, 500))
    store.close(clean=True)
    store, why = open_store(path, "one")
    assert why == ""
    assert [row.min_bps for row in Tables(store, "Bob").opens()] == [0, 500]
