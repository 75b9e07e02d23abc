"""What any keysync must do: the two ends of a link agree which bits are which chunk, whatever dies.

A process at each end, over dispatchers that are stand-ins joined by a `Fibre`; the checks are both key managers.
"""

# ruff: noqa: D103 (a check is explained by its sentence)

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from ..contracts.keysync import ALARM, AVAILABLE, CLEAR, CONTRACT
from ..wire import keysync_pb2 as wire
from ..wire.head_pb2 import REFUSED, Event
from . import bits, deaths
from .check import Layer, Suite, hold
from .networks import ALICE, BOB, OTHER, network
from .standins.fibre import WORKER
from .streams import BOTH, CHUNK, WINDOW_BYTES, Scene, Stream, job_of
from .waiting import until

SUITE = Suite()
must = SUITE.must
SOME = 8  # chunks
A_WHILE = 2.0  # s in which something must not happen


@must("A stream that both key managers open is one stream: `take` gives OPEN and the same sid.", "agreement 5.4")
async def both_ends_open_one_stream(scene: Scene) -> None:
    stream = await scene.stream(paired=False)
    before = await scene.open_at(stream, ALICE)
    hold(
        before.state == wire.WAITING, "WAITING while the other end has not opened", wire.StreamState.Name(before.state)
    )
    await scene.open_at(stream, BOB)
    await scene.paired(stream)
    sids = {(await scene.take(stream, name)).sid.SerializeToString() for name in BOTH}
    hold(len(sids) == 1 and b"" not in sids, "one sid at both ends", "two, or none")


