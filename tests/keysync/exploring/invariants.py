"""I1-I7 (agreement, section 8), read from a state of the world and what is to be said of its two ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from .lab import ALICE, BOB, PIECE, Facts, Sid
from .state import State

Pair = tuple[Facts, Facts]


class Broken(AssertionError):
    """Raised when an invariant does not hold."""


def check(state: State, pair: Pair, *, rest: bool = False) -> State:
    """Check I1, I2, I3, I5, and I7 the other way round; return the state with what is now known about chunks."""
    if pair[ALICE].epoch.n > 1 and not state.lost_by and not state.put_back:
        raise Broken("I7: a new epoch without need")
    truth = {(sid, index): bits for sid, index, bits in state.truth}
    known = len(truth)
    for side, facts in enumerate(pair):
        seen: dict[bytes, Any] = {}
        for place, bits in _places(facts):
            for piece in _pieces(bits):
                if seen.setdefault(piece, place) != place:
                    raise Broken("I2: the same bits in two places")
        for seq, index, bits, available in facts.chunks:
            if available and truth.setdefault((facts.sid(seq), index), bits) != bits:
                raise Broken("I1: two keys for one index")
        if rest or not state.put_back:
            _check_dense(state, side, facts)
    for side in (ALICE, BOB):
        for sid, index, bits in state.delivered[side]:
            if truth.setdefault((sid, index), bits) != bits:
                raise Broken("I1: two keys for one index")
    _check_names(state, pair, truth, pools=rest or not state.put_back)
    if len(truth) == known:
        return state
    return replace(state, truth=frozenset((sid, index, bits) for (sid, index), bits in truth.items()))


def _check_names(state: State, pair: Pair, truth: dict[tuple[Sid, int], bytes], *, pools: bool) -> None:
    names: dict[bytes, tuple[Sid, int]] = {}
    for name, bits in truth.items():
        for piece in _pieces(bits):
            if names.setdefault(piece, name) != name:
                raise Broken("I2: the same bits under two names")
    if not pools:
        return
    given = {piece for side in (0, 1) for _, _, bits in state.delivered[side] for piece in _pieces(bits)}
    for facts in pair:
        for place, bits in _places(facts):
            if place[0] != "chunk" and given.intersection(_pieces(bits)):
                raise Broken("I2: delivered bits are in a pool")


def _check_dense(state: State, side: int, facts: Facts) -> None:
    readers = {reader.oid: reader for reader in state.readers[side]}
    for row in facts.opens:
        stream = next((s for s in facts.streams if s.sid == row.sid), None)
        reader = readers.get(row.oid)
        if stream is None or reader is None:
            continue
        have = [index for sid, index, _, _ in facts.chunks if sid == row.sid]
        if len(have) != len(set(have)) or any(index >= stream.next_index for index in have):
            raise Broken("I5: an index cut twice")
        for index in range(stream.next_index):
            if index not in have and index >= row.floor and not reader.has(index):
                raise Broken("I5: an index that nobody has")


def check_rest(state: State, pair: Pair, began: State) -> None:
    """Check I4, I6, I7 of a state at rest; `began`: from which state faults stopped."""
    a, f = pair
    if a.epoch != f.epoch or a.fid != f.fid or not a.fid:
        raise Broken("I4: no common epoch")
    if not a.seq == a.applied == f.applied or a.ledger or a.jobs:
        raise Broken("I4: the ledger is not empty")
    if a.blocks or f.blocks:
        raise Broken("I4: a block is left")
    if a.reservoir != f.reservoir or a.streams != f.streams:
        raise Broken("I4: the ends differ")
    if a.epoch in began.lost_in:
        raise Broken("I7: a store was lost and the epoch went on")
    check(state, pair, rest=True)
    for side, facts in enumerate((a, f)):
        given = {piece for _, _, bits in state.delivered[side] for piece in _pieces(bits)}
        for place, bits in _places(facts):
            if given.intersection(_pieces(bits)):
                raise Broken("I6: delivered bits are still there")
            if place[0] == "chunk" and all(row.sid != place[1] for row in facts.opens):
                raise Broken("I6: closed bits are still there")
            floor = next((row.floor for row in facts.opens if row.sid == place[1]), 0)
            if place[0] == "chunk" and place[2] < floor:
                raise Broken("I6: expired bits are still there")


def _places(facts: Facts) -> Iterator[tuple[tuple[Any, ...], bytes]]:
    for job, bits in facts.blocks:
        yield ("block", job), bits
    for run, start, _, bits in facts.reservoir:
        yield ("reservoir", run, start), bits
    for sid, index, bits, _ in facts.chunks:
        yield ("chunk", sid, index), bits


def _pieces(bits: bytes) -> Iterable[bytes]:
    return {bits[n : n + PIECE] for n in range(0, len(bits), PIECE)}
