"""What any qbackend must do: one exchange at both ends of a link, and the same block at both, or none.

A worker at each end, over emulator programs that are stand-ins; the checks are both dispatchers. A worker that forms
key by other means (a device's, a file's) never asks the emulators; what is about them is left out then.
"""

# ruff: noqa: D103 (a check is explained by its sentence)

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from ..contracts.qbackend import CONTRACT, PEER
from ..wire.head_pb2 import REFUSED
from ..wire.qbackend_pb2 import Abort, Aborted, Attack, Attacked, Parcel
from . import bits
from .check import Layer, LeftOut, Suite, hold
from .exchanges import BOTH, EXCHANGE_PATIENCE, Scene, answered
from .networks import ALICE, BOB, OTHER, network

PROTOCOL = "bbm92"
SUITE = Suite()
must = SUITE.must
WHERE = "design 4; dispatcher.proto, qbackend.proto"
RECORD = "record.proto"


@must("Both ends of an exchange give a block with the same run, the same length and the same bits.", WHERE)
async def both_ends_give_the_same_block(scene: Scene) -> None:
    for count in (64, 256, 1024):
        for block in await scene.block(count):
            hold(len(block.run) == 16 and any(block.run), "a run of 16 random octets", f"{len(block.run)} octets")
            octets = (block.length + 7) // 8
            hold(block.length and len(block.bits) == octets, "ceil(length / 8) octets of bits", f"{len(block.bits)}")


@must(
    "Every exchange has a run and bits of its own, also that of the same job asked anew.", "agreement 2 (run), 8 (I2)"
)
async def every_exchange_is_new(scene: Scene) -> None:
    job = scene.new_job()
    for _ in range(2):
        lines = {name: scene.stage.line(name) for name in BOTH}
        try:
            answers = await asyncio.gather(*(scene.run(name, job, line=lines[name]) for name in BOTH))
        finally:
            for line in lines.values():
                line.close()
        scene.alike(*answers)
    for _ in range(3):
        await scene.block()
    hold(len(set(scene.runs)) == len(scene.runs), "a run for each exchange", "the same run again")
    found = bits.used_twice(scene.blocks)
    hold(not found, "new bits in each block", f"{found} blocks with bits of another")


@must("A block's record tells what became of the pairs: the counts add up, and no more is key than remains.", RECORD)
async def the_record_adds_up(scene: Scene) -> None:
    for block in await scene.block():
        record = block.record
        hold(record.block_id == block.run, "the run as block_id", "another")
        hold(record.length == block.length, "the block's length", f"{record.length}")
        parts = record.sifted_out + record.disclosed + record.kept
        hold(record.created == parts, "created = sifted_out + disclosed + kept", f"{record.created} and {parts}")
        spent = record.leaked + record.verification_bits + record.authentication_bits
        hold(
            record.length + spent <= record.kept,
            "length <= kept - leaked - verification_bits - authentication_bits",
            f"{record.length} of {record.kept} kept and {spent} spent",
        )
        hold(0 <= record.qber <= 0.5 and record.finished_at > 0, "a QBER and a time", f"{record.qber}")
        hold(record.protocol and record.emulator, "the names of protocol and emulator", "an empty one")


@must("A repeated call gets the same answer, and the exchange is not held twice.", "design 3; contracts/qbackend.py")
async def a_repeated_call_gets_the_same_block(scene: Scene) -> None:
    job, lines = scene.new_job(), {name: scene.stage.line(name) for name in BOTH}
    try:
        answers = []
        for _ in range(2):
            asks = [
                lines[name].ask("run", scene.asked(name, job), number=4, patience=EXCHANGE_PATIENCE) for name in BOTH
            ]
            answers.append([answered(answer) for answer in await asyncio.gather(*asks)])
    finally:
        for line in lines.values():
            line.close()
    hold(answers[0] == answers[1], "the same answers to the same calls", "others")
    scene.alike(*answers[0])


