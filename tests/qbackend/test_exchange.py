"""One exchange end to end: two workers, an ideal emulator, lines in memory."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from typing import Any

import pytest

from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.errors import Refused
from qkdbus.network.model import LinkSettings, Noise
from qkdbus.wire.qbackend_pb2 import Abort
from qkdbus_qbackend.distil import reconcile, verify

E91 = LinkSettings(emulator="ideal", protocol="e91-same-bases")
BBM = LinkSettings(emulator="ideal", protocol="bbm92")


@pytest.mark.parametrize("link", [E91, BBM], ids=lambda link: link.protocol)
@pytest.mark.parametrize("bits", [8, 64, 100, 1024, 100_000])
async def test_both_ends_hold_the_same_key_of_at_least_the_length_asked_for(
    workers: Any, link: LinkSettings, bits: int
) -> None:
    ours, theirs = await workers(link).exchange(bits)
    assert not ours.failure and not theirs.failure
    assert ours.block.bits == theirs.block.bits
    assert ours.block.run == theirs.block.run and len(ours.block.run) == 16
    assert ours.block.length == theirs.block.length == 8 * len(ours.block.bits) >= bits
    assert ours.block.length < 1.2 * bits + 8 * math.sqrt(3 * (bits + 100)) + 300  # what it is planned to be short of


@pytest.mark.parametrize("link", [E91, BBM], ids=lambda link: link.protocol)
async def test_the_counts_of_a_record_add_up_and_agree(workers: Any, link: LinkSettings) -> None:
    ours, theirs = (answer.block.record for answer in await workers(link).exchange(4096))
    assert ours.created == ours.sifted_out + ours.disclosed + ours.kept
    assert ours.length <= ours.kept - ours.leaked - ours.verification_bits - ours.authentication_bits
    assert ours.verification_bits == 64 and ours.leaked > 0
    assert (ours.security, ours.epsilon, ours.phase_error) == ("asymptotic", 0, pytest.approx(0))
    assert ours.disclosed >= 0.1 * (ours.disclosed + ours.kept)
    for name in ours.DESCRIPTOR.fields_by_name:
        if name not in ("duration", "finished_at", "stages"):
            assert getattr(ours, name) == getattr(theirs, name)
    assert set(ours.stages) == {
        "forming",
        "estimation",
        "reconciliation",
        "verification",
        "amplification",
        "authentication",
    }
    assert ours.qber == 0 and ours.duration > 0 and ours.finished_at > 1.7e9


@pytest.mark.parametrize(("link", "out"), [(E91, 2 / 3), (BBM, 1 / 2)], ids=["e91-same-bases", "bbm92"])
async def test_as_many_pairs_are_sifted_out_as_the_bases_say(workers: Any, link: LinkSettings, out: float) -> None:
    record = (await workers(link).exchange(200_000))[0].block.record
    sigma = math.sqrt(out * (1 - out) / record.created)
    # 5 sigma: a false alarm in 1,700,000 runs; another protocol's share is 100 away
    assert abs(record.sifted_out / record.created - out) < 5 * sigma


async def test_the_key_looks_random_and_differs_from_run_to_run(workers: Any) -> None:
    both = workers(BBM)
    one, two = (await both.exchange(80_000, 1))[0].block, (await both.exchange(80_000, 2))[0].block
    assert one.run != two.run
    ones = sum(octet.bit_count() for octet in one.bits)
    assert abs(ones - one.length / 2) < 5 * math.sqrt(one.length) / 2
    length = min(len(one.bits), len(two.bits))
    differing = sum((a ^ b).bit_count() for a, b in zip(one.bits[:length], two.bits[:length], strict=True))
    assert abs(differing - 4 * length) < 5 * math.sqrt(8 * length) / 2


@pytest.mark.parametrize(
    ("protocol", "noise", "qber"),
    [
        ("bbm92", Noise(x=0.06), 0.03),  # X turns outcomes in Z, half of the kept ones
        ("bbm92", Noise(y=0.05), 0.05),
        ("e91-same-bases", Noise(z=0.06), 0.04),  # Z turns outcomes in X and in Y
        ("e91-same-bases", Noise(x=0.02, y=0.02, z=0.02), 0.04),
    ],
)
async def test_noise_gives_the_predicted_qber_and_its_errors_are_corrected(
    workers: Any, protocol: Any, noise: Noise, qber: float
) -> None:
    link = LinkSettings(emulator="ideal", protocol=protocol, noise=noise, disclose=0.5)
    ours, theirs = await workers(link).exchange(10_000)
    assert ours.block.bits == theirs.block.bits and ours.block.length >= 5_000
    for record in (ours.block.record, theirs.block.record):
        sigma = math.sqrt(qber * (1 - qber) / record.disclosed)
        assert abs(record.qber - qber) < 5 * sigma  # errors in one basis more or less are 8 away
        assert abs(record.corrected / record.kept - qber) < 5 * math.sqrt(qber / record.kept)
        assert record.created == (record.sifted_out + record.disclosed + record.kept)
        assert record.phase_error == pytest.approx(qber, abs=5 * sigma)


async def test_a_qber_above_the_threshold_raises_the_alarm_at_both_ends(workers: Any) -> None:
    link = LinkSettings(emulator="ideal", protocol="bbm92", noise=Noise(x=0.4), qber_abort=0.11, disclose=0.5)
    for answer in await workers(link).exchange(4096):
        assert answer.alarm and answer.failure.startswith("qber 0.")
        assert not answer.HasField("block")
        assert 0.15 < answer.record.qber < 0.25


@pytest.fixture
def spoilt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Error correction leaves a wrong bit."""
    method = reconcile.method(reconcile.DEFAULT)

    def sink(*arguments: Any, **options: Any) -> Any:
        found = yield from method.sink(*arguments, **options)
        found.octets[12] ^= 1
        return found

    monkeypatch.setitem(reconcile.METHODS, reconcile.DEFAULT, dataclasses.replace(method, sink=sink))


