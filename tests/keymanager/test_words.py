"""URIs, quality of service, metadata: what goes over the counter."""

from __future__ import annotations

import json

import pytest

from qkdbus.errors import Refused
from qkdbus.network.model import Buffers
from qkdbus.wire.keymanager_pb2 import QoS
from qkdbus.wire.record_pb2 import BlockRecord
from qkdbus_keymanager.buffer import Buffer, Run
from qkdbus_keymanager.metadata import NEEDED, block_tail, describe
from qkdbus_keymanager.qos import negotiate
from qkdbus_keymanager.uri import parse


@pytest.mark.parametrize("text", ["app@node", "qkd://app@node", "qkd://app@node/", "qkd://app@node?token=s3cret"])
def test_these_name_the_same_application(text: str) -> None:
    assert str(parse(text, "source")) == "app@node"


@pytest.mark.parametrize("text", ["http://kms-1.net", "client://host", "urn:qkd:7"])
def test_another_uri_is_taken_as_it_is(text: str) -> None:
    uri = parse(text, "source")
    assert (str(uri), uri.node) == (text, "")


@pytest.mark.parametrize(
    "text", ["", "app", "@node", "app@", "a@b@c", "qkd://app", "a b@c", "x" * 2001 + "@node", "a\n@b"]
)
def test_what_is_no_uri_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="source"):
        parse(text, "source")


def test_what_is_absent_is_chosen_and_returned() -> None:
    offer = negotiate(QoS(), Buffers(default_ttl_s=77))
    assert not offer.problem
    assert (offer.qos.key_chunk_size, offer.qos.ttl, offer.qos.metadata_mimetype) == (32, 77, "application/json")
    assert all(offer.qos.HasField(name) for name in ("max_bps", "min_bps", "jitter", "priority", "timeout"))


def test_zero_is_not_the_same_as_absent() -> None:
    offer = negotiate(QoS(timeout=0, metadata_mimetype=""), Buffers())
    assert not offer.problem
    assert (offer.qos.timeout, offer.qos.metadata_mimetype) == (0, "")


@pytest.mark.parametrize(
    ("wish", "field", "offered"),
    [
        (QoS(key_chunk_size=0), "key_chunk_size", 1),
        (QoS(key_chunk_size=1 << 24), "key_chunk_size", 1 << 20),
        (QoS(min_bps=10, max_bps=5), "min_bps", 5),
        (QoS(metadata_mimetype="text/xml"), "metadata_mimetype", "application/json"),
    ],
)
def test_an_impossible_wish_gets_an_offer_that_is_possible(wish: QoS, field: str, offered: object) -> None:
    offer = negotiate(wish, Buffers())
    assert offer.problem
    assert getattr(offer.qos, field) == offered
    assert not negotiate(offer.qos, Buffers()).problem


def test_metadata_tells_the_block_and_the_share_of_the_key() -> None:
    record = BlockRecord(
        block_id=b"\x01" * 16, created=3000, sifted_out=2000, disclosed=100, kept=900, length=720, qber=0.02
    )
    told = json.loads(describe(1.5, block_tail(record, 45), 1024))
    assert (told["age"], told["hops"], told["block_id"]) == (1500, 0, "01" * 16)
    assert (told["created"], told["sifted_out"], told["disclosed"], told["kept"]) == (3000, 2000, 100, 900)
    assert told["apportioned"] == {"created": 1500.0, "sifted_out": 1000.0, "disclosed": 50.0}  # 360 of 720 bits


def test_metadata_shrinks_to_what_must_be_there() -> None:
    tail = block_tail(BlockRecord(length=10), 1)
    assert json.loads(describe(2.0, tail, NEEDED)) == {"age": 2000, "hops": 0}
    assert describe(2.0, tail, 5) == b""
    assert len(describe(1e12, tail, NEEDED)) == NEEDED, "no age is so great that the needed size is not enough"
    assert json.loads(describe(-3.0, tail, 100))["age"] == 0


def test_metadata_is_json_whatever_the_record_says() -> None:
    tail = block_tail(BlockRecord(length=10, qber=float("nan")), 1)
    assert json.loads(describe(0, tail, 1024))["qber"] is None


def test_a_run_does_not_show_its_keys() -> None:
    run = Run(0, 4, bytearray(b"secretkeys!!"), 0.0, b"")
    assert "secret" not in repr(run)


def test_forgotten_keys_are_zero_in_memory() -> None:
    bits = bytearray(b"aaaabbbbcccc")
    buffer = Buffer()
    buffer.put(Run(5, 4, bits, 0.0, b""))
    buffer.forget(6, 7)
    assert bits == b"aaaa\0\0\0\0cccc"
    buffer.forget(5, 6)
    buffer.forget(7, 8)
    assert bits == bytes(12)
    assert not buffer.runs


def test_keys_are_read_across_runs() -> None:
    buffer = Buffer()
    buffer.put(Run(2, 1, bytearray(b"cd"), 0.0, b""))
    buffer.put(Run(0, 1, bytearray(b"ab"), 0.0, b""))
    assert buffer.keys(1, 4) == b"bcd"
    assert buffer.keys(1, 5) is None
