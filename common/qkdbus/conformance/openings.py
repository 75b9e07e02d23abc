"""The key manager, to begin with: OPEN_CONNECT, its statuses, and the QoS."""

# ruff: noqa: D103 (a check is explained by its sentence)

from __future__ import annotations

import asyncio
import os

from ..wire.head_pb2 import REFUSED
from .applications import LONG, Scene
from .check import Suite, hold
from .networks import ALICE, BOB

SUITE = Suite()
must = SUITE.must
ETSI = "ETSI GS QKD 004 V2.1.1"
FIELDS = {"key_chunk_size", "max_bps", "min_bps", "jitter", "priority", "timeout", "ttl", "metadata_mimetype"}


@must("OPEN_CONNECT without a KSID answers with a new one, status 1, and the QoS in full.", f"{ETSI}, 6.1; ruling C1")
async def opening_gives_a_stream(scene: Scene) -> None:
    opened = await scene.app1.open()
    hold(opened.status == 1, "status 1: the other application is not there yet", f"{opened.status} ({opened.reason})")
    hold(len(opened.ksid) == 16 and any(opened.ksid), "a KSID of 16 octets", f"{len(opened.ksid)} octets")
    missing = sorted(name for name in FIELDS if not opened.qos.HasField(name))
    hold(not missing, "a QoS with every field", f"without {', '.join(missing)}")


@must("Who attaches with the KSID gets status 0 and the QoS as registered, whatever it asks for.", f"{ETSI}, 6.1; 1.2")
async def attaching_gives_the_registered_qos(scene: Scene) -> None:
    opened = await scene.app1.open(key_chunk_size=48, ttl=600, timeout=LONG)
    attached = await scene.app2.open(opened.ksid, key_chunk_size=64, ttl=5)
    hold(attached.status == 0, "status 0", f"{attached.status} ({attached.reason})")
    hold(attached.qos == opened.qos, "the QoS that was registered", "another one")
    stream = await scene.paired(opened.ksid)
    scene.form(stream, 1)
    for app in scene.apps.values():
        await app.fetch(stream)
    hold(len(stream.made[0]) == 48, "chunks of 48 octets asked of keysync", f"{len(stream.made[0])}")


@must("Both ends may open with a KSID agreed beforehand, in either order or at once.", f"{ETSI}, case 3; ruling C1")
async def a_ksid_can_be_agreed_beforehand(scene: Scene) -> None:
    ksid = os.urandom(16)
    both = await asyncio.gather(*(app.open(ksid, timeout=LONG) for app in scene.apps.values()))
    for opened in both:
        hold((opened.status, opened.ksid) == (0, ksid), "status 0, and that KSID", f"{opened.status} ({opened.reason})")
    stream = await scene.paired(ksid)
    scene.form(stream, 1)
    for app in scene.apps.values():
        await app.fetch(stream)


@must(
    "A KSID that this end holds, or that other applications have, is refused with status 5.", f"{ETSI}, 6.3; ruling C8"
)
async def a_ksid_in_use_is_refused(scene: Scene) -> None:
    stream = await scene.connect()
    third = await scene.app1.open(stream.ksid)
    hold(third.status == 5, "status 5 for an end that is attached already", f"{third.status}")
    mallory = scene.app(BOB, "mallory")
    other = await mallory.open(stream.ksid, source="x@Alice", destination="mallory@Bob")
    hold(other.status == 5, "status 5 for other applications", f"{other.status}")


@must("A destination that cannot be reached is status 4; what is no URI is refused.", f"{ETSI}, 6.3; rulings C12, C13")
async def there_is_no_way_to_nowhere(scene: Scene) -> None:
    opened = await scene.app1.open(destination="app2@Nowhere")
    hold(opened.status == 4, "status 4", f"{opened.status} ({opened.reason})")
    answer = await scene.app1.ask_open(source="nonsense")
    hold(answer.head.outcome == REFUSED, "REFUSED", answer.words)


@must("A QoS that cannot be met is status 7 with a counter-offer, and there is no stream.", f"{ETSI}, 6.1; ruling C7")
async def an_impossible_qos_gets_an_offer(scene: Scene) -> None:
    before = {info.ksid for info in await scene.app1.streams()}
    for wish in ({"key_chunk_size": 2**31}, {"metadata_mimetype": "text/xml"}):
        opened = await scene.app1.open(**wish)
        hold(opened.status == 7, f"status 7 for {wish}", f"{opened.status} ({opened.reason})")
        left = opened.qos.key_chunk_size < 2**31 and opened.qos.metadata_mimetype in ("", "application/json")
        hold(left, "a QoS that can be met", "the same one again")
    after = {info.ksid for info in await scene.app1.streams()}
    hold(after == before, "no new stream", "one more")


@must("A repeated open_connect opens one stream.", "design 3; contracts/keymanager.py")
async def opening_again_opens_one_stream(scene: Scene) -> None:
    app = scene.app(ALICE, "app1")
    first, again = await app.open(number=3), await app.open(number=3)
    hold(first.ksid == again.ksid, "the same KSID for the same call", "another stream")
