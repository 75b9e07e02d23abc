"""What every contract must do, whatever the layer (design, section 3; `head.proto`)."""

# ruff: noqa: D103 (a check is explained by its sentence)

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator

import zmq

from ..bus.curve import secure_client
from ..bus.frames import PROTOCOL, split
from ..bus.sockets import LARGEST
from ..wire.head_pb2 import FAILED, OK, REFUSED, UNAUTHORISED, Describe, Description, Head, Health, Ping
from . import doors
from .check import Breach, LeftOut, Suite, hold
from .line import Answer, Line
from .stage import Subject

SHORT = 2.0  # s in which silence is heard
SUITE = Suite(of_bus=True)
must = SUITE.must
WHERE = "design 3; head.proto"
METHOD_PATIENCE = 30.0
FUZZ = 40  # random bodies of each method


@must("`ping` says who answers: node, layer, implementation, contract version, since when.", WHERE, alone=True)
async def ping_says_who(subject: Subject) -> None:
    health = await subject.health()
    hold(health.layer == subject.layer, f"layer {subject.layer!r}", f"layer {health.layer!r}")
    version = subject.contract.version
    hold(health.contract_version == version, f"contract version {version}", f"version {health.contract_version}")
    hold(health.node and health.implementation, "the names of its node and implementation", "an empty name")
    hold(0 < health.since <= time.time() + 60, "since: a Unix time in the past, s", f"since {health.since}")
    if subject.stage is not None:
        settings = subject.stage.settings(next(iter(subject.stage.processes)))
        hold(health.node == settings.name, f"node {settings.name!r}, as node.yaml says", f"node {health.node!r}")


@must("`describe` gives counters, gauges and the configuration in JSON.", WHERE, alone=True)
async def describe_can_be_read(subject: Subject) -> None:
    line = subject.line()
    try:
        said = (await line.ask("describe", Describe())).read(Description)
    finally:
        line.close()
    try:
        json.loads(said.configuration or "{}")
    except ValueError:
        raise Breach("a configuration in JSON, or none", "a text that is no JSON") from None


@must("`describe` shows no secret: no key of the node, no secret of a link.", "design 3, 9")
async def describe_keeps_secrets(subject: Subject) -> None:
    stage = subject.stage
    assert stage is not None
    for name in stage.processes:
        line = stage.line(name)
        try:
            said = (await line.ask("describe", Describe())).read(Description).SerializeToString()
        finally:
            line.close()
        for file in stage.settings(name).certs.iterdir():
            for secret in _secrets(file.read_text()):
                hold(secret not in said, "no secret in the answer", f"a secret of {file.name} is in it")


def _secrets(text: str) -> Iterator[bytes]:
    """Yield the secret values of a file of `certs/`."""
    for name, value in json.loads(text).items():
        if "secret" in name:
            yield str(value).encode()


@must("A plain REQ socket of any library calls it with three frames: `qkdbus/1`, Head, body.", WHERE, alone=True)
async def a_plain_req_is_enough(subject: Subject) -> None:
    socket = subject.context.socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    if subject.pair is not None:
        secure_client(socket, subject.pair, subject.server_key)
    try:
        socket.connect(subject.endpoint)
        socket.send_multipart([PROTOCOL, Head(method="ping").SerializeToString(), b""])
        ends = time.monotonic() + METHOD_PATIENCE
        while not socket.poll(0):
            hold(time.monotonic() < ends, "an answer to a REQ socket", "none")
            await asyncio.sleep(0.01)
        frames = socket.recv_multipart()
    finally:
        socket.close()
    hold(len(frames) == 3 and frames[0] == PROTOCOL, "three frames: qkdbus/1, Head, body", f"{len(frames)} frames")
    _, head, body = split([b"", *frames])
    Answer("ping", head, body).read(Health)


@must("An answer carries the number of its call.", WHERE, alone=True)
async def answers_carry_the_number(subject: Subject) -> None:
    line = subject.line()
    try:
        for number in (7, 2**63 + 5, 2**64 - 1):
            (await line.ask("ping", Ping(), number=number)).read(Health)
    except Breach as breach:
        raise Breach("answers under the numbers 7, 2^63 + 5 and 2^64 - 1", breach.came) from None
    finally:
        line.close()


@must("An unknown method is refused, and does no harm.", WHERE, alone=True)
async def an_unknown_method_is_refused(subject: Subject) -> None:
    line = subject.line()
    long = "x" * (100_000 if subject.pair is None else 30_000)  # a door for applications takes no long messages
    try:
        for method in ("no_such_method", "", "__class__", "ping\0", long):
            answer = await line.ask(method, b"")
            hold(answer.head.outcome == REFUSED, f"REFUSED for the method {method[:20]!r}", answer.words[:200])
    finally:
        line.close()
    await subject.health()


@must("A body that cannot be read is refused.", WHERE, alone=True)
async def an_unreadable_body_is_refused(subject: Subject) -> None:
    line = subject.line()
    try:
        for method, how in subject.contract.methods.items():
            if how.answer is not None:
                answer = await line.ask(method, b"\xff" * 9)
                right = answer.head.outcome in (REFUSED, UNAUTHORISED)
                hold(right, f"REFUSED for {method} with nine octets of ones", answer.words)
    finally:
        line.close()


@must("Another version of the protocol is refused or met with silence, never served.", WHERE, alone=True)
async def another_version_is_not_served(subject: Subject) -> None:
    line, head = subject.line(), Head(method="ping", call=1).SerializeToString()
    try:
        for version in (b"qkdbus/2", b"qkdbus/", b"QKDBUS/1", b""):
            await line.say(b"", version, head, b"")
        ends = time.monotonic() + SHORT
        while (heard := await line.hear(max(0.0, ends - time.monotonic()))) is not None:
            hold(heard[0].outcome != OK, "a refusal, or silence", "an answer as if the version were right")
    finally:
        line.close()
    await subject.health()