@must("Another call for a job that runs joins it: both get the same block.", WHERE)
async def a_running_job_is_joined(scene: Scene) -> None:
    job, line = scene.new_job(), scene.stage.line(ALICE)
    calls = [asyncio.create_task(scene.run(ALICE, job)), asyncio.create_task(scene.run(ALICE, job, line=line))]
    await asyncio.sleep(0.3)
    try:
        theirs = await scene.run(BOB, job)
        ours, joined = await asyncio.gather(*calls)
    finally:
        line.close()
    hold(ours == joined, "one answer to both calls", "two different ones")
    scene.alike(ours, theirs)


@must("Many exchanges at once, begun at the two ends in different orders, do not get mixed up.", WHERE)
async def exchanges_are_not_mixed_up(scene: Scene) -> None:
    jobs = [scene.new_job() for _ in range(8)]
    ours = [asyncio.create_task(scene.run(ALICE, job)) for job in jobs]
    theirs = [asyncio.create_task(scene.run(BOB, job)) for job in reversed(jobs)]
    answers = await asyncio.gather(*ours, *theirs)
    good = [scene.alike(one, other) for one, other in zip(answers[:8], reversed(answers[8:]), strict=True)]
    hold(any(good), "blocks", "no exchange gave one")


@must("The follower may be asked first, or the arbiter: they find each other.", "agreement 5 (each end asks its own)")
async def either_end_may_be_first(scene: Scene) -> None:
    good = []
    for first in BOTH:
        job = scene.new_job()
        early = asyncio.create_task(scene.run(first, job))
        await asyncio.sleep(1.0)
        late = await scene.run(OTHER[first], job)
        pair = {first: await early, OTHER[first]: late}
        good.append(scene.alike(pair[ALICE], pair[BOB]))
    hold(any(good), "a block", "none")


@must(
    "`abort` ends an exchange with a reason and without a block, and so does the other end; of none it is no mistake.",
    WHERE,
)
async def abort_ends_an_exchange(scene: Scene) -> None:
    job = scene.new_job()
    name = scene.asked(ALICE, job).exchange.name
    (await scene.lines[ALICE].ask("abort", Abort(name=name))).read(Aborted)
    running = asyncio.create_task(scene.run(ALICE, job))  # alone: it waits for the other end
    await asyncio.sleep(0.5)
    (await scene.lines[ALICE].ask("abort", Abort(name=name))).read(Aborted)
    answer = await running
    if answer.HasField("block"):
        raise LeftOut("an exchange is over before it can be aborted")
    hold(answer.failure, "a reason", "none")
    await scene.block()


@must("What cannot be meant for this worker is refused: no neighbour, no bits, another process's job.", WHERE)
async def nonsense_is_refused(scene: Scene) -> None:
    stranger, none, late = (scene.asked(ALICE, scene.new_job()) for _ in range(3))
    stranger.exchange.name.peer = "Nobody"
    none.exchange.bits = 0
    late.since = 1.0
    for what, run in (("a peer that is no neighbour", stranger), ("0 bits", none), ("another `since`", late)):
        answer = await scene.lines[ALICE].ask("run", run)
        hold(answer.head.outcome == REFUSED, f"REFUSED for {what}", answer.words)


@must("A run for the process that answers `ping` (its `since`) is carried out.", "qbackend.proto (since)")
async def a_run_for_this_process_is_done(scene: Scene) -> None:
    job, runs = scene.new_job(), {name: scene.asked(name, 0) for name in BOTH}
    for name, run in runs.items():
        run.exchange.name.job = job
        run.since = await scene.stage.since(name)
    answers = await asyncio.gather(*(scene.lines[name].ask("run", run) for name, run in runs.items()))
    scene.alike(*(answered(answer) for answer in answers))


