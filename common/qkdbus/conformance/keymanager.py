"""What any key manager must do: ETSI GS QKD 004 for applications, each key once, whatever dies.

A process at each end of a link, over keysyncs that are stand-ins; the checks are the applications.
"""

# ruff: noqa: D103 (a check is explained by its sentence)

from __future__ import annotations

import asyncio
import json
import os

from ..bus.curve import KeyPair
from ..contracts.keymanager import CONTRACT
from ..wire import keymanager_pb2 as km
from ..wire.head_pb2 import OK, UNAUTHORISED
from . import endings, openings
from .applications import BOTH, CHUNK, SHORT, App, Scene, Stream
from .check import Breach, Layer, Suite, hold
from .line import Line
from .networks import ALICE, BOB, network
from .standins.keysync import acknowledged
from .waiting import until

SUITE = Suite()
must = SUITE.must
ETSI = "ETSI GS QKD 004 V2.1.1"


@must("GET_KEY gives both ends the same bits for one index: those that keysync agreed on.", f"{ETSI}, 6.2; design 5")
async def both_ends_get_the_same_keys(scene: Scene) -> None:
    stream = await scene.connect()
    scene.form(stream, 6)
    for app in scene.apps.values():
        for _ in range(6):
            await app.fetch(stream)  # compares
    hold(stream.delivered[ALICE] == stream.delivered[BOB], "the same indices at both ends", "others")


@must("Without an index GET_KEY gives the next undelivered one: 0, 1, 2 ... in order.", f"{ETSI}, 6.2; ruling C4")
async def keys_come_in_order(scene: Scene) -> None:
    stream = await scene.connect()
    scene.form(stream, 8)
    got = [await scene.app1.fetch(stream) for _ in range(8)]
    hold(got == list(range(8)), "the indices 0 to 7, the oldest first", f"{got}")
    scene.form(stream, 3)
    got = [await scene.app1.fetch(stream) for _ in range(3)]
    hold(got == [8, 9, 10], "then 8, 9, 10", f"{got}")


@must("An index can be asked for ahead of its turn; those below are still delivered, each once.", "rulings C4, C5")
async def an_index_can_be_chosen(scene: Scene) -> None:
    stream = await scene.connect()
    scene.form(stream, 5)
    await until(lambda: _has(scene, stream, 3), "index 3, asked for by its number")
    got = [await scene.app1.fetch(stream) for _ in range(4)]
    hold(got == [0, 1, 2, 4], "0, 1, 2, 4", f"{got}")
    key = await scene.app1.get(stream, 3)
    hold(key.status == 2 and not key.key, "status 2 for an index that was delivered", f"{key.status}")


async def _has(scene: Scene, stream: Stream, index: int) -> bool:
    key = await scene.app1.get(stream, index)
    hold(key.status in (0, 2), "the key, or status 2", f"{key.status} ({key.reason})")
    if key.status == 0:
        hold(key.index == index, f"index {index}", f"{key.index}")
    return key.status == 0


@must("Callers at once share a stream: no index comes twice.", "agreement 8 (I3)")
async def no_index_comes_twice(scene: Scene) -> None:
    stream = await scene.connect()
    scene.form(stream, 40)
    apps = [scene.app(ALICE, "app1") for _ in range(4)]

    async def ten(app: App) -> None:
        for _ in range(10):
            await app.fetch(stream)  # a second time is a breach

    await asyncio.gather(*map(ten, apps))
    hold(stream.delivered[ALICE] == set(range(40)), "the indices 0 to 39", f"{len(stream.delivered[ALICE])} others")


@must("`get_keys` gives consecutive keys in one answer, each as get_key would.", "keymanager.proto")
async def many_keys_come_at_once(scene: Scene) -> None:
    stream, got = await scene.connect(), 0
    scene.form(stream, 20)
    while got < 20:
        keys = await scene.app1.many(stream, 8)
        hold(keys.status == 0 and keys.index == got, f"keys from index {got} on", f"{keys.status}, index {keys.index}")
        hold(keys.count <= 8, "at most 8 keys", f"{keys.count}")
        got += keys.count


