"""What a key manager must not forget: associations, tombstones, remembered deliveries. Numbers, never key bits.

SQLite in WAL mode. `synchronous=NORMAL` survives the death of any process; a loss of power is met by the boot id
(reference "agreement" 6): a store of another boot that was not closed in order is not trusted.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Literal

from qkdbus.wire.keymanager_pb2 import QoS

from .ranges import Ranges
from .stream import State, Stream

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS assoc (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    ksid BLOB NOT NULL UNIQUE, oid BLOB NOT NULL, peer TEXT NOT NULL,
    source TEXT NOT NULL, destination TEXT NOT NULL, app TEXT NOT NULL, qos BLOB NOT NULL,
    state INTEGER NOT NULL, sid BLOB NOT NULL, low INTEGER NOT NULL, done BLOB NOT NULL,
    expired INTEGER NOT NULL, delivered INTEGER NOT NULL, peer_oid BLOB NOT NULL, peer_attached INTEGER NOT NULL,
    synced INTEGER NOT NULL, told INTEGER NOT NULL, draining_since REAL NOT NULL, opened_by BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS tombstone (
    ksid BLOB PRIMARY KEY, oid BLOB NOT NULL, peer TEXT NOT NULL, app TEXT NOT NULL,
    kind INTEGER NOT NULL, until REAL NOT NULL, told INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS caller (
    row INTEGER PRIMARY KEY, user TEXT NOT NULL, id BLOB NOT NULL, memory BLOB NOT NULL
);
"""
_COLUMNS = (
    "ksid, oid, peer, source, destination, app, qos, state, sid, low, done, expired, delivered,"
    " peer_oid, peer_attached, synced, told, draining_since, opened_by"
)
_CHANGES = "qos=?, state=?, sid=?, peer_oid=?, peer_attached=?, synced=?, told=?, draining_since=?"


class Kind(IntEnum):
    """Why a stream is no more: closed here; the peer left and all was read; keysync lost it."""

    CLOSED = 0
    DRAINED = 1
    GONE = 2


@dataclass(slots=True)
class Tombstone:
    """A stream that was. `told` says whether the peer's key manager has heard that our end has left."""

    ksid: bytes
    oid: bytes
    peer: str
    app: str
    kind: Kind
    until: float
    told: bool


