"""The tables of one link that hold no key bits: the link itself, jobs, ledger, streams, local associations."""

from __future__ import annotations

from collections.abc import Iterable

from .rows import Epoch, JobRow, LinkRow, OpenRow, StreamRow
from .store import Store

CHAINS_KEPT = 1024


class Tables:
    """Rows of one peer. Reads see the writes of the transaction under way."""

    def __init__(self, store: Store, peer: str) -> None:
        self.store = store
        self.peer = peer

    # --- link

    def link(self) -> LinkRow | None:
        """Return the link's row, None in a fresh store."""
        row = self.store.read(
            "SELECT arbiter, epoch_n, epoch_r, fid, next_job, seq, applied, chain, reservoir_bits"
            " FROM link WHERE peer=?",
            (self.peer,),
        ).fetchone()
        if row is None:
            return None
        arbiter, n, r, fid, *rest = row
        epoch = Epoch(n, int.from_bytes(r, "little"))
        return LinkRow(bool(arbiter), epoch, int.from_bytes(fid, "little"), *rest)

    def save_link(self, link: LinkRow) -> None:
        """Store the link's row."""
        self.store.write(
            "INSERT OR REPLACE INTO link VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                self.peer,
                int(link.arbiter),
                link.epoch.n,
                link.epoch.r.to_bytes(8, "little"),  # SQLite's integers are signed
                link.fid.to_bytes(8, "little"),
                link.next_job,
                link.seq,
                link.applied,
                link.chain,
                link.reservoir_bits,
            ),
        )

    # --- jobs (arbiter)

    def jobs(self) -> list[JobRow]:
        """Return all jobs, oldest first."""
        rows = self.store.read("SELECT job, formed, deadline, bits FROM job WHERE peer=? ORDER BY job", (self.peer,))
        return [JobRow(job, bool(formed), deadline, bits) for job, formed, deadline, bits in rows]

    def job(self, job: int) -> JobRow | None:
        """Return one job."""
        row = self.store.read(
            "SELECT formed, deadline, bits FROM job WHERE peer=? AND job=?", (self.peer, job)
        ).fetchone()
        return None if row is None else JobRow(job, bool(row[0]), row[1], row[2])

    def save_job(self, row: JobRow) -> None:
        """Store a job."""
        self.store.write("INSERT OR REPLACE INTO job VALUES (?,?,?,?,?)", (self.peer, *row))

    def delete_job(self, job: int) -> None:
        """Forget a job."""
        self.store.write("DELETE FROM job WHERE peer=? AND job=?", (self.peer, job))

    # --- ledger and chain

    def add_entry(self, seq: int, job: int, entry: bytes) -> None:
        """Store a decision (arbiter)."""
        self.store.write("INSERT INTO ledger VALUES (?,?,?,?)", (self.peer, seq, job, entry))

    def entries(self, first: int, last: int) -> list[tuple[int, bytes, bytes]]:
        """Return (seq, entry, chain) of the unacknowledged decisions first..last."""
        return self.store.read(
            "SELECT seq, entry, chain FROM ledger JOIN chain USING (peer, seq)"
            " WHERE peer=? AND seq BETWEEN ? AND ? ORDER BY seq",
            (self.peer, first, last),
        ).fetchall()

    def entry_numbers(self) -> list[int]:
        """Return the numbers of the unacknowledged decisions."""
        rows = self.store.read("SELECT seq FROM ledger WHERE peer=? ORDER BY seq", (self.peer,))
        return [seq for (seq,) in rows]

    def entry_of_job(self, job: int) -> int | None:
        """Return the number of the unacknowledged decision about a job."""
        row = self.store.read("SELECT seq FROM ledger WHERE peer=? AND job=?", (self.peer, job)).fetchone()
        return None if row is None else int(row[0])

    def trim_ledger(self, acked: int) -> None:
        """Forget the decisions up to `acked`."""
        self.store.write("DELETE FROM ledger WHERE peer=? AND seq<=?", (self.peer, acked))

    def add_chain(self, seq: int, chain: bytes, applied: int) -> None:
        """Keep a chain; those that no message under way can quote go."""
        self.store.write("INSERT OR REPLACE INTO chain VALUES (?,?,?)", (self.peer, seq, chain))
        if applied > CHAINS_KEPT:
            self.store.write("DELETE FROM chain WHERE peer=? AND seq<=?", (self.peer, applied - CHAINS_KEPT))

    def chain(self, seq: int) -> bytes | None:
        """Return the chain at an entry, None when it is not kept any more."""
        row = self.store.read("SELECT chain FROM chain WHERE peer=? AND seq=?", (self.peer, seq)).fetchone()
        return None if row is None else bytes(row[0])

    # --- streams

    def streams(self) -> list[StreamRow]:
        """Return all streams of the link, oldest first."""
        rows = self.store.read(
            "SELECT sid, ksid, oid_a, oid_f, chunk_size, closed_a, closed_f, next_index"
            " FROM stream WHERE peer=? ORDER BY sid",
            (self.peer,),
        )
        return [_stream(row) for row in rows]

    def stream(self, sid: int) -> StreamRow | None:
        """Return one stream."""
        row = self.store.read(
            "SELECT sid, ksid, oid_a, oid_f, chunk_size, closed_a, closed_f, next_index"
            " FROM stream WHERE peer=? AND sid=?",
            (self.peer, sid),
        ).fetchone()
        return None if row is None else _stream(row)

    def save_stream(self, row: StreamRow) -> None:
        """Store a stream; one that both ends have closed goes."""
        if row.closed_a and row.closed_f:
            self.store.write("DELETE FROM stream WHERE peer=? AND sid=?", (self.peer, row.sid))
        else:
            self.store.write("INSERT OR REPLACE INTO stream VALUES (?,?,?,?,?,?,?,?,?)", (self.peer, *row))

    def use_oid(self, ksid: bytes, oid: bytes, now: float, until: float) -> None:
        """Remember that an association of the follower's has been paired (arbiter)."""
        self.store.write("DELETE FROM used_oid WHERE peer=? AND until<?", (self.peer, now))
        self.store.write("INSERT OR REPLACE INTO used_oid VALUES (?,?,?,?)", (self.peer, ksid, oid, until))

    def oid_used(self, ksid: bytes, oid: bytes) -> bool:
        """Tell whether an association of the follower's has been paired."""
        query = "SELECT 1 FROM used_oid WHERE peer=? AND ksid=? AND oid=?"
        return self.store.read(query, (self.peer, ksid, oid)).fetchone() is not None

    # --- local associations

    def opens(self) -> list[OpenRow]:
        """Return the local associations of this link."""
        rows = self.store.read(_OPEN + " WHERE peer=? ORDER BY oid", (self.peer,))
        return [OpenRow(*row) for row in rows]

    def open(self, oid: bytes) -> OpenRow | None:
        """Return a local association by its oid."""
        row = self.store.read(_OPEN + " WHERE oid=? AND peer=?", (oid, self.peer)).fetchone()
        return None if row is None else OpenRow(*row)

    def open_at(self, sid: int) -> OpenRow | None:
        """Return the local association of a stream, None once it has closed."""
        row = self.store.read(_OPEN + " WHERE peer=? AND sid=?", (self.peer, sid)).fetchone()
        return None if row is None else OpenRow(*row)

    def opens_unpaired(self) -> list[OpenRow]:
        """Return the local associations that wait for the other end."""
        rows = self.store.read(_OPEN + " WHERE peer=? AND sid IS NULL ORDER BY oid", (self.peer,))
        return [OpenRow(*row) for row in rows]

    def save_open(self, row: OpenRow) -> None:
        """Store a local association."""
        self.store.write("INSERT OR REPLACE INTO open VALUES (?,?,?,?,?,?,?,?,?,?)", row)

    def delete_open(self, oid: bytes) -> None:
        """Close a local association."""
        self.store.write("DELETE FROM open WHERE oid=?", (oid,))

    # --- all

    def wipe_shared(self) -> list[bytes]:
        """Forget what the two ends share, and every association that was paired; return the latter's oids."""
        query = "SELECT oid FROM open WHERE peer=? AND sid IS NOT NULL"
        gone = [bytes(oid) for (oid,) in self.store.read(query, (self.peer,))]
        self.store.write("DELETE FROM material WHERE id IN (SELECT id FROM chunk WHERE peer=?)", (self.peer,))
        for table in ("job", "block", "ledger", "chain", "reservoir", "stream", "chunk"):
            self.store.write(f"DELETE FROM {table} WHERE peer=?", (self.peer,))
        self.store.write("DELETE FROM open WHERE peer=? AND sid IS NOT NULL", (self.peer,))
        self.store.wiped = True
        return gone

    def wipe_all(self) -> None:
        """Forget the link."""
        self.wipe_shared()
        for table in ("link", "open", "used_oid"):
            self.store.write(f"DELETE FROM {table} WHERE peer=?", (self.peer,))


_OPEN = "SELECT oid, peer, ksid, sid, chunk_size, ttl, priority, low, floor, min_bps FROM open"


def _stream(row: Iterable[object]) -> StreamRow:
    sid, ksid, oid_a, oid_f, size, closed_a, closed_f, index = row
    return StreamRow(sid, ksid, oid_a, oid_f, size, bool(closed_a), bool(closed_f), index)  # type: ignore[arg-type]
