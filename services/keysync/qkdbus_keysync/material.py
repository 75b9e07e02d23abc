"""The tables of one link that hold key bits: blocks, the reservoir, and chunks that await their delivery."""

from __future__ import annotations

from collections.abc import Iterator

from .rows import Block, ChunkRow, Piece, StoredPiece
from .store import Store

ROW_OCTETS = 64 * 1024  # of chunks in a row: what is rewritten when a part of it is delivered
PIECE_BITS = 32 * 1024 * 8  # of a piece in the reservoir: what is rewritten when a part of it is cut


class Material:
    """Key bits of one link. Whatever deletes bits sets `store.wiped`, so that the WAL is cut soon."""

    def __init__(self, store: Store, peer: str) -> None:
        self.store = store
        self.peer = peer

    # --- blocks

    def add_block(self, block: Block) -> None:
        """Store a block that an exchange formed."""
        values = (self.peer, block.job, block.run, block.length, block.record, block.bits)
        self.store.write("INSERT INTO block VALUES (?,?,?,?,?,?)", values)

    def block_names(self) -> list[tuple[int, bytes, int]]:
        """Return (job, run, length) of all blocks."""
        return self.store.read("SELECT job, run, length FROM block WHERE peer=? ORDER BY job", (self.peer,)).fetchall()

    def block_name(self, job: int) -> tuple[bytes, int] | None:
        """Return (run, length) of the block of a job."""
        query = "SELECT run, length FROM block WHERE peer=? AND job=?"
        row = self.store.read(query, (self.peer, job)).fetchone()
        return None if row is None else (bytes(row[0]), int(row[1]))

    def wipe_block(self, job: int) -> None:
        """Wipe the block of a job."""
        self.store.write("DELETE FROM block WHERE peer=? AND job=?", (self.peer, job))
        self.store.wiped = True

    def take_block(self, job: int, now: float) -> StoredPiece | None:
        """Take the whole block of a job out."""
        query = "SELECT run, length, record, bits FROM block WHERE peer=? AND job=?"
        row = self.store.read(query, (self.peer, job)).fetchone()
        if row is None:
            return None
        self.wipe_block(job)
        run, length, record, bits = row
        return StoredPiece(Piece(run, 0, length), record, now, bits)

    # --- reservoir

    def reservoir(self) -> Iterator[tuple[Piece, float]]:
        """Go through the names of the pieces in the reservoir, oldest first, with the time since when."""
        query = "SELECT run, start, length, since FROM reservoir WHERE peer=? ORDER BY id"
        for run, start, length, since in self.store.read(query, (self.peer,)):
            yield Piece(run, start, length), since

    def take_piece(self, piece: Piece) -> StoredPiece | None:
        """Take a piece out of the reservoir; None when exactly this piece is not there."""
        row = self.store.read(
            "SELECT id, record, since, bits FROM reservoir WHERE peer=? AND run=? AND start=? AND length=?",
            (self.peer, *piece),
        ).fetchone()
        if row is None:
            return None
        self.store.write("DELETE FROM reservoir WHERE id=?", (row[0],))
        self.store.wiped = True
        return StoredPiece(piece, row[1], row[2], row[3])

    def add_piece(self, stored: StoredPiece) -> None:
        """Put a piece into the reservoir."""
        self.store.write(
            "INSERT INTO reservoir (peer, run, start, length, since, record, bits) VALUES (?,?,?,?,?,?,?)",
            (self.peer, *stored.piece, stored.since, stored.record, stored.bits),
        )

    # --- chunks

    def add_chunks(self, row: ChunkRow, bits: bytes) -> None:
        """Store a run of chunks (`row.id` is ignored)."""
        made = self.store.write(
            "INSERT INTO chunk (peer, sid, first, count, size, seq, available_at, expires_at, record)"
            " VALUES (?,?,?,?,?,?,?,?,?)",
            (
                self.peer,
                row.sid,
                row.first,
                row.count,
                row.size,
                row.seq,
                row.available_at,
                row.expires_at,
                row.record,
            ),
        )
        self.store.write("INSERT INTO material VALUES (?,?)", (made.lastrowid, bits))

    def chunks(self, sid: int, first: int, end: int | None = None) -> list[ChunkRow]:
        """Return the available runs that reach beyond `first` and begin below `end`, in order."""
        start = self.store.read(
            "SELECT max(first) FROM chunk WHERE peer=? AND sid=? AND first<=?", (self.peer, sid, first)
        ).fetchone()[0]
        rows = self.store.read(
            "SELECT id, sid, first, count, size, seq, available_at, expires_at, record FROM chunk"
            " WHERE peer=? AND sid=? AND first>=? AND first<? AND available_at IS NOT NULL ORDER BY first",
            (self.peer, sid, start or 0, 1 << 62 if end is None else end),
        )
        return [row for row in (ChunkRow(*row) for row in rows) if row.first + row.count > first]

    def bits(self, chunk_id: int) -> bytes:
        """Return the bits of a run of chunks."""
        return bytes(self.store.read("SELECT bits FROM material WHERE id=?", (chunk_id,)).fetchone()[0])

    def wipe_chunks(self, chunk_id: int) -> None:
        """Wipe a run of chunks."""
        self.store.write("DELETE FROM material WHERE id=?", (chunk_id,))
        self.store.write("DELETE FROM chunk WHERE id=?", (chunk_id,))
        self.store.wiped = True

    def wipe_stream(self, sid: int) -> None:
        """Wipe all chunks of a stream."""
        where = "WHERE peer=? AND sid=?"
        values = (self.peer, sid)
        self.store.write(f"DELETE FROM material WHERE id IN (SELECT id FROM chunk {where})", values)
        self.store.write(f"DELETE FROM chunk {where}", values)
        self.store.wiped = True

    def waiting_streams(self, seq: int) -> list[int]:
        """Return the streams with chunks of entries up to `seq` that are not available yet."""
        query = "SELECT DISTINCT sid FROM chunk WHERE peer=? AND available_at IS NULL AND seq<=?"
        return [sid for (sid,) in self.store.read(query, (self.peer, seq))]

    def make_available(self, sid: int, seq: int, now: float, expires_at: float | None) -> None:
        """Let the chunks of entries up to `seq` be taken."""
        self.store.write(
            "UPDATE chunk SET available_at=?, expires_at=? WHERE peer=? AND sid=? AND available_at IS NULL AND seq<=?",
            (now, expires_at, self.peer, sid, seq),
        )

    def first_waiting(self, sid: int) -> int | None:
        """Return the first index that is cut and not available yet."""
        query = "SELECT min(first) FROM chunk WHERE peer=? AND sid=? AND available_at IS NULL"
        row = self.store.read(query, (self.peer, sid)).fetchone()
        return None if row[0] is None else int(row[0])

    def expired(self, now: float) -> list[tuple[int, int]]:
        """Return (sid, end) of each stream with expired chunks: all below `end` are past their time."""
        return self.store.read(
            "SELECT sid, max(first + count) FROM chunk WHERE peer=? AND expires_at<=? GROUP BY sid",
            (self.peer, now),
        ).fetchall()

    def available_count(self) -> int:
        """Return how many chunks may be taken and are not acknowledged."""
        query = "SELECT total(count) FROM chunk WHERE peer=? AND available_at IS NOT NULL"
        return int(self.store.read(query, (self.peer,)).fetchone()[0])
