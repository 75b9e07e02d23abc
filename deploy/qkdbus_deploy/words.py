"""Words that several rooms say."""

from __future__ import annotations


def count(number: int, word: str) -> str:
    """Return "1 node", "2 nodes"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
