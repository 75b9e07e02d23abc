"""The keys that authenticate a link's classical channel: a pool of one-time pads at each end, and one hash point.

The pool begins with the pads of the secret that the deployer gave both ends, and is refilled from the key that the
link makes. A pad that has been spent is gone from the disk before it is used, so that no death of a process, and no
loss of power, can have it used again. One SQLite file for all links of a node, shared by its workers.

What must not come back is an old copy of that file, for its pads may have been used since. A store that is lost
altogether is noticed: a mark beside the secret says that it has been expanded once.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from qkdbus.errors import Refused
from qkdbus.presharing import ENTRIES, LinkSecret, file_name

from .failure import NoKey
from .fence import fence

ID_OCTETS = 8
MOST_IDS = 1024  # that are told to the other end; there are LEVEL of them, and more when an end has died often lately
LEVEL = ENTRIES  # entries that a pool is refilled to
LOW = 3 * LEVEL // 4  # below it each block gives two: exchanges that failed have used up more than they gave
FORGET_AFTER = 60.0  # s that an entry may be missing at the other end: exchanges that run now may be about to add it
WIPE_EVERY = 32  # changes after which the log is emptied, and with it the last trace of spent pads
BUSY = 5.0  # s until another worker has ended its transaction
LOOK = 0.25  # s between two looks at whether that one is stopped
_OF_THIS = "EXISTS (SELECT 1 FROM link WHERE peer = ? AND name = ?)"  # the link still has this secret
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS link (peer TEXT PRIMARY KEY, name BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS entry (number INTEGER PRIMARY KEY, peer TEXT NOT NULL, id BLOB NOT NULL, "
    "pad BLOB NOT NULL, missing REAL, UNIQUE (peer, id))",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What authenticates one block: a public id of 8 octets, and 16 octets of one-time pad, SECRET."""

    id: bytes
    pad: bytes = field(repr=False)