@must("Malformed frames get a refusal or silence, and the process goes on as it was.", WHERE, alone=True)
async def malformed_frames_do_no_harm(subject: Subject) -> None:
    before, line, dice = await subject.health(), subject.line(), random.Random(5)
    head = Head(method="ping", caller=line.caller, call=1).SerializeToString()
    messages = [
        *([b""], [b"x"], [b"", b""], [b"", PROTOCOL], [b"", PROTOCOL, head], [PROTOCOL, head, b""]),
        *([b"", PROTOCOL, b"\xff" * 40, b""], [b"", PROTOCOL, head, b"", b""], [b"", b"", PROTOCOL, head, b""]),
        *([dice.randbytes(20) for _ in range(50)], [b"", PROTOCOL, head, dice.randbytes(200_000)]),
        *([b"", PROTOCOL, dice.randbytes(size), dice.randbytes(size)] for size in range(1, 40)),
    ]
    try:
        for message in messages:
            await line.say(*message)
    finally:
        line.close()
    await _is_the_same(subject, before)


@must("A message beyond all measure does no harm.", "design 3; bus/sockets.py (32 MiB)", alone=True)
async def an_oversize_message_does_no_harm(subject: Subject) -> None:
    before, line = await subject.health(), subject.line()
    head = Head(method="ping", caller=line.caller, call=1).SerializeToString()
    try:
        await line.say(b"", PROTOCOL, head, bytes(LARGEST + (1 << 20)))
        await line.hear(SHORT)
    finally:
        line.close()
    await _is_the_same(subject, before)


async def _is_the_same(subject: Subject, before: Health) -> None:
    try:
        after = await subject.health()
    except Breach as breach:
        raise Breach("ping is answered after that", breach.came) from None
    same = (after.pid, after.since) == (before.pid, before.since)
    hold(same, "the same process as before", "another process: the first one has ended")


@must("Two callers at once, with the same call numbers, get their own answers.", WHERE, alone=True)
async def two_callers_at_once(subject: Subject) -> None:
    lines = [subject.line(), subject.line()]
    asks = [line.ask(method, b"", number=number) for number in range(1, 51) for line in lines for method in ("ping",)]
    refusals = [line.ask("no_such_method", b"", number=number) for number in range(51, 61) for line in lines]
    try:
        for answer in await asyncio.gather(*asks):
            answer.read(Health)
        for answer in await asyncio.gather(*refusals):
            hold(answer.head.outcome == REFUSED, "each call's own answer", f"for an unknown method: {answer.words}")
    finally:
        for line in lines:
            line.close()


@must("Every method answers an empty or a random body, and never with a fault of its own (FAILED).", WHERE)
async def hostile_bodies_are_no_faults(subject: Subject) -> None:
    before, dice, lines = await subject.health(), random.Random(11), [subject.line() for _ in range(4)]
    bodies = [b"", *(dice.randbytes(dice.choice((1, 2, 3, 7, 20, 60))) for _ in range(FUZZ))]
    try:
        for method, how in subject.contract.methods.items():
            if how.answer is not None:
                await asyncio.gather(*(_no_fault(line, method, bodies[at::4]) for at, line in enumerate(lines)))
    finally:
        for line in lines:
            line.close()
    await _is_the_same(subject, before)


async def _no_fault(line: Line, method: str, bodies: list[bytes]) -> None:
    for body in bodies:
        answer = await line.ask(method, body, patience=METHOD_PATIENCE)
        hold(answer.head.outcome != FAILED, f"{method}: an answer or a refusal", answer.words)


@must("What it writes is closed to other users: files 0600, sockets and folders likewise.", "design 5, 9")
async def its_files_are_private(subject: Subject) -> None:
    stage = subject.stage
    assert stage is not None
    for name in stage.processes:
        settings = stage.settings(name)
        for file in [*settings.directory.rglob("*"), *settings.run.rglob("*")]:
            mode = file.lstat().st_mode & 0o077 if not file.is_symlink() else 0
            hold(not mode, "nothing that others may read", f"{file.relative_to(stage.ground.folder)} is open to others")


@must("SIGTERM ends it in order, and it can be started again.", "design 2 (supervisord stops by SIGTERM)")
async def sigterm_ends_it(subject: Subject) -> None:
    stage = subject.stage
    assert stage is not None
    for name, process in stage.processes.items():
        hold(await process.stop(), f"{name}: an end within 30 s of SIGTERM", "it had to be killed")
    await stage.start()


@must("Strangers get nothing: no word through a TCP door without a key that the door knows.", "design 9")
async def strangers_get_nothing(subject: Subject) -> None:
    stage = subject.stage
    assert stage is not None
    found = doors.of(stage)
    if not found:
        raise LeftOut("the layer has no TCP door")
    for door in found:
        await doors.try_all(stage, door)


@must("Key bits are in no log.", "design 1, 9")
async def no_key_in_the_log(subject: Subject) -> None:
    stage = subject.stage
    assert stage is not None
    for name, process in stage.processes.items():
        log = process.log.read_bytes() if process.log.exists() else b""
        for key in stage.seen:
            shown = (key, key.hex().encode(), key.hex().upper().encode(), repr(key)[2:-1].encode())
            hold(not any(form in log for form in shown), "no key in the log", f"a key is in the log at {name}")


*_first, _last = SUITE.checks
CHECKS, LAST = tuple(_first), (_last,)  # what the logs hold is looked at when all else has been done
