"""A service from its first breath to its last: read settings, build, start, serve until SIGTERM, stop.

Runs after `exec` as `python -m <package> NODE_DIR`, or in a child forked from a warm parent. Either way nothing
of ZeroMQ, no thread and no loop exists before `run`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from ..errors import QkdbusError
from .logs import open_log
from .room import Build, Room
from .settings import NodeSettings, load

STOP_WITHIN = 2.0  # s; supervisord kills after three


def main(layer: str, build: Build) -> None:
    """Be the whole of a service's `__main__`."""
    parser = argparse.ArgumentParser(prog=f"qkdbus {layer}", description=f"The {layer} of one node.")
    parser.add_argument("directory", type=Path, metavar="NODE_DIR", help="the node's folder, with its node.yaml")
    parser.add_argument("--replica", type=int, default=0, help="which worker of the layer this is (default 0)")
    asked = parser.parse_args()
    sys.exit(run(layer, build, asked.directory, asked.replica))


def run(layer: str, build: Build, directory: Path, replica: int = 0) -> int:
    """Run one service until it is told to stop; return the exit status. Raises nothing."""
    os.umask(0o077)
    try:
        settings = load(directory)
    except QkdbusError as error:
        print(f"{layer}: {error}", file=sys.stderr, flush=True)
        return 2
    log = open_log(settings.name, layer, replica, settings.log_level)
    try:
        asyncio.run(_live(settings, layer, build, replica, log))
    except Exception as error:
        log.critical("fatal", extra={"kind": type(error).__name__}, exc_info=error)
        return 1
    return 0


async def _live(settings: NodeSettings, layer: str, build: Build, replica: int, log: logging.Logger) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    def end(*_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(over.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        # not loop.add_signal_handler: it walks the table of all signals, and every page it counts on is copied
        signal.signal(number, end)
    room = Room(settings, layer, replica, log)
    loop.set_exception_handler(lambda _loop, context: _report(room, context))
    try:
        service = build(room)
        await service.start()
        room.vitals.waiting_for = service.waiting_for
        log.info("started", extra={"pid": os.getpid()})
        await over.wait()
        log.info("stopping")
        try:
            await asyncio.wait_for(service.stop(), STOP_WITHIN)
        except TimeoutError:
            log.warning("stop_took_too_long")
    finally:
        room.close()
    log.info("stopped")


def _report(room: Room, context: dict[str, object]) -> None:
    error = context.get("exception")
    room.counters["faults"] += 1
    room.vitals.last_failure = f"{type(error).__name__}: {context.get('message')}"
    extra = {"kind": type(error).__name__, "said": str(context.get("message"))}
    room.log.error("fault", extra=extra, exc_info=error if isinstance(error, BaseException) else None)