@must("Chunks have the same bits at both ends, and indices are dense from 0.", "agreement 8 (I1, I5)")
async def chunks_are_equal_at_both_ends(scene: Scene) -> None:
    for size in (32, 1, 7, 256):
        stream = await scene.stream(size)
        await scene.equal(stream, min(SOME, WINDOW_BYTES // size))


@must("Blocks of any number of bits, whole octets or not, become equal chunks.", "agreement 1.4; dispatcher.proto")
async def odd_lengths_do_no_harm(scene: Scene) -> None:
    scene.fibre.shorten = 13
    for size in (32, 7):
        await scene.equal(await scene.stream(size), SOME)


@must("No bit of key is used twice: not under two indices, not in two streams.", "agreement 8 (I2)")
async def no_bits_are_used_twice(scene: Scene) -> None:
    streams = [await scene.stream(size) for size in (32, 32, 24)]
    for stream in streams:
        keys = await scene.equal(stream, 3 * SOME)
        low = 2 * SOME
        for name in BOTH:
            await scene.take(stream, name, low=low)
        hold(len(set(keys.values())) == len(keys), "all chunks different", "the same bits under two indices")
    for stream in streams:
        await scene.equal(stream, 3 * SOME)
    scene.nothing_twice()


@must("`open_stream` is idempotent by oid: asked again, nothing changes.", "agreement 4, 5.4")
async def opening_again_changes_nothing(scene: Scene) -> None:
    stream = await scene.stream()
    keys = await scene.equal(stream, SOME)
    for name in BOTH:
        await scene.open_at(stream, name)
    again = await scene.equal(stream, SOME)
    same = all(again[index] == key for index, key in keys.items() if index in again)
    hold(same, "the same stream with the same chunks", "other chunks")


@must("`take` without an acknowledgement gives the same chunks again.", "agreement 4, 5.5")
async def take_can_be_asked_again(scene: Scene) -> None:
    stream = await scene.stream()
    first = await scene.equal(stream, SOME)
    for name in BOTH:
        again = await scene.keys(stream, name)
        hold(again.items() >= first.items(), "the same chunks with the same bits", "fewer, or other bits")


@must("What `take` acknowledges (`low`, `done`) is wiped and not handed out again; nothing else is.", "agreement 5.5")
async def acknowledged_chunks_are_gone_and_no_others(scene: Scene) -> None:
    stream = await scene.stream()
    keys = await scene.equal(stream, SOME)
    for name in BOTH:
        await scene.take(stream, name, low=2, done=[4, 2])
        after = await scene.keys(stream, name, low=2, done=[4, 2])  # each take says all that is done with
        hold(not {0, 1, 4, 5} & set(after), "none of the indices 0, 1, 4, 5", "some of them again")
        left = {index: key for index, key in keys.items() if index in (2, 3, 6, 7)}
        hold(after.items() >= left.items(), "the indices 2, 3, 6, 7 as before", "some are gone, or are other bits")


@must("`take` keeps to `after` and to `max_bytes`.", "keysync.proto")
async def take_keeps_to_its_bounds(scene: Scene) -> None:
    stream = await scene.stream()
    await scene.equal(stream, SOME)
    few = await scene.keys(stream, ALICE, max_bytes=3 * CHUNK)
    hold(sorted(few) == [0, 1, 2], "the chunks 0, 1, 2 in 96 octets", f"{sorted(few)[:9]}")
    later = await scene.keys(stream, ALICE, after=5)
    hold(later and min(later) == 5, "chunks from 5 on", f"from {min(later, default=None)} on")
    none = await scene.keys(stream, ALICE, after=0xFFFFFFFF)
    hold(not none, "nothing from the last index on", f"{len(none)} chunks")


@must("A slow reader bounds what is formed: no more than the window beyond what *both* ends have.", "agreement 5.6")
async def a_slow_reader_bounds_the_stream(scene: Scene) -> None:
    stream = await scene.stream(256)
    window = WINDOW_BYTES // 256
    await scene.equal(stream, window)
    await scene.take(stream, ALICE, low=window)  # Bob reads nothing
    await asyncio.sleep(A_WHILE)
    for name in BOTH:
        reached = (await scene.take(stream, name)).next_index
        hold(reached <= window, f"at most {window} chunks of 256 octets", f"{reached}")
    await scene.take(stream, BOB, low=window)
    await scene.equal(stream, window + 2)


@must("Key comes only of blocks that both ends have from the same exchange (equal run).", "agreement 5.1")
async def blocks_of_different_exchanges_give_no_key(scene: Scene) -> None:
    scene.fibre.apart = True
    stream = await scene.stream()
    await until(lambda: len(scene.fibre.of_no_use) >= 4, "exchanges for a stream with room")
    await asyncio.sleep(A_WHILE)
    scene.fibre.apart = False
    keys = await scene.equal(stream, SOME)
    used = bits.taken_from(keys.values(), scene.fibre.of_no_use)
    hold(not used, "no chunk of such blocks", f"{used} chunks")


@must(
    "Alice, the arbiter, and Bob ask their dispatchers for the same job, each in its role.",
    "design 5.2; dispatcher.proto",
)
async def both_ends_ask_for_the_same_job(scene: Scene) -> None:
    await scene.equal(await scene.stream(), SOME)
    ours, theirs = ({job_of(one): one for one in scene.fibre.asked[name]} for name in BOTH)
    both = ours.keys() & theirs.keys()
    hold(both, "jobs that both ends were asked for", "none")
    for name, jobs, arbiter in ((ALICE, ours, True), (BOB, theirs, False)):
        for one in (jobs[job] for job in both):
            hold(one.arbiter == arbiter, f"{name} as {'arbiter' if arbiter else 'follower'}", "the other role")
            hold(one.name.peer == OTHER[name], f"a job with {OTHER[name]}", f"with {one.name.peer!r}")
    endpoints = {theirs[job].endpoint for job in both}
    hold(endpoints == {WORKER}, "the arbiter's worker's endpoint at the follower", "another")
    hold(all(ours[job].bits == theirs[job].bits > 0 for job in both), "the same number of bits", "others")


@must("Both key managers are told by an event when chunks are there to take.", "contracts/keysync.py (available)")
async def chunks_are_announced(scene: Scene) -> None:
    events = scene.hear()
    stream = await scene.stream()
    for name in BOTH:
        await until(partial(_announced, scene, stream, name, events[name]), f"{AVAILABLE!r} with the oid at {name}")


async def _announced(scene: Scene, stream: Stream, name: str, events: Sequence[Event]) -> bool:
    for end in BOTH:  # make room for more: the first events may have been published before anybody could hear them
        await scene.take(stream, end, low=(await scene.take(stream, end)).next_index)
    return _heard(events, AVAILABLE, "oid", stream.oids[name].hex())


@must(
    "An exchange with an alarm gives no key; it is said by event and status, and ends with the next good one.",
    "design 5",
)
async def an_alarm_is_told_and_ends(scene: Scene) -> None:
    events, scene.fibre.alarm = scene.hear(), True
    stream = await scene.stream()
    for name in BOTH:
        await until(partial(_heard, events[name], ALARM, "peer", OTHER[name]), f"the event {ALARM!r} at {name}")
        await until(partial(scene.state_is, name, "alarm"), f"the state alarm at {name}")
        status = await scene.status(name)
        hold(status.alarm, "a reason in `alarm`", "none")
    scene.fibre.alarm = False
    await scene.equal(stream, SOME)
    for name in BOTH:
        await until(partial(_heard, events[name], CLEAR, "peer", OTHER[name]), f"the event {CLEAR!r} at {name}")
        await until(partial(scene.state_is, name, "up"), f"the state up at {name}")


def _heard(events: Sequence[Event], name: str, field: str, value: str) -> bool:
    return any(event.name == name and event.fields.get(field) == value for event in events)


@must("When no exchange can be held, it tries again until one can.", "design 5 (resumes by itself)")
async def formation_resumes_by_itself(scene: Scene) -> None:
    scene.fibre.cut = True
    stream = await scene.stream()
    await until(lambda: scene.fibre.asked.get(ALICE), "an attempt")
    await asyncio.sleep(A_WHILE)
    scene.fibre.cut = False
    await scene.equal(stream, SOME)


@must(
    "Each end counts a key's life from its own availability; what has expired is wiped, and said by `floor`.",
    "agreement 5.6",
)
async def keys_expire(scene: Scene) -> None:
    stream = await scene.stream(ttl=3)
    for name in BOTH:
        await until(partial(scene.floor_is_above, stream, name, SOME), f"a floor above {SOME} at {name}")
        floor = (await scene.take(stream, name)).floor
        left = await scene.keys(stream, name)
        hold(min(left, default=floor) >= floor, f"no chunk below the floor, {floor}", f"chunk {min(left, default=0)}")


@must(
    "`close_stream` is idempotent; at the closed end the stream is GONE, at the other DRAINING with what was there.",
    "agreement 5.4",
)
async def closing_drains_the_other_end(scene: Scene) -> None:
    stream = await scene.stream()
    keys = await scene.equal(stream, SOME)
    for _ in range(2):
        await scene.close_stream(stream, ALICE)
    state = (await scene.take(stream, ALICE)).state
    hold(state == wire.GONE, "GONE at Alice", wire.StreamState.Name(state))
    await until(partial(scene.state_of, stream, BOB, wire.DRAINING), "DRAINING at Bob")
    left = await scene.keys(stream, BOB)
    hold(left.items() >= keys.items(), "all chunks that were there, still at Bob", "fewer, or other bits")


@must("A KSID that both ends have closed can be opened again: a new stream, and none of the old bits.", "agreement 5.4")
async def a_name_can_be_used_again(scene: Scene) -> None:
    stream = await scene.stream()
    old = await scene.equal(stream, SOME)
    sid = (await scene.take(stream, ALICE)).sid
    for name in BOTH:
        await scene.close_stream(stream, name)
    again = await scene.stream(ksid=stream.ksid)
    fresh = await scene.equal(again, SOME)
    hold((await scene.take(again, ALICE)).sid != sid, "another sid", "the sid of the closed stream")
    hold(not set(old.values()) & set(fresh.values()), "other bits", "bits of the closed stream")
    state = (await scene.take(stream, BOB)).state
    hold(state == wire.GONE, "GONE for the old oid", wire.StreamState.Name(state))


@must("`list_opens` names every oid that is open, and no other.", "agreement 4")
async def opens_are_listed(scene: Scene) -> None:
    stream, closed = await scene.stream(), await scene.stream()
    await scene.close_stream(closed, ALICE)
    oids = await scene.opens(ALICE)
    hold(stream.oids[ALICE] in oids, "the oid of an open stream", "it is missing")
    hold(closed.oids[ALICE] not in oids, "no oid of a closed stream", "one")


@must(
    "An oid that nobody opened is GONE; closing it is no mistake; a peer that is no neighbour is refused.",
    "agreement 4",
)
async def the_unknown_is_told(scene: Scene) -> None:
    stranger = Stream.new()
    state = (await scene.take(stranger, ALICE)).state
    hold(state == wire.GONE, "GONE", wire.StreamState.Name(state))
    await scene.close_stream(stranger, ALICE)
    request = wire.OpenStream(ksid=stranger.ksid, oid=stranger.oids[ALICE], peer="Nobody", chunk_size=CHUNK)
    answer = await scene.lines[ALICE].ask("open_stream", request)
    hold(answer.head.outcome == REFUSED, "REFUSED", answer.words)


@must("`link_status` tells of every link: its peer, its state, who is arbiter, the epoch.", "keysync.proto")
async def the_link_is_described(scene: Scene) -> None:
    await scene.equal(await scene.stream(), SOME)
    ours, theirs = await scene.status(ALICE), await scene.status(BOB)
    hold((ours.peer, theirs.peer) == (BOB, ALICE), "the neighbour's name", f"{ours.peer!r}, {theirs.peer!r}")
    hold((ours.arbiter, theirs.arbiter) == (True, False), "Alice as arbiter", "others")
    hold(ours.epoch == theirs.epoch and ours.epoch.n > 0, "one epoch at both ends", "two, or none")
    hold(ours.state == theirs.state == "up", "up at both ends", f"{ours.state!r}, {theirs.state!r}")


@must("Late, foreign and absurd words of a neighbour change nothing.", "agreement 4, 5.3")
async def late_words_change_nothing(scene: Scene) -> None:
    stream = await scene.stream()
    keys = await scene.equal(stream, SOME)
    epoch = (await scene.status(ALICE)).epoch
    for name in BOTH:
        for message in _late(epoch, stream):
            scene.tell(name, message)
    await asyncio.sleep(1.0)
    after = await scene.equal(stream, SOME)
    hold(after.items() >= keys.items(), "the stream as it was", "chunks are gone or others")
    hold((await scene.status(ALICE)).epoch == epoch, "the same epoch", "a new one")


def _late(epoch: wire.Epoch, stream: Stream) -> Sequence[wire.Reconcile]:
    old = wire.Epoch(n=0, r=7)
    foreign = {"epoch": wire.Epoch(n=epoch.n, r=epoch.r), "fid": 0}
    sid = wire.Sid(epoch=old, seq=1)
    return [
        wire.Reconcile(),
        wire.Reconcile(epoch=old, begin=wire.Begin()),
        wire.Reconcile(epoch=old, fid=5, ack=wire.Ack(applied=3, chain=b"x" * 32)),
        wire.Reconcile(epoch=old, fid=5, commit=wire.Commit(seq=1, entry=b"\xff", chain=b"x" * 32)),
        wire.Reconcile(epoch=old, fid=5, close_request=wire.CloseRequest(sid=sid)),
        wire.Reconcile(epoch=old, fid=5, open_request=wire.OpenRequest(ksid=stream.ksid, oid=b"o" * 16, chunk_size=32)),
        wire.Reconcile(**foreign, drop=wire.Drop(job=1, run=b"r" * 16)),  # type: ignore[arg-type]
        wire.Reconcile(epoch=old, fid=5, prepare=wire.Prepare(job=2**64 - 1, bits=2**64 - 1)),
    ]


_NETWORK = network({"emulator": "ideal", "block_bits": 2048}, buffers={"window_bytes": WINDOW_BYTES})
LAYER = Layer("keysync", CONTRACT, _NETWORK, BOTH, Scene, (*SUITE.checks, *deaths.SUITE.checks))
