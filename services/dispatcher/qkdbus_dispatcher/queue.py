"""Who is next: jobs wait for a worker by priority, and within one priority the links take turns by bits. No clock.

- A job of higher priority goes first. So that the others get somewhere, every `TURN`th grant made past jobs of lower
  priority goes to that one of them which has waited longest.
- Within a priority a link's turn comes when it has been given fewer bits than the other links that wait (start-time
  fair queueing): of two links that always wait, neither is ever ahead by more than two jobs. A link that has not waited
  for a while begins where the others are; it has saved nothing up.
- Within a link, first come, first served.
- There is an end to it: beyond `most` jobs, the longest line of the lowest priority gives way, or the newcomer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

MOST = 1024  # jobs that wait
TURN = 8


@dataclass(eq=False, slots=True)
class Ticket:
    """A job that waits. `at`: since when, for whoever looks at the queue."""

    name: bytes
    peer: str
    bits: int
    priority: int = 0
    at: float = 0.0
    number: int = 0  # of its arrival


@dataclass(slots=True)
class _Band:
    """The jobs of one priority, a line for each link.

    Attributes:
        time: how far the link that is furthest behind has got, in bits.
        given: how far each link has got, where that is beyond `time`.
    """

    lines: dict[str, deque[Ticket]] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)
    time: int = 0

    def start(self, peer: str) -> int:
        return max(self.time, self.given.get(peer, 0))

    def next(self) -> str:
        """Return the link whose turn it is."""
        return min(self.lines, key=lambda peer: (self.start(peer), self.lines[peer][0].number))

    def pop(self, peer: str) -> Ticket:
        self.time = min(map(self.start, self.lines))
        line = self.lines[peer]
        ticket = line.popleft()
        if not line:
            del self.lines[peer]
        self.given[peer] = self.start(peer) + max(1, ticket.bits)
        self.given = {name: at for name, at in self.given.items() if at > self.time}
        return ticket

    def oldest(self) -> Ticket:
        return min((line[0] for line in self.lines.values()), key=lambda ticket: ticket.number)

    def longest(self) -> deque[Ticket]:
        return max(self.lines.values(), key=lambda line: (len(line), line[-1].number))


class JobQueue:
    """The jobs that wait. See the head of this file for their order."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._bands: dict[int, _Band] = {}
        self._tickets: dict[bytes, Ticket] = {}
        self._arrivals = 0
        self._past = 0  # grants in a row that were made past jobs of lower priority

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, name: bytes) -> bool:
        return name in self._tickets

    def __iter__(self) -> Iterator[Ticket]:
        """All that wait, in the order of their arrival."""
        return iter(self._tickets.values())

    def put(self, ticket: Ticket) -> Ticket | None:
        """Let a job wait; return who has to go instead, which may be itself. ValueError when it waits already."""
        if ticket.name in self._tickets:
            raise ValueError("this job waits already")
        gone = self._victim(ticket) if len(self._tickets) >= self.most else None
        if gone is ticket:
            return ticket
        if gone is not None:
            self.drop(gone.name)
        self._arrivals += 1
        ticket.number = self._arrivals
        self._tickets[ticket.name] = ticket
        band = self._bands.setdefault(ticket.priority, _Band())
        band.lines.setdefault(ticket.peer, deque()).append(ticket)
        return gone

    def pop(self) -> Ticket | None:
        """Return the job that is next, or None: nobody waits."""
        waiting = [priority for priority, band in self._bands.items() if band.lines]
        if not waiting:
            return None
        highest = max(waiting)
        below = [self._bands[priority].oldest() for priority in waiting if priority != highest]
        self._past = self._past + 1 if below else 0
        if self._past >= TURN:
            self._past = 0
            found = min(below, key=lambda ticket: ticket.number)
            ticket = self._bands[found.priority].pop(found.peer)
        else:
            band = self._bands[highest]
            ticket = band.pop(band.next())
        del self._tickets[ticket.name]
        return ticket

    def drop(self, name: bytes) -> Ticket | None:
        """Take a job out whose turn has not come; its link keeps its place among the others."""
        ticket = self._tickets.pop(name, None)
        if ticket is not None:
            lines = self._bands[ticket.priority].lines
            lines[ticket.peer].remove(ticket)
            if not lines[ticket.peer]:
                del lines[ticket.peer]
        return ticket

    def _victim(self, new: Ticket) -> Ticket:
        lowest = min(priority for priority, band in self._bands.items() if band.lines)
        if new.priority < lowest:
            return new
        lines = self._bands[lowest].lines
        longest = self._bands[lowest].longest()
        own = len(lines.get(new.peer, ())) + 1
        return longest[-1] if new.priority > lowest or own < len(longest) else new