@pytest.mark.usefixtures("spoilt")
async def test_one_wrong_bit_is_caught_by_the_verification(workers: Any) -> None:
    for answer in await workers(BBM).exchange(1024):
        assert answer.failure == "verification" and not answer.alarm and not answer.HasField("block")
        assert answer.record.qber == 0


@pytest.mark.usefixtures("spoilt")
async def test_the_wrong_bit_would_get_through_if_the_verification_did_not_look(
    workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "tag", lambda kept, point, fast: 0)
    ours, theirs = await workers(BBM).exchange(1024)
    assert ours.block.bits != theirs.block.bits and ours.block.length == theirs.block.length


async def test_many_exchanges_share_one_pair_of_workers(workers: Any) -> None:
    both = workers(E91)
    answers = await asyncio.gather(*(both.exchange(256, job) for job in range(1, 33)))
    assert all(ours.block.bits == theirs.block.bits and ours.block.bits for ours, theirs in answers)
    assert len({ours.block.bits for ours, _ in answers}) == 32
    assert both.alice.backend.running == both.bob.backend.running == 0


async def test_ends_that_disagree_on_the_protocol_say_so(workers: Any) -> None:
    for answer in await workers(E91, other_link=BBM).exchange(64):
        assert "set up differently" in answer.failure or "gave up" in answer.failure


async def test_ends_that_disagree_on_the_sample_make_no_key(workers: Any) -> None:
    small = LinkSettings(emulator="ideal", protocol="bbm92", disclose=0.05)
    answers = await workers(small, other_link=BBM).exchange(4096)
    assert all(answer.failure and not answer.HasField("block") for answer in answers)


async def test_a_worker_whose_peer_never_comes_gives_up_in_time(workers: Any) -> None:
    answer = await workers(patience=0.2).alice.run(64)
    assert answer.failure == "no progress" and answer.record.created == 0


async def test_aborting_ends_the_exchange_at_both_ends(workers: Any) -> None:
    both = workers(patience=30.0)
    ours, theirs = both.alice.run(1 << 23), both.bob.run(1 << 23)
    await asyncio.sleep(0.05)
    both.alice.backend.abort(Abort(name=both.alice.asked(1).exchange.name), Call(OPERATOR))
    assert (await ours).failure == "aborted"
    assert (await theirs).failure == "the other end gave up: aborted"
    assert both.alice.backend.running == both.bob.backend.running == 0


async def test_a_job_that_runs_already_is_joined(workers: Any) -> None:
    both = workers()
    first, again, other = both.alice.run(64), both.alice.run(64), both.bob.run(64)
    assert (await first) is (await again)
    assert (await other).block.bits == (await first).block.bits


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("peer", "Mallory", "no neighbour"),
        ("protocol", "bb84", "no protocol"),
        ("bits", 0, "bits"),
        ("bits", 1 << 30, "bits"),
        ("arbiter", True, "roles"),
        ("endpoint", "tcp://203.0.113.9:80", "door"),
    ],
)
async def test_what_cannot_be_meant_for_this_worker_is_refused(workers: Any, field: str, value: Any, said: str) -> None:
    bob = workers().bob
    request = bob.asked(64)
    if field == "peer":
        request.exchange.name.peer = value
    else:
        setattr(request.exchange, field, value)
    with pytest.raises(Refused, match=said):
        await bob.backend.run(request, Call(OPERATOR))


async def test_a_worker_that_has_started_anew_refuses_a_run_meant_for_the_one_before(workers: Any) -> None:
    bob = workers().bob
    request = bob.asked(64)
    request.since = 12.5
    with pytest.raises(Refused, match="anew"):
        await bob.backend.run(request, Call(OPERATOR))


async def test_neither_end_says_its_key_bits_on_the_line(workers: Any) -> None:
    both = workers(BBM)
    ours, _ = await both.exchange(4096)
    key = ours.block.bits
    for wire in (both.alice.wire, both.bob.wire):
        said = b"".join(parcel.body for parcel in wire.sent if parcel.plane == 0)
        assert said and not any(key[i : i + 8] in said for i in range(0, len(key) - 8, 8))


async def test_stopping_ends_what_runs_and_tells_the_other_end(workers: Any) -> None:
    both = workers(patience=30.0)
    ours, theirs = both.alice.run(1 << 23), both.bob.run(1 << 23)
    await asyncio.sleep(0.05)
    await both.bob.backend.stop()
    assert (await theirs).failure == "stopped" and "stopped" in (await ours).failure
