"""Two keysyncs in trouble: alarms, exchanges that fail, messages of strangers, steps that break."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qkdbus.contracts.call import Call
from qkdbus.errors import Refused, Unauthorised
from qkdbus.wire import keysync_pb2 as wire
from qkdbus_keysync.sane import FAR, LARGEST, LEAP

KSID, A, B = b"k" * 16, b"a" * 16, b"b" * 16
WINDOW = 32  # keys of 32 octets


def keys(taken: wire.Taken, size: int = 32) -> dict[int, bytes]:
    """Return the chunks of an answer by index."""
    return {run.first + n: run.bits[n * size : (n + 1) * size] for run in taken.runs for n in range(run.count)}


async def full(net: Any, a: bytes = A, b: bytes = B, to: int = WINDOW) -> None:
    """Wait until both ends may take so many chunks."""
    await net.until(lambda: net.alice.take(a).next_index >= to and net.bob.take(b).next_index >= to)


async def test_an_alarm_is_told_and_passes_by_itself(net: Any) -> None:
    net.fibre.alarm = True
    await net.pair(KSID, A, B)
    await net.until(lambda: net.alice.status().state == net.bob.status().state == "alarm")
    status = net.alice.status()
    assert status.failed >= 1
    assert status.qber == 0.25
    assert any(name == "alarm" and what["peer"] == "bob" for name, what in net.alice.events)
    net.fibre.alarm = False
    await full(net)
    assert net.alice.status().state == net.bob.status().state == "up"
    assert ("clear", {"peer": "bob"}) in net.alice.events


async def test_an_alarm_tells_s_where_it_was_measured(net: Any) -> None:
    net.fibre.alarm, net.fibre.s = True, 1.41
    await net.pair(KSID, A, B)
    await net.until(lambda: net.alice.status().state == "alarm")
    [told, *_] = [what for name, what in net.alice.events if name == "alarm"]
    assert told == {"peer": "bob", "qber": 0.25, "reason": "QBER 0.25", "s": 1.41, "s_error": 0.05}


@pytest.mark.parametrize("blind", [True, False])
async def test_an_alarm_that_one_end_raises_is_in_force_at_both(net: Any, blind: bool) -> None:
    net.fibre.alarm, net.fibre.blind = True, blind
    await net.pair(KSID, A, B)
    await net.until(lambda: net.alice.status().state == net.bob.status().state == "alarm")
    unaware, peer = (net.alice, "bob") if blind else (net.bob, "alice")
    assert unaware.status().alarm == "QBER 0.25"
    assert [what for name, what in unaware.events if name == "alarm"] == [{"peer": peer, "reason": "QBER 0.25"}]
    net.fibre.alarm = False
    await full(net)
    assert net.alice.status().state == net.bob.status().state == "up"


async def test_the_link_keeps_the_record_of_its_last_exchange(net: Any) -> None:
    await net.pair(KSID, A, B)
    await full(net)
    for node in (net.alice, net.bob):
        assert node.status().last.length > 0
        assert len(node.status().last.block_id) == 16
    net.fibre.alarm = True
    net.alice.take(A, low=WINDOW)
    net.bob.take(B, low=WINDOW)
    await net.until(lambda: net.alice.status().state == "alarm")
    await net.until(lambda: net.alice.status().last.qber == 0.25)  # the peer may have told of the alarm before
    assert net.alice.status().last.length == 0


async def test_failed_exchanges_are_not_hammered(net: Any) -> None:
    net.fibre.cut = True
    await net.pair(KSID, A, B)
    await asyncio.sleep(0.9)  # pauses of 0.2 and 0.4 s: three goes of two jobs
    assert 2 <= len(net.alice.dispatcher.asked) <= 8
    net.fibre.cut = False
    await full(net)


async def test_the_link_tells_what_it_formed(net: Any) -> None:
    await net.pair(KSID, A, B)
    await full(net)
    for node in (net.alice, net.bob):
        status = node.status()
        assert status.blocks == 4
        assert status.kept == 4 * 2048
        assert status.buffered_keys == WINDOW
        assert 1_000 < status.key_rate <= 4 * 2048
        assert status.epoch.n == 1


@pytest.mark.parametrize(
    "wrong",
    [{"peer": "mallory"}, {"oid": b"short"}, {"ksid": b""}, {"chunk_size": 0}],
)
async def test_a_malformed_open_is_refused(net: Any, wrong: dict[str, Any]) -> None:
    asked = {"ksid": KSID, "oid": A, "peer": "bob", "chunk_size": 32, **wrong}
    with pytest.raises(Refused):
        net.alice.service.open_stream(wire.OpenStream(**asked), Call("operator"))
    net.alice.service.commit()
    assert not net.alice.ask("list_opens", wire.ListOpens()).oids


async def test_a_stranger_is_not_heard(net: Any) -> None:
    with pytest.raises(Unauthorised):
        net.alice.service.reconcile(wire.Reconcile(begin=wire.Begin()), Call("mallory"))


async def test_absurd_messages_of_a_neighbour_do_no_harm(net: Any) -> None:
    await net.pair(KSID, A, B)
    epoch, fid = net.bob.end.link.epoch.message(), net.bob.end.link.fid
    huge = (1 << 64) - 1
    for kind in (
        {"ack": wire.Ack(applied=huge)},
        {"commit": wire.Commit(seq=2, entry=b"\xff\xff")},
        {"formed": wire.Formed(job=huge, run=b"r" * 16)},
        {"prepare": wire.Prepare(job=huge)},
        {"drop": wire.Drop(job=7, run=b"r" * 16)},
        {"close_request": wire.CloseRequest(sid=wire.Sid(epoch=epoch, seq=huge))},
        {},
    ):
        for node, other in ((net.alice, "bob"), (net.bob, "alice")):
            message = wire.Reconcile(epoch=epoch, fid=fid, **kind)
            node.service.reconcile(message, Call(other))
            node.service.commit()
    assert not net.faults
    await net.until(lambda: net.alice.end.link.fid == net.bob.end.link.fid != 0)
    state = net.alice.take(A).state
    assert state in (wire.OPEN, wire.GONE)  # a broken history may cost the epoch, never the process


async def test_a_neighbour_cannot_use_up_the_epochs_of_a_link(net: Any) -> None:
    await net.pair(KSID, A, B)
    for node, other in ((net.alice, "bob"), (net.bob, "alice")):
        said = [LARGEST - 1, LARGEST - 2, FAR + 2 * LEAP, FAR, *(FAR + leap * LEAP for leap in range(1, 20))]
        for number in (*said, LARGEST - 1):
            message = wire.Reconcile(epoch=wire.Epoch(n=number, r=number % 7), fid=9, begin=wire.Begin())
            node.service.reconcile(message, Call(other))
            node.service.commit()
    assert not net.faults
    assert all(FAR < node.end.link.epoch.n < FAR + 100 * LEAP for node in (net.alice, net.bob)), "they were led far"
    await net.until(lambda: net.alice.end.link.fid == net.bob.end.link.fid != 0)
    await net.pair(b"l" * 16, b"c" * 16, b"d" * 16)
    await full(net, b"c" * 16, b"d" * 16)
    assert net.alice.end.link.epoch == net.bob.end.link.epoch


async def test_no_message_leaves_before_its_transaction(net: Any) -> None:
    sent = len(net.bob.said)
    asked = wire.OpenStream(ksid=KSID, oid=B, peer="alice", chunk_size=32)
    net.bob.service.open_stream(asked, Call("operator"))
    assert len(net.bob.said) == sent
    net.bob.service.commit()
    assert net.bob.said[-1].HasField("open_request") or net.bob.said[-2].HasField("open_request")


async def test_a_broken_step_stores_nothing_and_ends_the_process(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(*_: object) -> None:
        net.alice.store.write("DELETE FROM link")
        raise RuntimeError("half-way")

    monkeypatch.setattr(net.alice.end, "open_stream", half)
    asked = wire.OpenStream(ksid=KSID, oid=A, peer="bob", chunk_size=32)
    with pytest.raises(RuntimeError):
        net.alice.service.open_stream(asked, Call("operator"))
    net.alice.service.settle()
    assert [type(fault).__name__ for fault in net.faults] == ["StoreBroken"]
    assert net.alice.store.read("SELECT count(*) FROM link").fetchone()[0] == 1
    net.faults.clear()
    await net.alice.kill()
