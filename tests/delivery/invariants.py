"""What must hold of key managers over their keysyncs, beside I1-I7: what is promised is there, what is over is not."""

from __future__ import annotations

from qkdbus_keymanager.stream import State as Life

from ..keysync.exploring.invariants import Broken
from ..keysync.exploring.lab import Facts as Ends
from .keeper import Facts, Held
from .state import Delivering


def check_keeper(state: Delivering, keeper: Facts, end: Ends) -> None:
    """Check one node."""
    marks = dict(keeper.settled)
    for stream in keeper.streams:
        for caller, number, first, last in stream.held:
            if number < marks[caller]:
                raise Broken("K: a call that is settled is remembered")
            if not state.put_back:
                _check_kept(stream, end, range(first, last))
        if any(index not in stream.needed for index, _ in stream.memory):
            raise Broken("I6: bits in memory that nobody will ask for")
        if stream.state == Life.CLOSING and stream.memory:
            raise Broken("I6: closed bits are in memory")


def _check_kept(stream: Held, end: Ends, promised: range) -> None:
    """What may be asked for again is at keysync, where a crash does not reach it (5.5 step 5)."""
    row = next((row for row in end.opens if row.oid == stream.oid), None)
    if row is None or row.sid is None or stream.sid != end.sid(row.sid):
        return  # keysync has lost it, which the next take will tell
    kept = {index for sid, index, _, available in end.chunks if sid == row.sid and available}
    if any(index >= row.floor and index not in kept for index in promised):
        raise Broken("K: what may be asked for again is acknowledged")


def check_keeper_at_rest(keeper: Facts, end: Ends) -> None:
    """All is delivered, and of what was delivered nothing is in memory."""
    for stream in keeper.streams:
        row = next((row for row in end.opens if row.oid == stream.oid), None)
        if stream.state != Life.OPEN or row is None:
            raise Broken("K: half open at rest")
        shared = next((s for s in end.streams if s.sid == row.sid), None)
        if shared is not None and stream.low < shared.next_index:
            raise Broken("K: a key that nobody gets")
        if stream.memory or stream.held or stream.pulling:
            raise Broken("K: something is left at rest")