@must("`attack` without an eavesdropper asks who is in the channel, and changes nothing.", "qbackend.proto")
async def asking_for_an_eavesdropper_changes_nothing(scene: Scene) -> None:
    for name in BOTH:
        said = (await scene.lines[name].ask("attack", Attack(peer=OTHER[name]))).read(Attacked)
        hold(not said.eve.intercept_resend, "nobody in the channel", "somebody")
    await scene.block()


@must("A neighbour's parcels that nobody can make sense of do not disturb an exchange.", "design 3, 9")
async def foreign_parcels_do_no_harm(scene: Scene) -> None:
    settings = scene.stage.settings(ALICE)
    at = f"tcp://{settings.host}:{settings.ports.qbackend[0]}"
    if not await scene.stage.listens(at):
        raise LeftOut("it listens at no neighbours' door: it has its key from elsewhere")
    mouth = scene.stage.room(BOB, "mouth")
    asker = mouth.asker(at, PEER, server_key=scene.stage.ground.nodes[ALICE].server_key)
    try:
        job = scene.new_job()
        running = asyncio.gather(*(scene.run(name, job) for name in BOTH))
        for parcel in _parcels(job):
            asker.tell("parcel", parcel)
        scene.alike(*await running)
        await scene.block()
    finally:
        scene.stage.leave(mouth)


def _parcels(job: int) -> Sequence[Parcel]:
    attempt, far = os.urandom(16), 1 << 40
    return [
        Parcel(),
        Parcel(node="Nobody", epoch_n=1, epoch_r=99, job=job, attempt=attempt, body=b"x"),
        Parcel(node=BOB, epoch_n=1, epoch_r=99, job=far, number=7, attempt=attempt, body=os.urandom(300)),
        Parcel(node=BOB, epoch_n=1, epoch_r=99, job=far + 1, attempt=b"short", body=os.urandom(300)),
        Parcel(node=BOB, epoch_n=2, epoch_r=98, job=job, attempt=attempt, body=os.urandom(70_000), endpoint="tcp://x"),
    ]


@must(
    "When one end dies amid an exchange, the other gives up with a reason; the next exchange succeeds.",
    "design 5; agreement 7",
)
async def a_death_amid_an_exchange_is_survived(scene: Scene) -> None:
    for victim in BOTH:
        job, other = scene.new_job(), OTHER[victim]
        waiting = asyncio.create_task(scene.run(other, job))
        line = scene.stage.line(victim)
        lost = asyncio.create_task(scene.run(victim, job, line=line))
        await asyncio.sleep(0.02)
        lost.cancel()
        line.close()
        await scene.stage.restart(victim)
        answer = await waiting
        hold(answer.HasField("block") or answer.failure, "a block, or a reason", "neither")
        await scene.block()


@must(
    "Errors in a quarter of the pairs, as an eavesdropper makes, give no key and an alarm; then all is well again.",
    "design 5 (QBER, alarm)",
)
async def an_eavesdropper_is_noticed(scene: Scene) -> None:
    await scene.block()
    scene.need_emulator()
    scene.crystal.flip = 0.25
    ours, theirs = await scene.both(scene.new_job(), 4096)  # so many that no sample of them looks well by chance
    for name, answer in zip(BOTH, (ours, theirs), strict=True):
        hold(not answer.HasField("block"), f"no block at {name}", "a block")
    hold(ours.alarm or theirs.alarm, "an alarm", f"none; {ours.failure!r} and {theirs.failure!r}")
    scene.crystal.flip = 0.0
    await scene.block()


@must(
    "Errors in a few of the pairs are corrected: the blocks are equal, or there is none.",
    "design 5 (reconcile, verify)",
)
async def errors_are_corrected(scene: Scene) -> None:
    await scene.block()
    scene.need_emulator()
    scene.crystal.flip = 0.03
    for _ in range(3):
        scene.alike(*await scene.both(scene.new_job(), 1024))
    await scene.block(1024)


_NETWORK = network({"emulator": "simulaqron", "protocol": PROTOCOL})
LAYER = Layer("qbackend", CONTRACT, _NETWORK, BOTH, Scene, tuple(SUITE.checks))
