"""Trials of key streams, shown while they run and when they have."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import say

if TYPE_CHECKING:
    from ..trial import Result

HEADINGS = ("stream", "keys", "equal", "key bit/s", "s/key", "pairs created", "sifted out", "disclosed", "QBER")


def tell(results: Sequence[Result], as_json: bool) -> None:
    """Show what came of the trials."""
    if as_json:
        say.data([result.summary() for result in results])
        return
    rows = []
    for result in results:
        told = result.summary()
        names = ("stream", "keys", "equal", "bits_per_second", "seconds_per_key", "created", "sifted_out", "disclosed")
        rows.append([*(told[name] for name in names), f"{result.qber:.2%}"])
    say.table(HEADINGS, rows)
    for result in results:
        if result.trouble:
            say.failure(f"{result.wish.title}: {result.trouble}")


class Progress:
    """Says how many keys were compared, twice a second at the most."""

    def __init__(self) -> None:
        self._said, self._last = "", 0.0

    def __call__(self, results: Sequence[Result]) -> None:
        """Say it."""
        text = ", ".join(f"{r.wish.title} {r.equal}/{r.wish.count}" for r in results)
        now = time.monotonic()
        if text != self._said and (now - self._last > 0.5 or all(r.equal == r.wish.count for r in results)):
            self._said, self._last = text, now
            say.progress(f"keys equal at both ends: {text}")