class AuthStore:
    """The pools of one node."""

    def __init__(
        self,
        path: Path,
        certs: Path,
        clock: Callable[[], float],
        fenced: Callable[[int], None] = lambda process: None,
    ) -> None:
        """Open or make the store at `path` (0600). `certs` has the links' secrets; `clock` gives Unix time.

        `fenced` hears of workers that were stopped in a transaction, and killed. NoKey when the file cannot be used.
        """
        self._path, self._certs, self._clock, self._fenced = path, certs, clock, fenced
        self._changes = 0
        with _named(), _alone(path.parent):  # two that switch to WAL at once: one is refused, without patience
            if not path.exists():  # (to open and close it under other connections of this process would unlock them)
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
            for pragma in ("journal_mode=WAL", "secure_delete=ON", "temp_store=MEMORY"):
                self._connection.execute("PRAGMA " + pragma)
        with self.changing(durable=True) as connection:
            for statement in _SCHEMA:
                connection.execute(statement)

    def link(self, peer: str) -> AuthKeys:
        """Return the keys of the link to `peer`, expanded from its secret when that is new.

        Refused when there is no secret, or when the store was lost: pads that were used would be used again.
        """
        file = self._certs / file_name(peer)
        try:
            secret = LinkSecret.read(file)
        except FileNotFoundError:
            raise Refused(f"{file}: the secret of this link is missing; `qkdbus deploy` makes one") from None
        used = file.with_suffix(".used")
        marked = used.read_text() == secret.name if used.exists() else False
        with self.changing(durable=True) as connection:
            held = connection.execute("SELECT name FROM link WHERE peer = ?", (peer,)).fetchone()
            if held != (secret.key,):
                if marked:
                    raise Refused(f"{file}: was used before, and what is left of it is lost; {remedy(peer)}")
                _expand(connection, peer, secret)
        if not marked:
            _mark(used, secret.name)
        return AuthKeys(self, peer, secret.key, int.from_bytes(secret.point, "little"))

    def close(self) -> None:
        """Empty the log and close."""
        with _named():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()

    # -- for the pools
    def now(self) -> float:
        """Return Unix time."""
        return self._clock()

    def read(self, statement: str, values: tuple[object, ...]) -> list[tuple[bytes, float | None]]:
        """Run a query."""
        with _named():
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def changing(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Make one transaction, alone among all workers; `durable`: on the disk itself when it ends."""
        connection = self._connection
        with _named():
            connection.execute("PRAGMA synchronous=" + ("FULL" if durable else "NORMAL"))
            self._begin()
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            self._changes += 1
            if self._changes % WIPE_EVERY == 0:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _begin(self) -> None:
        """Begin a transaction when no other worker is in one; one that was stopped in the midst of it is killed."""
        ends = time.monotonic() + BUSY
        self._wait_up_to(LOOK)
        try:
            while not self._begun(last=time.monotonic() > ends):
                if stopped := fence(self._path):
                    self._fenced(stopped)
        finally:
            self._wait_up_to(BUSY)

    def _begun(self, *, last: bool) -> bool:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or last:
                raise
            return False
        return True

    def _wait_up_to(self, seconds: float) -> None:
        self._connection.execute(f"PRAGMA busy_timeout={1e3 * seconds:.0f}")


class AuthKeys:
    """The pool of one link.

    Attributes:
        point: where transcripts are hashed, 64 bits, SECRET; the same for every block.
    """

    def __init__(self, store: AuthStore, peer: str, name: bytes, point: int) -> None:
        """`name`: of the secret that the point is of. When the link gets another, this pool is empty for ever."""
        self._store, self.peer, self._name, self.point = store, peer, name, point

    def __repr__(self) -> str:
        return f"AuthKeys({self.peer!r})"

    def ids(self) -> list[bytes]:
        """Return the ids of the entries that are left, the oldest first; at most MOST_IDS."""
        values = (self.peer, self.peer, self._name, MOST_IDS)
        found = self._store.read(f"SELECT id FROM entry WHERE peer = ? AND {_OF_THIS} ORDER BY number LIMIT ?", values)
        return [row[0] for row in found]

    def spend(self, offered: Collection[bytes]) -> Entry | None:
        """Take out the oldest entry that is `offered`, for ever: it is off the disk when this returns."""
        wanted = set(offered)
        with self._store.changing(durable=True) as connection:
            ours = f"SELECT id FROM entry WHERE peer = ? AND {_OF_THIS} ORDER BY number"
            rows = connection.execute(ours, (self.peer, self.peer, self._name)).fetchall()
            id = next((row[0] for row in rows if row[0] in wanted), None)
            if id is None:
                return None
            where = " FROM entry WHERE peer = ? AND id = ?"
            pad: bytes = connection.execute("SELECT pad" + where, (self.peer, id)).fetchone()[0]
            connection.execute("DELETE" + where, (self.peer, id))
        return Entry(id, pad)

    def due(self, left: int | None = None) -> int:
        """Return how many entries the next block should give (0 to 2), with `left` in the pool (default: as it is).

        For planning, one entry is about to be spent. Each entry that is given takes 128 bits off the block.
        """
        if left is None:
            left = len(self.ids()) - 1
        return 0 if left >= LEVEL else 1 if left >= LOW else 2

    def settle(self, new: Sequence[Entry], theirs: Collection[bytes]) -> None:
        """Add entries, and drop those that the other end, which has `theirs`, has been without for a minute."""
        changes = self._missing(theirs) if len(theirs) < MOST_IDS else []
        if not new and not changes:
            return
        with self._store.changing() as connection:
            if not connection.execute(f"SELECT {_OF_THIS}", (self.peer, self._name)).fetchone()[0]:
                return  # what an exchange of before gives: the other end may not have taken it
            for statement, id in changes:
                connection.execute(statement, (self.peer, id))
            for entry in new:
                values = (self.peer, entry.id, entry.pad)
                connection.execute("INSERT OR IGNORE INTO entry (peer, id, pad) VALUES (?, ?, ?)", values)

    def _missing(self, theirs: Collection[bytes]) -> list[tuple[str, bytes]]:
        """Return what changes for entries that the other end has not: a note at first, a minute later the end."""
        now, there, changes = self._store.now(), set(theirs), []
        for id, missing in self._store.read("SELECT id, missing FROM entry WHERE peer = ?", (self.peer,)):
            where = " WHERE peer = ? AND id = ?"
            if id in there:
                if missing is not None:
                    changes.append(("UPDATE entry SET missing = NULL" + where, id))
            elif missing is None:
                changes.append((f"UPDATE entry SET missing = {now!r}" + where, id))
            elif now - missing >= FORGET_AFTER:
                changes.append(("DELETE FROM entry" + where, id))
        return changes


def remedy(peer: str) -> str:
    """Return what to do when a link has no more keys to authenticate with."""
    return f"remove certs/{file_name(peer)}, and `qkdbus deploy` gives the link a new secret"


def _expand(connection: sqlite3.Connection, peer: str, secret: LinkSecret) -> None:
    connection.execute("DELETE FROM entry WHERE peer = ?", (peer,))
    connection.execute("INSERT OR REPLACE INTO link VALUES (?, ?)", (peer, secret.key))
    rows = [(peer, secret.key + number.to_bytes(2, "big"), pad) for number, pad in enumerate(secret.pads)]
    connection.executemany("INSERT INTO entry (peer, id, pad) VALUES (?, ?, ?)", rows)


def _mark(file: Path, name: str) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(number, "w") as out:
        out.write(name)
    temporary.replace(file)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other worker is in here."""
    folder.mkdir(parents=True, exist_ok=True)
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


@contextmanager
def _named() -> Iterator[None]:
    """Say of a database that fails (full disk, damaged file, locked for long) what that means here."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise NoKey(f"authentication keys: {error}") from error
