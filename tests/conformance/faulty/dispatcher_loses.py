"""A dispatcher that loses the job of a worker that dies: its caller waits for ever."""

from __future__ import annotations

from typing import Any

from qkdbus.runtime import main
from qkdbus_dispatcher import build
from qkdbus_dispatcher.service import Dispatcher


class Loses(Dispatcher):
    """Ends no job but by the worker's own answer."""

    def _lost(self, worker: Any) -> None:
        for name in [name for name, job in self._jobs.items() if job.worker is worker]:
            job = self._jobs.pop(name)
            if job.call is not None:
                job.call.cancel()


if __name__ == "__main__":
    build.Dispatcher = Loses  # type: ignore[attr-defined]
    main("dispatcher", build.build)
