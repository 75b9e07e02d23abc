"""The node's database: one connection, one transaction for all that a drain changes (agreement, section 6)."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from .schema import SCHEMA, UPGRADES, VERSION

Durability = Literal["process", "power"]


class StoreBroken(Exception):
    """Raised when a step failed half-way: nothing of this transaction may be stored, the process has to end."""


class Store:
    """SQLite with explicit transactions: the first write begins one, `commit` ends it.

    Args:
        connection: in autocommit mode (`isolation_level=None`), with the schema in place.
        durability: `process` survives the death of any process; `power` also the loss of power.
    """

    def __init__(self, connection: sqlite3.Connection, durability: Durability = "process") -> None:
        self._connection = connection
        self._durability = durability
        self.dirty = False
        self.wiped = False  # key bits were deleted since the last checkpoint: their pages are still in the WAL
        self.broken: BaseException | None = None

    def read(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Run a query."""
        return self._connection.execute(statement, values)

    def write(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """Change rows, within the transaction of this drain."""
        if not self.dirty:
            self._connection.execute("BEGIN IMMEDIATE")
            self.dirty = True
        return self._connection.execute(statement, values)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Guard one step of a state machine: if it fails half-way, nothing of this transaction is ever stored."""
        try:
            yield
        except BaseException as error:
            self.broken = error
            raise

    def commit(self) -> None:
        """Make all writes since the last commit durable, together. StoreBroken: nothing was stored."""
        if self.broken is not None:
            self._rollback()
            raise StoreBroken("a step failed: this transaction is not stored") from self.broken
        if not self.dirty:
            return
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.broken = error
            self._rollback()
            raise StoreBroken("the database refused the transaction") from error
        self.dirty = False

    def checkpoint(self) -> None:
        """Move the WAL into the database and cut it, if key bits were deleted: then they are nowhere."""
        if self.wiped and not self.dirty:
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            self.wiped = bool(busy)  # somebody else reads the file: again in a second

    def close(self, *, clean: bool) -> None:
        """Close. A clean stop syncs and marks the store, so that it is trusted after an orderly reboot."""
        if clean and self.broken is None:
            self.commit()
            self._mark("clean", "1")
        else:
            self._rollback()
        self._connection.close()

    def claim(self, boot_id: str) -> None:
        """Mark the store as in use under this boot; on disk before anything else is."""
        self.write("INSERT OR REPLACE INTO mark VALUES ('boot_id', ?)", (boot_id,))
        self._mark("clean", "0")

    def _mark(self, name: str, value: str) -> None:
        # Synced whatever the durability: a store that power loss put back must not look cleanly stopped.
        self.write("INSERT OR REPLACE INTO mark VALUES (?, ?)", (name, value))
        self.commit()
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if self._durability == "process":
            self._connection.execute("PRAGMA synchronous=NORMAL")

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self.dirty = False


def open_store(path: Path, boot_id: str, durability: Durability = "process") -> tuple[Store, str]:
    """Open the store at `path` (0600), or a fresh one when there is none that may be trusted.

    Returns:
        the store, and why it is fresh: "" when it is not, "new", "damaged", "version" or "boot".
    """
    fresh = _distrust(path, boot_id, durability)
    if fresh and fresh != "new":
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            name.unlink(missing_ok=True)
    if fresh:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    store = Store(_connect(path, durability), durability)
    if fresh:
        create(store)
    else:
        _upgrade(store)
    store.claim(boot_id)
    return store, fresh


def create(store: Store) -> None:
    """Make the tables."""
    for statement in SCHEMA.split(";"):
        if statement.strip():
            store.write(statement)
    store.write(f"PRAGMA user_version={VERSION}")
    store.commit()


def _upgrade(store: Store) -> None:
    """Bring an older store up to this version, in one transaction."""
    version: int = store.read("PRAGMA user_version").fetchone()[0]
    if version != VERSION:
        for step in range(version, VERSION):
            store.write(UPGRADES[step])
        store.write(f"PRAGMA user_version={VERSION}")
        store.commit()


def _connect(path: Path, durability: Durability) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=" + ("FULL" if durability == "power" else "NORMAL"),
        "secure_delete=ON",
        "temp_store=MEMORY",
        "cache_size=-16384",
    ):
        connection.execute("PRAGMA " + pragma)
    return connection


def _distrust(path: Path, boot_id: str, durability: Durability) -> str:
    if not path.exists() or path.stat().st_size == 0:
        return "new"
    try:
        connection = _connect(path, durability)
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] not in (VERSION, *UPGRADES):
                return "version"
            marks = dict(connection.execute("SELECT name, value FROM mark"))
        finally:
            connection.close()
    except sqlite3.OperationalError:  # locked, no space, no right to read: not a reason to throw keys away
        raise
    except sqlite3.DatabaseError:
        return "damaged"
    if durability == "process" and marks.get("boot_id") != boot_id and marks.get("clean") != "1":
        return "boot"
    return ""
