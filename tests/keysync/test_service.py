"""The service, two nodes, a fibre: what a key manager sees."""

from __future__ import annotations

import pytest

KSID, A, B = b"k" * 16, b"a" * 16, b"b" * 16


def keys(taken):
    return {
        run.first + n: run.bits[n * 32 : (n + 1) * 32] for run in taken.runs for n in range(run.count)
    }


async def test_both_ends_get_the_same_keys(net):
    await net.pair(KSID, A, B)
    await net.until(lambda: net.alice.take(A).next_index == 32 and net.bob.take(B).next_index == 32)
    mine, theirs = keys(net.alice.take(A)), keys(net.bob.take(B))
    assert mine == theirs
    assert sorted(mine) == list(range(32))
    assert len(set(mine.values())) == 32