@must("The same call again gives the same index and bits, once counted.", "design 5.4; agreement 5.5")
async def a_repeated_call_gets_the_same_key(scene: Scene) -> None:
    stream = await scene.connect()
    scene.form(stream, 3)
    first = await scene.app1.repeatable(stream, 900)
    again = await scene.app1.repeatable(stream, 900)
    hold(again == first, "the same key for the same call", "another")
    scene.app1.line.number = 900
    hold(await scene.app1.fetch(stream) == first[0] + 1, "the next index for the next call", "another")


@must(
    "Metadata: none when none is wanted; status 8 with the size needed, and no key lost, when there is no room.",
    f"{ETSI}, 6.2; 1.6",
)
async def metadata_keeps_to_its_room(scene: Scene) -> None:
    stream = await scene.connect()
    scene.form(stream, 2)
    hold(not (await _with_room(scene, stream, 0)).metadata, "no metadata with size 0", "some")
    short = await _with_room(scene, stream, 1, 8)
    hold(not short.key and short.metadata_size > 1, "the size needed, and no key", f"size {short.metadata_size}")
    key = await _with_room(scene, stream, max(short.metadata_size, 1))
    hold(key.index == 1, "the same index, 1, with more room", f"{key.index}")
    hold(0 < len(key.metadata) <= short.metadata_size, "metadata within its room", f"{len(key.metadata)} characters")
    said = json.loads(key.metadata)
    hold({"age", "hops"} <= said.keys(), "JSON with age and hops", "without")


async def _with_room(scene: Scene, stream: Stream, size: int, status: int = 0) -> km.Key:
    for _ in range(60):
        key = await scene.app1.get(stream, size=size)
        if key.status == status:
            return key
    raise Breach(f"status {status} with metadata_size {size}", f"status {key.status} ({key.reason})")


@must("A stream with an empty metadata_mimetype never gives metadata.", f"{ETSI}; 1.6")
async def no_metadata_unless_agreed(scene: Scene) -> None:
    stream = await scene.connect(metadata_mimetype="")
    scene.form(stream, 1)
    hold(not (await _with_room(scene, stream, 4096)).metadata, "no metadata", "some")


@must("Before the other application has come, GET_KEY waits, then says status 3.", f"{ETSI}, 6.3; ruling C2")
async def without_the_other_end_there_is_no_key(scene: Scene) -> None:
    opened = await scene.app1.open(timeout=SHORT)
    await until(lambda: _status_is(scene.app1, Stream(opened.ksid), 3), "status 3")


@must(
    "When there is no key within the Timeout, the status says why: 2; in an alarm 4, with the reason.",
    f"{ETSI}, 6.3; rulings C3, C12",
)
async def an_empty_stream_says_why(scene: Scene) -> None:
    stream = await scene.connect(timeout=SHORT)
    await until(lambda: _status_is(scene.app1, stream, 2), "status 2 while there is too little key")
    for side in scene.sides.values():
        side.alarmed("QBER 0.25")
    await until(lambda: _status_is(scene.app1, stream, 4), "status 4 in an alarm")
    key = await scene.app1.get(stream)
    hold("QBER 0.25" in key.reason, "the alarm's reason", f"{key.reason!r}")
    for side in scene.sides.values():
        side.cleared()
    scene.form(stream, 1)
    await scene.app1.fetch(stream)


async def _status_is(app: App, stream: Stream, status: int) -> bool:
    return (await app.get(stream)).status == status


@must("A key that waits for its caller is delivered as soon as it is there.", f"{ETSI}, 6.2 (Timeout)")
async def a_waiting_call_gets_the_key(scene: Scene) -> None:
    stream = await scene.connect(timeout=60_000)
    waiting = asyncio.create_task(scene.app1.get(stream))
    await asyncio.sleep(0.5)
    scene.form(stream, 1)
    key = await waiting
    hold(key.status == 0, "the key", f"status {key.status} ({key.reason})")


