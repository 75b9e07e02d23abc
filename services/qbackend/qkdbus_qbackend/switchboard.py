"""One socket pair between two workers, many exchanges: parcels find their channel by job.

The neighbour's parcels come in through our door; ours go out through its door. CURVE says which neighbour speaks,
and a parcel that names another node is dropped. A worker says in its parcels at which door it is answered; only a
port that the network file gives that neighbour is believed.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from google.protobuf.message import Message

from qkdbus.contracts.call import Call
from qkdbus.runtime.settings import Neighbour
from qkdbus.wire.qbackend_pb2 import Parcel

from .channel import LARGEST_PARCEL, NO_ATTEMPT, Channel, Ears, Job, farewell

WAIT = 60.0  # s that parcels wait for the `run` of their job, on a busy machine
WAITING_PARCELS = 64  # of one job
WAITING_OCTETS = 64 << 20  # of all jobs
WAITING_JOBS = 256
REMEMBERED = 1024  # jobs that have ended: what still comes for them is late, not early


class Teller(Protocol):
    """What the switchboard needs of an Asker."""

    def tell(self, method: str, request: Message) -> None:
        """Send a notice."""

    def close(self) -> None:
        """Close the socket."""


Connect = Callable[[Neighbour, str], Teller]  # to a neighbour's worker, at an endpoint


@dataclass(slots=True)
class _Early:
    """Parcels of a job whose `run` has not come yet."""

    since: float
    attempt: bytes
    parcels: dict[tuple[int, int], Parcel] = field(default_factory=dict)
    octets: int = 0


class _Route:
    """The way to the other end of one exchange; unknown at the arbiter until the follower has spoken."""

    def __init__(self, board: Switchboard, neighbour: Neighbour, endpoint: str) -> None:
        self._board, self.neighbour = board, neighbour
        self._teller = board.teller(neighbour, endpoint) if endpoint else None

    def learn(self, endpoint: str) -> None:
        """Answer at `endpoint` from now on, if none was known and it is one of the neighbour's doors."""
        known = door(self.neighbour, endpoint)
        if self._teller is None and known:
            self._teller = self._board.teller(self.neighbour, known)

    def send(self, parcel: Parcel) -> None:
        """Send; dropped when there is no way yet."""
        if self._teller is None:
            self._board.counters["parcels_without_way"] += 1
        else:
            self._teller.tell("parcel", parcel)


class Switchboard:
    """Keeps the peer contract of the qbackend, and the channels of all exchanges of this worker."""

    def __init__(
        self,
        node: str,
        neighbours: tuple[Neighbour, ...],
        connect: Connect,
        *,
        monotonic: Callable[[], float],
        counters: Counter[str],
        own_door: str,
    ) -> None:
        self._node, self._connect, self._monotonic, self._own_door = node, connect, monotonic, own_door
        self._neighbours = {neighbour.name: neighbour for neighbour in neighbours}
        self.counters = counters
        self._channels: dict[Job, tuple[Channel, _Route]] = {}
        self._early: OrderedDict[Job, _Early] = OrderedDict()
        self._early_octets = 0
        self._ended: OrderedDict[Job, None] = OrderedDict()
        self._tellers: dict[tuple[str, str], Teller] = {}

    def open(
        self,
        job: Job,
        attempt: bytes,
        *,
        endpoint: str = "",
        progress: Callable[[], None] = lambda: None,
        alive: Callable[[], None] = lambda: None,
        ears: Ears | None = None,
    ) -> Channel:
        """Open the channel of `job`: to the arbiter's worker at `endpoint`, or (arbiter) to whoever calls.

        `ears` follow what is said on it. KeyError when the job's peer is no neighbour of ours.
        """
        route = _Route(self, self._neighbours[job.peer], endpoint)
        door = self._own_door
        channel = Channel(
            job, self._node, attempt, route.send, progress=progress, alive=alive, endpoint=door, ears=ears
        )
        self._channels[job] = channel, route
        self._tidy()
        early = self._pop_early(job)
        for _, parcel in sorted(early.parcels.items()) if early else ():
            self._hand_over(channel, route, parcel)
        return channel

    def close(self, job: Job) -> None:
        """Forget a channel; parcels that still come for it are dropped."""
        self._channels.pop(job, None)
        self._ended[job] = None
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def teller(self, neighbour: Neighbour, endpoint: str) -> Teller:
        """Return the connection to a worker of `neighbour`, made on first use and kept."""
        where = (neighbour.name, endpoint)
        if where not in self._tellers:
            self._tellers[where] = self._connect(neighbour, endpoint)
        return self._tellers[where]

    @property
    def early(self) -> int:
        """Parcels that wait for their `run`."""
        return sum(len(early.parcels) for early in self._early.values())

    # -- the peer contract
    def parcel(self, request: Parcel, call: Call) -> None:
        """Take a parcel from a neighbour's worker."""
        job = Job(call.user, request.epoch_n, request.epoch_r, request.job)
        if request.node != call.user or call.user not in self._neighbours:
            self.counters["parcels_of_strangers"] += 1
        elif len(request.body) > LARGEST_PARCEL or len(request.attempt) != 16:
            self.counters["parcels_malformed"] += 1
        elif job in self._channels:
            self._hand_over(*self._channels[job], request)
        elif job in self._ended or (request.number and job not in self._early):
            self.counters["parcels_late"] += 1
            self._take_leave(self._neighbours[job.peer], request)
        else:
            self._keep(job, request)

    def _take_leave(self, neighbour: Neighbour, parcel: Parcel) -> None:
        """Tell an end that still waits for us that we have ended, or have started anew since."""
        known = door(neighbour, parcel.endpoint)
        if known and parcel.attempt != NO_ATTEMPT:
            self.teller(neighbour, known).tell("parcel", farewell(parcel, self._node, self._own_door))

    def _hand_over(self, channel: Channel, route: _Route, parcel: Parcel) -> None:
        if parcel.endpoint:
            route.learn(parcel.endpoint)
        channel.take(parcel)

    def _keep(self, job: Job, parcel: Parcel) -> None:
        self._tidy()
        early = self._early.get(job)
        if early is None or early.attempt != parcel.attempt:  # a new try of the neighbour's ends its old one
            self._pop_early(job)
            early = self._early[job] = _Early(self._monotonic(), parcel.attempt)
        place, octets = (parcel.plane, parcel.number), parcel.ByteSize()  # with what we do not know of it
        room = self._early_octets + octets <= WAITING_OCTETS
        if not room or len(early.parcels) >= WAITING_PARCELS:
            self.counters["parcels_overflowed"] += 1
        elif place not in early.parcels:
            early.parcels[place] = parcel
            early.octets += octets
            self._early_octets += octets

    def _pop_early(self, job: Job) -> _Early | None:
        early = self._early.pop(job, None)
        if early is not None:
            self._early_octets -= early.octets
        return early

    def _tidy(self) -> None:
        until = self._monotonic() - WAIT
        while self._early:
            job, early = next(iter(self._early.items()))
            if early.since > until and len(self._early) < WAITING_JOBS:
                return
            self._pop_early(job)
            self.counters["parcels_unclaimed"] += len(early.parcels)


def door(neighbour: Neighbour, said: str) -> str:
    """Return how we reach the neighbour's worker that says it listens at endpoint `said`; "" if it has none there.

    Only the port is believed, and only if the network file gives it to that neighbour; the address is the file's.
    """
    port = said.rpartition(":")[2]
    known = port in {str(port) for port in neighbour.ports.qbackend}
    return f"tcp://{neighbour.host}:{port}" if known else ""
