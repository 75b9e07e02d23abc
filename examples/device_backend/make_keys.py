"""Stands in for the equipment: the same random key at both ends of a link.

    python make_keys.py FOLDER ONE OTHER [OCTETS]

writes FOLDER/ONE/OTHER.keys and FOLDER/OTHER/ONE.keys, for their owner's eyes only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def write(folder: Path, one: str, other: str, octets: int) -> None:
    """Write both files; FileExistsError when there is one: a key is never put back."""
    text = bytes(8) + os.urandom(octets)  # none used yet
    for file in (folder / one / f"{other}.keys", folder / other / f"{one}.keys"):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(text)


if __name__ == "__main__":
    os.umask(0o077)
    where, first, second, *count = sys.argv[1:]
    write(Path(where), first, second, int(count[0]) if count else 1_000_000)