@must("Keys past their TTL are not delivered; later ones are.", f"{ETSI} (TTL); ruling C9")
async def old_keys_are_not_delivered(scene: Scene) -> None:
    stream = await scene.connect(ttl=2, timeout=SHORT)
    scene.form(stream, 3)
    await asyncio.sleep(3.5)
    for app in scene.apps.values():
        key = await app.get(stream)
        hold(key.status != 0, "no key: all have expired", f"index {key.index}")

    async def fresh() -> bool:
        scene.form(stream, 1)
        return (await scene.app1.get(stream)).status == 0

    await until(fresh, "a fresh key, after the others have expired")
    hold(min(stream.delivered[ALICE]) >= 3, "an index that has not expired", "one that has")


@must(
    "What is delivered is acknowledged to keysync once its caller has settled, and nothing else ever is.",
    "agreement 5.5",
)
async def what_is_delivered_is_acknowledged(scene: Scene) -> None:
    stream = await scene.connect()
    scene.form(stream, 6)
    for _ in range(4):
        await scene.app1.fetch(stream)
    await scene.app1.streams()
    await scene.acknowledged(stream, ALICE, {0, 1, 2, 3})
    oid = scene.oid(stream, ALICE)
    said = set().union(*(acknowledged(take) for take in scene.sides[ALICE].takes if take.oid == oid))
    hold(said <= {0, 1, 2, 3}, "no more than what was delivered", f"{sorted(said - {0, 1, 2, 3})} besides")


@must("An application gets nothing of another's streams.", "design 9")
async def applications_are_kept_apart(scene: Scene) -> None:
    stream = await scene.connect()
    scene.form(stream, 1)
    for name in BOTH:
        mallory = scene.app(name, "mallory")
        for method, request in (
            ("get_key", km.GetKey(ksid=stream.ksid)),
            ("get_keys", km.GetKeys(ksid=stream.ksid, count=1)),
            ("close", km.Close(ksid=stream.ksid)),
        ):
            answer = await mallory.line.ask(method, request)
            hold(answer.head.outcome == UNAUTHORISED, f"UNAUTHORISED for {method}", answer.words)
        listed = [info.ksid for info in await mallory.streams()]
        hold(stream.ksid not in listed, "a list without the stream", "it is there")
    answer = await scene.app(ALICE, "mallory").ask_open()
    hold(answer.head.outcome == UNAUTHORISED, "UNAUTHORISED for a stream of app1", answer.words)
    await scene.app1.fetch(stream)


@must("A neighbour may announce only streams between itself and this node.", "design 9; keymanager.proto")
async def neighbours_speak_for_themselves(scene: Scene) -> None:
    settings, node = scene.stage.settings(ALICE), scene.stage.ground.nodes[ALICE]
    pair = KeyPair.read(scene.stage.settings(BOB).certs / "node.json")
    at = f"tcp://{settings.host}:{settings.ports.keymanager}"
    line = Line(scene.stage.context, at, pair=pair, server_key=node.server_key)
    qos = km.QoS(key_chunk_size=CHUNK)
    said = km.Announce(ksid=os.urandom(16), source="x@Alice", destination="y@Carol", qos=qos, oid=os.urandom(16))
    try:
        answer = await line.ask("announce", said)
        wrong = answer.head.outcome != OK or answer.read(km.Announced).status != 0
        hold(wrong, "a refusal of a stream between Alice and Carol", "it was taken on")
    finally:
        line.close()


_NETWORK = network({"emulator": "ideal"}, buffers={"close_grace_s": 600})
LAYER = Layer(
    "keymanager", CONTRACT, _NETWORK, BOTH, Scene, (*openings.SUITE.checks, *SUITE.checks, *endings.SUITE.checks)
)