class Store:
    """The state file of one key manager; mode 0600."""

    def __init__(self, file: Path, durability: Literal["process", "power"] = "process") -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
        self._normal = "FULL" if durability == "power" else "NORMAL"
        self._base = sqlite3.connect(file, isolation_level=None, cached_statements=64)
        # A commit before each answer: small pages, no other process to lock out each time, rare checkpoints.
        for pragma in (
            "page_size=1024",
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            f"synchronous={self._normal}",
            "wal_autocheckpoint=16384",
            "secure_delete=ON",
        ):
            self._base.execute("PRAGMA " + pragma)
        self._base.executescript(_TABLES)
        self._run = self._base.execute
        self._rows: dict[tuple[str, bytes], int] = {}  # of callers

    def begin(self, boot_id: str) -> bool:
        """Note that a service uses the store, and say whether its content can be trusted."""
        meta = dict(self._run("SELECT name, value FROM meta").fetchall())
        clean, same = meta.get("clean") == "1", meta.get("boot_id", boot_id) == boot_id
        if clean or not same:  # else a loss of power could bring the clean mark back, with older numbers
            self._run("PRAGMA synchronous=FULL")
        if clean or meta.get("boot_id") != boot_id:
            with self._base:
                self._run("BEGIN IMMEDIATE")
                self._run("REPLACE INTO meta VALUES ('boot_id', ?), ('clean', '0')", (boot_id,))
        self._run(f"PRAGMA synchronous={self._normal}")
        return clean or same or self._normal == "FULL"

    def end(self) -> None:
        """Close in order: what is written is on the disk before the store is marked."""
        self._run("PRAGMA wal_checkpoint(TRUNCATE)")
        self._run("PRAGMA synchronous=FULL")
        self._run("REPLACE INTO meta VALUES ('clean', '1')")
        self.close()

    def close(self) -> None:
        """Close without a mark, as the death of the process would."""
        self._base.close()

    # -- associations
    def add(self, stream: Stream) -> None:
        """Write a new association; sets its row."""
        marks = ",".join("?" * (_COLUMNS.count(",") + 1))
        values = (
            *(stream.ksid, stream.oid, stream.peer, stream.source, stream.destination, stream.app),
            *(stream.qos.SerializeToString(), stream.state, stream.sid, stream.done.low, stream.done.pack()),
            *(stream.expired, stream.delivered, stream.peer_oid, stream.peer_attached, stream.synced),
            *(stream.told, stream.draining_since, stream.opened_by),
        )
        row = self._run(f"INSERT INTO assoc ({_COLUMNS}) VALUES ({marks})", values).lastrowid
        assert row is not None
        stream.row = row

    def remove(self, row: int) -> None:
        """Take an association away."""
        self._run("DELETE FROM assoc WHERE row=?", (row,))

    def bury(self, row: int, tombstone: Tombstone) -> None:
        """Put a tombstone in an association's place, in one transaction."""
        with self._base:
            self._run("BEGIN IMMEDIATE")
            self._run("DELETE FROM assoc WHERE row=?", (row,))
            self._write(tombstone)

    def streams(self) -> list[Stream]:
        """Return all associations."""
        rows = self._run(f"SELECT row, {_COLUMNS} FROM assoc ORDER BY row").fetchall()
        return [_stream(row) for row in rows]

    # -- tombstones
    def tombstones(self) -> list[Tombstone]:
        """Return all tombstones."""
        rows = self._run("SELECT ksid, oid, peer, app, kind, until, told FROM tombstone").fetchall()
        return [
            Tombstone(ksid, oid, peer, app, Kind(kind), until, bool(told))
            for ksid, oid, peer, app, kind, until, told in rows
        ]

    def keep(self, tombstone: Tombstone) -> None:
        """Write what has changed about a tombstone."""
        self._write(tombstone)

    def forget(self, ksid: bytes) -> None:
        """Take a tombstone away."""
        self._run("DELETE FROM tombstone WHERE ksid=?", (ksid,))

    def _write(self, stone: Tombstone) -> None:
        values = (stone.ksid, stone.oid, stone.peer, stone.app, stone.kind, stone.until, stone.told)
        self._run("REPLACE INTO tombstone VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    # -- what changes all the time
    def callers(self) -> list[tuple[str, bytes, bytes]]:
        """Return (user, caller id, memory) of all callers."""
        found = self._run("SELECT row, user, id, memory FROM caller").fetchall()
        self._rows = {(user, id_): row for row, user, id_, _ in found}
        return [(user, id_, memory) for _, user, id_, memory in found]

    def save(
        self,
        changed: Iterable[Stream],
        moved: Iterable[Stream],
        callers: Iterable[tuple[str, bytes, bytes]],
    ) -> None:
        """Write in one transaction: changed associations, moved cursors, what callers may ask for again."""
        run = self._run
        run("BEGIN IMMEDIATE")
        try:
            for s in changed:
                values = (s.qos.SerializeToString(), s.state, s.sid, s.peer_oid, s.peer_attached, s.synced, s.told)
                run(f"UPDATE assoc SET {_CHANGES} WHERE row=?", (*values, s.draining_since, s.row))
            for s in moved:
                numbers = (s.done.low, s.done.pack(), s.expired, s.delivered, s.row)
                run("UPDATE assoc SET low=?, done=?, expired=?, delivered=? WHERE row=?", numbers)
            for user, id_, memory in callers:
                self._save_caller((user, id_), memory)
        except BaseException:
            run("ROLLBACK")
            raise
        run("COMMIT")

    def _save_caller(self, who: tuple[str, bytes], memory: bytes) -> None:
        row = self._rows.get(who)
        if row is None:
            if memory:
                row = self._run("INSERT INTO caller (user, id, memory) VALUES (?, ?, ?)", (*who, memory)).lastrowid
                assert row is not None
                self._rows[who] = row
        elif memory:
            self._run("UPDATE caller SET memory=? WHERE row=?", (memory, row))
        else:
            self._run("DELETE FROM caller WHERE row=?", (row,))
            del self._rows[who]

    def sizes(self) -> dict[str, int]:
        """Return how many rows each table has."""
        tables = ("assoc", "tombstone", "caller")
        return {table: self._run(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def _stream(row: tuple[object, ...]) -> Stream:
    number, ksid, oid, peer, source, destination, app, qos, state, sid, low, done, expired, delivered, *rest = row
    peer_oid, peer_attached, synced, told, draining_since, opened_by = rest
    stream = Stream(
        *(number, ksid, oid, peer, source, destination, app, QoS.FromString(qos)),  # type: ignore[arg-type]
        *(State(state), sid, Ranges.unpack(low, done), expired),  # type: ignore[arg-type]
        *(peer_oid, bool(peer_attached), bool(synced), bool(told), draining_since, opened_by),  # type: ignore[arg-type]
    )
    stream.delivered = delivered  # type: ignore[assignment]
    return stream
