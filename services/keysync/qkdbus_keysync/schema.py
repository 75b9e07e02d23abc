"""The tables (reference "agreement", section 3), one database for the node.

Key bits of chunks are in `material`, apart from the numbers about them, because SQLite writes a whole row
again when one column changes. `chain` keeps the last chains at both ends. `floor` and the low mark live in
`open`, as both are this end's alone.
"""

from __future__ import annotations

VERSION = 2

SCHEMA = """
CREATE TABLE mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE link (
  peer TEXT PRIMARY KEY, arbiter INTEGER NOT NULL, epoch_n INTEGER NOT NULL, epoch_r BLOB NOT NULL,
  fid BLOB NOT NULL, next_job INTEGER NOT NULL, seq INTEGER NOT NULL, applied INTEGER NOT NULL,
  chain BLOB NOT NULL, reservoir_bits INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE job (
  peer TEXT, job INTEGER, formed INTEGER NOT NULL, deadline REAL NOT NULL, bits INTEGER NOT NULL,
  PRIMARY KEY (peer, job)
) WITHOUT ROWID;

CREATE TABLE block (
  peer TEXT, job INTEGER, run BLOB NOT NULL, length INTEGER NOT NULL, record BLOB NOT NULL, bits BLOB NOT NULL,
  PRIMARY KEY (peer, job)
);

CREATE TABLE ledger (
  peer TEXT, seq INTEGER, job INTEGER NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (peer, seq)
) WITHOUT ROWID;

CREATE TABLE chain (peer TEXT, seq INTEGER, chain BLOB NOT NULL, PRIMARY KEY (peer, seq)) WITHOUT ROWID;

CREATE TABLE reservoir (
  id INTEGER PRIMARY KEY, peer TEXT NOT NULL, run BLOB NOT NULL, start INTEGER NOT NULL,
  length INTEGER NOT NULL, since REAL NOT NULL, record BLOB NOT NULL, bits BLOB NOT NULL
);
CREATE UNIQUE INDEX reservoir_piece ON reservoir (peer, run, start);
CREATE INDEX reservoir_order ON reservoir (peer, id, run, start, length, since);

CREATE TABLE stream (
  peer TEXT, sid INTEGER, ksid BLOB NOT NULL, oid_a BLOB NOT NULL, oid_f BLOB NOT NULL,
  chunk_size INTEGER NOT NULL, closed_a INTEGER NOT NULL, closed_f INTEGER NOT NULL,
  next_index INTEGER NOT NULL, PRIMARY KEY (peer, sid)
) WITHOUT ROWID;

CREATE TABLE used_oid (
  peer TEXT, ksid BLOB, oid BLOB, until REAL NOT NULL, PRIMARY KEY (peer, ksid, oid)
) WITHOUT ROWID;

CREATE TABLE open (
  oid BLOB PRIMARY KEY, peer TEXT NOT NULL, ksid BLOB NOT NULL, sid INTEGER, chunk_size INTEGER NOT NULL,
  ttl INTEGER NOT NULL, priority INTEGER NOT NULL, low INTEGER NOT NULL, floor INTEGER NOT NULL,
  min_bps INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX open_place ON open (peer, sid);

CREATE TABLE chunk (
  id INTEGER PRIMARY KEY, peer TEXT NOT NULL, sid INTEGER NOT NULL, first INTEGER NOT NULL,
  count INTEGER NOT NULL, size INTEGER NOT NULL, seq INTEGER NOT NULL, available_at REAL, expires_at REAL,
  record BLOB NOT NULL
);
CREATE UNIQUE INDEX chunk_place ON chunk (peer, sid, first);
CREATE INDEX chunk_waiting ON chunk (peer, sid, first) WHERE available_at IS NULL;
CREATE INDEX chunk_expiry ON chunk (peer, expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE material (id INTEGER PRIMARY KEY, bits BLOB NOT NULL);
"""

# What makes a store of an older version one of the next: its keys are kept.
UPGRADES = {1: "ALTER TABLE open ADD COLUMN min_bps INTEGER NOT NULL DEFAULT 0"}
