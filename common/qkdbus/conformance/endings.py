"""The key manager, continued: how streams end, and what becomes of keys when processes die."""

# ruff: noqa: D103 (a check is explained by its sentence)

from __future__ import annotations

import os

from ..status import Status
from .applications import CHUNK, SHORT, App, Scene, Stream
from .check import Suite, hold
from .networks import ALICE, BOB
from .standins.keysync import Open
from .waiting import until

SUITE = Suite()
must = SUITE.must
ETSI = "ETSI GS QKD 004 V2.1.1"
UNKNOWN = 9  # our extension; 3 where `security: strict_status` is set


@must(
    "CLOSE ends the stream at this end: 0, and 0 again; then no key, and keysync is told.", f"{ETSI}, 6.3; ruling C11"
)
async def closing_ends_a_stream(scene: Scene) -> None:
    stream = await scene.connect()
    scene.form(stream, 2)
    await scene.app1.fetch(stream)
    oid = scene.oid(stream, ALICE)
    for _ in range(2):
        status = await scene.app1.close(stream)
        hold(status == 0, "status 0, a second time, too", f"{status}")
    await scene.is_closed_at_keysync(ALICE, oid)
    key = await scene.app1.get(stream)
    hold(key.status == UNKNOWN and not key.key, f"status {UNKNOWN} after the close", f"{key.status}")
    again = await scene.app1.open(stream.ksid)
    hold(again.status == 5, "status 5: the KSID was closed a moment ago (ruling C8)", f"{again.status}")


@must("After one end has closed, the other still gets what was reserved, then status 2.", f"{ETSI}, CLOSE; ruling C10")
async def what_was_reserved_is_served(scene: Scene) -> None:
    stream = await scene.connect(timeout=SHORT)
    scene.form(stream, 3)
    await scene.app2.fetch(stream)
    await scene.app1.close(stream)
    got = [await scene.app2.fetch(stream) for _ in range(2)]
    hold(got == [1, 2], "the indices 1 and 2", f"{got}")
    await until(lambda: _is(scene.app2, stream, 2), "then status 2")


async def _is(app: App, stream: Stream, status: int) -> bool:
    return (await app.get(stream)).status == status


@must("When keysync has lost a stream, GET_KEY says 4, once, and then 9; it can be opened again.", "agreement 5.4")
async def a_lost_stream_is_told(scene: Scene) -> None:
    stream = await scene.connect(timeout=SHORT)
    scene.form(stream, 1)
    await scene.app1.fetch(stream)
    await scene.lose()
    await until(lambda: _is(scene.app1, stream, 4), "status 4")
    key = await scene.app1.get(stream)
    hold(key.status == UNKNOWN, f"status {UNKNOWN} from then on", f"{key.status}")
    again = await scene.connect()
    scene.form(again, 1)
    for app in scene.apps.values():
        await app.fetch(again)


@must("What keysync holds open and no application does is closed when the key manager starts.", "agreement 4, 7 (M6)")
async def orphans_are_closed(scene: Scene) -> None:
    oid = os.urandom(16)
    scene.sides[ALICE].opens[oid] = Open(os.urandom(16), BOB, CHUNK, 0)
    await scene.stage.restart(ALICE)
    await scene.is_closed_at_keysync(ALICE, oid)


@must(
    "A silent neighbour: opening a stream is status 6, and so is a key that would need it.",
    f"{ETSI}, cases 2, 4; rulings C1, C3",
)
async def a_silent_neighbour_is_told(scene: Scene) -> None:
    stream = await scene.connect(timeout=SHORT)
    scene.stage.kill(BOB)
    opened = await scene.app1.open(timeout=SHORT)
    hold(opened.status == 6, "status 6 for a new stream", f"{opened.status} ({opened.reason})")
    await until(lambda: _is(scene.app1, stream, 6), "status 6 for a key")
    await scene.stage.start()
    scene.form(stream, 1)
    for app in scene.apps.values():
        await app.fetch(stream)


