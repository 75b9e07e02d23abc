"""Make the checks of a layer, one after the other, on one stage or at one endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import zmq

from ..bus.curve import KeyPair
from ..errors import Failed, QkdbusError, Refused
from . import bus, standing
from .check import Breach, Check, Layer, LeftOut, Result, Scene
from .stage import Ground, Stage, Subject

PATIENCE = 600.0  # s for one check
Tell = Callable[[Result], None]
NEEDS_PROCESS = "needs a process of its own: give a command, not an endpoint"
ALIVE = "the process is alive after the check"
_READY = Check(
    "ready",
    "A process answers ping and says that it is ready once those that it needs are there.",
    "design 3",
    lambda scene: asyncio.sleep(0),
)


def chosen(layer: Layer, only: Collection[str] = ()) -> list[Check]:
    """Return the checks of a layer, or some of them. Refused when one has no such name."""
    checks = [*bus.CHECKS, *standing.of(layer.name), *layer.checks, *bus.LAST]
    if unknown := sorted(set(only) - {check.name for check in checks}):
        raise Refused(f"{layer.name} has no check {', '.join(unknown)}; `qkdbus conform {layer.name} --list` has all")
    return [check for check in checks if not only or check.name in only]


async def on_stage(
    layer: Layer, ground: Ground, commands: Sequence[Sequence[str]], tell: Tell, only: Collection[str] = ()
) -> list[Result]:
    """Run a command at the ends that the layer has, and check it; `tell` hears each result as it comes.

    `commands`: of each end in turn; the last one is for all further ends.
    """
    checks = chosen(layer, only)
    each = {name: commands[min(place, len(commands) - 1)] for place, name in enumerate(layer.ends)}
    stage = Stage(ground, layer.name, layer.contract, each)
    scene, results = layer.scene(stage), _Results(tell)
    try:
        await scene.open()
        try:
            await stage.start()
        except Failed as error:
            results.add(Result(_READY, "broken", "ready", str(error)))
            checks = []
        for check in checks:
            results.add(await _one(check, stage, scene))
        await scene.close()
    finally:
        stage.close()
    return results.all


async def at_endpoint(
    layer: Layer,
    endpoint: str,
    tell: Tell,
    only: Collection[str] = (),
    *,
    pair: KeyPair | None = None,
    server_key: str = "",
) -> list[Result]:
    """Check a process of which nothing but the endpoint is known, as far as that goes.

    `pair`, `server_key`: with which to come in, where the endpoint is a CURVE door.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    subject = Subject(layer.name, layer.contract, endpoint, context, pair=pair, server_key=server_key)
    results = _Results(tell)
    try:
        for check in chosen(layer, only):
            results.add(await _tried(check, subject) if check.alone else Result(check, "left out", came=NEEDS_PROCESS))
    finally:
        context.destroy(linger=0)
    return results.all


class _Results:
    """What came so far."""

    def __init__(self, tell: Tell) -> None:
        self.all: list[Result] = []
        self._tell = tell

    def add(self, result: Result) -> None:
        """Keep a result, and tell of it."""
        self.all.append(result)
        self._tell(result)


async def _one(check: Check, stage: Stage, scene: Scene) -> Result:
    try:
        stage.launch()  # what a check before this one has ended
        await scene.settle()
        await stage.ready()
    except QkdbusError as error:
        return Result(check, "broken", "ready for the check", str(error))
    result = await _tried(check, stage.subject() if check.of_bus or check.alone else scene)
    if fallen := stage.fallen():
        came = f"{result.came}; {fallen}" if result.verdict == "broken" else fallen
        return replace(result, verdict="broken", expected=result.expected or ALIVE, came=came)
    return result


async def _tried(check: Check, on: object) -> Result:
    try:
        async with asyncio.timeout(PATIENCE):
            await check.run(on)
    except Breach as breach:
        return Result(check, "broken", breach.expected, breach.came)
    except LeftOut as reason:
        return Result(check, "left out", came=str(reason))
    except TimeoutError:
        return Result(check, "broken", f"done in {PATIENCE:g} s", "it was not: something never ended")
    except QkdbusError as error:
        return Result(check, "broken", "done", str(error))
    return Result(check, "holds")
