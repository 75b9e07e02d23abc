"""The scene of the dispatcher: two workers under it that come and go, and its caller, the node's keysync."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..runtime import Room
from ..wire.dispatcher_pb2 import Exchange, Exchanged, JobName, ListWorkers, Reserve, Reserved, WorkerInfo, Workers
from .line import Line
from .networks import ALICE
from .stage import Stage
from .standins import worker as standin
from .standins.worker import Worker
from .waiting import until

WORKERS = 2


class Scene:
    """Two workers under the dispatcher, and its caller (the keysync of the node)."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.rooms: dict[int, Room] = {}
        self.workers: dict[int, Worker] = {}
        self._job = 0
        self._line: Line | None = None

    async def open(self) -> None:
        """Put both workers up."""
        for number in range(WORKERS):
            self.put_up(number)

    async def settle(self) -> None:
        """Have both workers up and willing, and seen so by the dispatcher."""
        for number in range(WORKERS):
            if number not in self.rooms:
                self.put_up(number)
            self.workers[number].full, self.workers[number].answer = False, None
            self.workers[number].release()
        for number in range(WORKERS):
            await self.until_state(number, "ready")

    async def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()

    @property
    def line(self) -> Line:
        """The keysync's line to the dispatcher."""
        if self._line is None:
            self._line = self.stage.line(ALICE)
        return self._line

    def put_up(self, number: int, changed: Callable[[Worker], None] = lambda worker: None) -> None:
        """Start a worker."""
        self.rooms[number] = self.stage.room(ALICE, "qbackend", number)
        self.workers[number] = standin.serve(self.rooms[number], changed)

    def take_down(self, number: int) -> None:
        """Have a worker die: its socket answers nobody."""
        self.stage.leave(self.rooms.pop(number))

    def new_job(self) -> JobName:
        """Return a job that was never asked for."""
        self._job += 1
        return JobName(peer="Bob", epoch_n=1, epoch_r=77, job=self._job)

    async def reserve(self, name: JobName) -> Reserved:
        """Ask for a worker."""
        return (await self.line.ask("reserve", Reserve(name=name))).read(Reserved)

    async def exchange(self, name: JobName, worker: int, bits: int = 256) -> Exchanged:
        """Have a block formed, as the arbiter. Breach when no answer comes."""
        asked = Exchange(name=name, arbiter=True, bits=bits, protocol="e91-same-bases", worker=worker)
        return (await self.line.ask("exchange", asked)).read(Exchanged)

    async def job(self, name: JobName | None = None) -> Exchanged:
        """Reserve and exchange."""
        name = name or self.new_job()
        return await self.exchange(name, (await self.reserve(name)).worker)

    async def infos(self) -> dict[int, WorkerInfo]:
        """Return what the dispatcher says of its workers."""
        workers = (await self.line.ask("list_workers", ListWorkers())).read(Workers).workers
        return {info.worker: info for info in workers}

    async def until_state(self, number: int, state: str) -> None:
        """Wait until the dispatcher sees a worker ready, or not. Breach when it does not."""
        await until(partial(self._is, number, state), f"worker {number} {state} in list_workers")

    async def _is(self, number: int, state: str) -> bool:
        infos = await self.infos()
        return number in infos and (infos[number].state == "ready") == (state == "ready")

    def formed_for(self, name: JobName) -> list[bytes]:
        """Return the run of every block that any worker formed for a job."""
        key = name.SerializeToString(deterministic=True)
        return [block.run for worker in self.workers.values() for block in worker.blocks.get(key, [])]
