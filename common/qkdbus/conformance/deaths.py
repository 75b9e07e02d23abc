"""keysync, continued: whatever is killed, whenever, agreed chunks are still there, and no bit comes twice."""

# ruff: noqa: D103 (a check is explained by its sentence)

from __future__ import annotations

import asyncio
from functools import partial

from ..wire import keysync_pb2 as wire
from .check import Suite, hold
from .networks import ALICE, BOB, OTHER
from .streams import BOTH, Scene, Stream, job_of
from .waiting import until

SUITE = Suite()
must = SUITE.must
SOME = 8  # chunks


@must(
    "Whatever is killed (the arbiter, the follower, both): agreed chunks are still there, with their bits.",
    "agreement 7, 8",
)
async def agreed_chunks_survive_kill_9(scene: Scene) -> None:
    for victims in ((ALICE,), (BOB,), BOTH):
        stream = await scene.stream()
        keys = await scene.equal(stream, SOME)
        await scene.stage.restart(*victims)
        for name in BOTH:
            after = await scene.keys(stream, name)
            kept = after.items() >= keys.items()
            hold(kept, f"all of them at {name} after kill -9 of {' and '.join(victims)}", "fewer, or other bits")
        await _go_on(scene, stream)


@must("Killed in the middle of forming, again and again, the ends never differ and go on.", "agreement 7, 8 (I1, I4)")
async def kills_amid_formation_do_no_harm(scene: Scene) -> None:
    stream = await scene.stream()
    for turn, victims in enumerate(((ALICE,), (BOB,), BOTH, (ALICE,))):
        keys = await scene.equal(stream, 1)
        low = min(keys) + len(keys) // 2  # makes room: exchanges begin
        for name in BOTH:
            await scene.take(stream, name, low=low)
        await asyncio.sleep(0.03 * turn)
        await scene.stage.restart(*victims)
    await _go_on(scene, stream)


async def _go_on(scene: Scene, stream: Stream) -> None:
    keys = await scene.equal(stream, 1)
    low = max(keys) + 1
    for name in BOTH:
        await scene.take(stream, name, low=low)
    await scene.equal(stream, low + SOME)


@must("What was acknowledged before a death is not handed out after it.", "agreement 8 (I6)")
async def acknowledged_chunks_stay_gone(scene: Scene) -> None:
    stream = await scene.stream()
    await scene.equal(stream, SOME)
    for name in BOTH:
        await scene.take(stream, name, low=5)
    await scene.stage.restart()
    for name in BOTH:
        after = await scene.keys(stream, name)
        hold(after and min(after) >= 5, "chunks from 5 on", f"from {min(after, default=None)} on")


@must("A job's number is used once in an epoch, also after the arbiter's death.", "agreement 2")
async def job_numbers_are_used_once(scene: Scene) -> None:
    stream = await scene.stream()
    await scene.equal(stream, SOME)
    await scene.stage.restart(ALICE)
    await _go_on(scene, stream)
    jobs = [job_of(one) for one in scene.fibre.asked[ALICE]]
    hold(len(set(jobs)) == len(jobs), "each job once at the arbiter", f"{len(jobs) - len(set(jobs))} again")


@must("A lost store is noticed: a new epoch, its streams GONE at both ends; new ones work.", "agreement 5.3, 8 (I7)")
async def a_lost_store_ends_the_streams(scene: Scene) -> None:
    for victim in BOTH:
        stream = await scene.stream()
        await scene.equal(stream, SOME)
        epoch = (await scene.status(OTHER[victim])).epoch
        scene.stage.kill(victim)
        scene.stage.wipe_state(victim)
        await scene.stage.start()
        for name in BOTH:
            await until(partial(scene.state_of, stream, name, wire.GONE), f"GONE at {name}, {victim}'s store lost")
        hold((await scene.status(OTHER[victim])).epoch.n > epoch.n, "an epoch with a larger number", "none")
        await scene.equal(await scene.stream(ksid=stream.ksid), SOME)


@must(
    "Over all of these checks, kills included, no bit was used twice and no index had two keys.", "agreement 8 (I1, I2)"
)
async def nothing_was_ever_used_twice(scene: Scene) -> None:
    await scene.equal(await scene.stream(), SOME)
    scene.nothing_twice()