@must("After kill -9 a delivered key never comes again, and none is left out.", "design 5; agreement 8 (I3)")
async def delivered_keys_stay_delivered(scene: Scene) -> None:
    stream = await scene.connect()
    scene.form(stream, 12)
    for _ in range(4):
        await scene.app1.fetch(stream)
    await scene.stage.restart(ALICE)
    got = [await scene.app1.fetch(stream) for _ in range(4)]  # a second time is a breach
    hold(got == [4, 5, 6, 7], "the indices 4 to 7", f"{got}")
    await scene.stage.restart()
    got = [await scene.app1.fetch(stream) for _ in range(4)]
    hold(got == [8, 9, 10, 11], "the indices 8 to 11", f"{got}")
    got = [await scene.app2.fetch(stream) for _ in range(12)]
    hold(got == list(range(12)), "all of them at Bob", f"{got}")


@must(
    "A key chosen out of order is not delivered again after kill -9 either, and those below are.",
    "design 5.4; agreement 3",
)
async def holes_survive_a_death(scene: Scene) -> None:
    stream = await scene.connect()
    scene.form(stream, 5)
    await until(lambda: _chosen(scene, stream, 2), "index 2, asked for by its number")
    await scene.stage.restart(ALICE)
    got = [await scene.app1.fetch(stream) for _ in range(4)]
    hold(got == [0, 1, 3, 4], "0, 1, 3, 4", f"{got}")


async def _chosen(scene: Scene, stream: Stream, index: int) -> bool:
    return (await scene.app1.get(stream, index)).status == Status.SUCCESSFUL


@must("After kill -9 the same call gets the same index and the same bits.", "design 5.4; agreement 5.5, 7 (M4)")
async def a_call_is_remembered_over_a_death(scene: Scene) -> None:
    stream, caller = await scene.connect(), os.urandom(16)
    scene.form(stream, 4)
    await scene.app1.fetch(stream)
    first = await scene.app(ALICE, "app1", caller).repeatable(stream, 1)
    await scene.stage.restart(ALICE)
    again = await scene.app(ALICE, "app1", caller).repeatable(stream, 1)
    hold(again[0] == first[0], f"index {first[0]} for the same call", f"index {again[0]}")
    hold(again[1] == first[1], "the same bits for the same call", "other bits")
    stream.delivered[ALICE].add(first[0])
    hold(await scene.app1.fetch(stream) == first[0] + 1, "the next index for another call", "another")


@must(
    "A stream that was opened is there after kill -9, whenever that came: the other end can attach.",
    "agreement 7 (M1, M2)",
)
async def an_opened_stream_survives(scene: Scene) -> None:
    opened = await scene.app1.open()
    await scene.stage.restart(ALICE)
    attached = await scene.app2.open(opened.ksid, timeout=20_000)
    hold(attached.status in (0, 1), "the stream at the other end", f"status {attached.status} ({attached.reason})")
    stream = await scene.paired(opened.ksid)
    await scene.stage.restart()
    scene.form(stream, 2)
    for app in scene.apps.values():
        await app.fetch(stream)


@must("A close that was answered holds after kill -9.", "agreement 7 (M6, M7)")
async def a_close_survives(scene: Scene) -> None:
    stream = await scene.connect()
    scene.form(stream, 2)
    oid = scene.oid(stream, ALICE)
    await scene.app1.close(stream)
    await scene.stage.restart(ALICE)
    await scene.is_closed_at_keysync(ALICE, oid)
    key = await scene.app1.get(stream)
    hold(key.status == UNKNOWN, f"status {UNKNOWN}", f"{key.status}")


@must("A lost store ends its streams rather than delivering their keys again.", "agreement 6, 7 (X1)")
async def a_lost_store_delivers_nothing_again(scene: Scene) -> None:
    stream = await scene.connect(timeout=SHORT)
    scene.form(stream, 6)
    for _ in range(3):
        await scene.app1.fetch(stream)
    oid = scene.oid(stream, ALICE)
    scene.stage.kill(ALICE)
    scene.stage.wipe_state(ALICE)
    await scene.stage.start()
    await scene.is_closed_at_keysync(ALICE, oid)
    key = await scene.app1.get(stream)
    hold(key.status != Status.SUCCESSFUL, "no key of a stream that it knows nothing of", f"index {key.index}")
