"""Keys for a plain program."""

from __future__ import annotations

import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zmq

from qkdbus.bus.curve import KeyPair
from qkdbus.errors import Refused, Silent, Unauthorised
from qkdbus.wire import keymanager_pb2 as wire
from qkdbus.wire.head_pb2 import Head
from qkdbus_client import Client, QoS, Status

if TYPE_CHECKING:
    from .conftest import Door


def test_the_way_it_is_used(home: Path) -> None:
    with Client("Alice", network="three-sites", home=home) as alice:
        opened = alice.open_connect("app1@Alice", "app2@Bob", QoS(key_chunk_size=32, ttl=3600))
        assert opened.status == Status.SUCCESSFUL_NO_PEER
        assert isinstance(opened.ksid, uuid.UUID)
        assert (opened.qos.key_chunk_size, opened.qos.ttl, opened.qos.max_bps) == (32, 3600, None)
        got = alice.get_key(opened.ksid)
        assert (got.status, got.index, len(got.key)) == (Status.SUCCESSFUL, 0, 32)
        assert got.metadata == {"age": 3, "hops": 0}
        many = alice.get_keys(opened.ksid, 64)
        assert (many.status, many.index, many.count, len(many.keys)) == (0, 5, 64, 64)
        assert many.keys[8] == bytes(range(32))
        assert [info.ksid for info in alice.list_streams()] == [opened.ksid]
        assert alice.close(opened.ksid).status == Status.SUCCESSFUL
        assert alice.close(opened.ksid).status == Status.STREAM_NOT_FOUND


def test_whoever_leaves_says_that_it_waits_for_nothing(door: Door) -> None:
    with Client.at(door.endpoint, **door.keys) as alice:
        opened = alice.open_connect("app1@Alice", "app2@Bob")
        assert opened.ksid is not None
        alice.get_key(opened.ksid)
    assert door.last_words().settled == door.manager.calls[-1].number + 1
    alice.disconnect()  # again: nothing happens


def test_whoever_was_never_connected_leaves_at_once() -> None:
    began = time.monotonic()
    with Client.at("tcp://127.0.0.1:9", patience=0.2) as alice, pytest.raises(Silent):
        alice.list_streams()
    assert time.monotonic() - began < 5


def test_absent_qos_fields_stay_absent_and_zero_stays_zero(door: Door) -> None:
    with Client.at(door.endpoint, **door.keys) as alice:
        alice.open_connect("app1@Alice", "app2@Bob", QoS(timeout=0, metadata_mimetype=""))
    qos = door.manager.opened[0].qos
    assert (qos.HasField("timeout"), qos.HasField("metadata_mimetype"), qos.HasField("ttl")) == (True, True, False)


def test_a_ksid_may_be_a_uuid_its_text_or_its_octets(door: Door) -> None:
    ksid = uuid.uuid4()
    with Client.at(door.endpoint, **door.keys) as alice:
        assert alice.open_connect("app1@Alice", "app2@Bob", ksid=str(ksid)).ksid == ksid
        for form in (ksid, ksid.bytes, str(ksid)):
            assert alice.get_key(form).status == 0
        for nonsense in ("hello", b"short", None):
            with pytest.raises(ValueError, match=r"UUID|hexadecimal"):
                alice.get_key(nonsense)  # type: ignore[arg-type]


def test_a_status_is_a_result_and_no_exception(door: Door) -> None:
    with Client.at(door.endpoint, **door.keys) as alice:
        assert alice.get_key(uuid.uuid4()).status is Status.STREAM_NOT_FOUND
        nowhere = alice.open_connect("app1@Alice", "app2@Nowhere")
        assert (nowhere.status, nowhere.ksid) == (Status.NO_QKD_CONNECTION, None)
        assert "Nowhere" in nowhere.reason
        large = alice.open_connect("app1@Alice", "app2@Bob", QoS(key_chunk_size=5000))
        assert (large.status, large.ksid, large.qos.key_chunk_size) == (Status.OPEN_FAILED_QOS, None, 1000)
        opened = alice.open_connect("app1@Alice", "app2@Bob")
        assert opened.ksid is not None
        small = alice.get_key(opened.ksid, metadata_size=4)
        assert (small.status, small.metadata_size) == (Status.GET_KEY_FAILED_METADATA_INSUFFICIENT, 27)


def test_a_status_of_a_later_edition_is_kept(door: Door) -> None:
    with Client.at(door.endpoint, **door.keys) as alice:
        opened = alice.open_connect("app1@Alice", "app2@Bob")
        assert opened.ksid is not None
        got = alice.get_key(opened.ksid, index=99)
        assert (int(got.status), got.status.name) == (77, "UNKNOWN_77")


def test_what_cannot_be_granted_raises(door: Door) -> None:
    with Client.at(door.endpoint, **door.keys) as alice:
        with pytest.raises(Refused, match="source is empty"):
            alice.open_connect("", "app2@Bob")
        with pytest.raises(Unauthorised):
            alice.open_connect("secret@Alice", "app2@Bob")


def test_a_stranger_hears_nothing(door: Door) -> None:
    pair = KeyPair.new()
    keys = {**door.keys, "public_key": pair.public, "secret_key": pair.secret}
    with Client.at(door.endpoint, **keys, patience=0.6) as stranger, pytest.raises(Silent):
        stranger.open_connect("app1@Alice", "app2@Bob")
    assert door.manager.opened == []


def test_nobody_there_is_silent_after_the_patience() -> None:
    begun = time.monotonic()
    with Client.at("tcp://127.0.0.1:9", patience=0.5) as alice, pytest.raises(Silent):
        alice.get_key(uuid.uuid4())
    assert 0.4 < time.monotonic() - begun < 20  # it ends, and not before


def test_results_do_not_show_keys(door: Door) -> None:
    with Client.at(door.endpoint, **door.keys) as alice:
        opened = alice.open_connect("app1@Alice", "app2@Bob")
        assert opened.ksid is not None
        got, many = alice.get_key(opened.ksid), alice.get_keys(opened.ksid, 8)
    for text in (repr(got), str(got), f"{got}"):
        assert "status" in text
        assert repr(got.key)[2:-1] not in text
        assert got.key.hex() not in text
    assert repr(many.keys[0])[2:-1] not in repr(many)


def test_the_secret_key_is_not_shown(home: Path, door: Door) -> None:
    from qkdbus_client.access import find

    assert door.app_pair.secret not in repr(find("Alice", "three-sites", home))


def test_threads_take_turns(door: Door) -> None:
    with Client.at(door.endpoint, **door.keys) as alice:
        opened = alice.open_connect("app1@Alice", "app2@Bob")
        assert opened.ksid is not None
        ksid, indices = opened.ksid, []
        threads = [threading.Thread(target=lambda: indices.append(alice.get_key(ksid).index)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(indices) == list(range(8))


def answer_after(socket: zmq.Socket[bytes], lost: int, heard: list[tuple[Head, int]]) -> None:
    """Lose some requests, then answer one."""
    for turn in range(lost + 1):
        frames = socket.recv_multipart()
        cut = frames.index(b"") + 1
        heard.append((Head.FromString(frames[cut + 1]), len(frames) - cut))
        assert frames[cut] == b"qkdbus/1"
        if turn == lost:
            head = Head(call=heard[-1][0].call).SerializeToString()
            body = wire.Key(index=4, key=b"k" * 8).SerializeToString()
            socket.send_multipart([*frames[:cut], b"qkdbus/1", head, body])


def test_a_lost_call_is_repeated_under_its_own_number(tmp_path: Path) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket, heard = context.socket(zmq.ROUTER), list[tuple[Head, int]]()
    endpoint = f"ipc://{tmp_path}/door"
    socket.bind(endpoint)
    thread = threading.Thread(target=answer_after, args=(socket, 2, heard), daemon=True)
    thread.start()
    with Client.at(endpoint) as alice:
        assert alice.get_key(uuid.uuid4()).index == 4
    thread.join(5)
    assert {(head.caller, head.call, head.method, frames) for head, frames in heard} == {
        (heard[0][0].caller, 1, "get_key", 3)
    }
    assert (len(heard), len(heard[0][0].caller)) == (3, 16)
    socket.close(linger=0)
    context.term()


def test_patience_follows_the_timeout_of_the_stream(door: Door) -> None:
    with Client.at(door.endpoint, **door.keys) as alice:
        opened = alice.open_connect("app1@Alice", "app2@Bob", QoS(timeout=60_000))
        assert opened.ksid is not None
        alice.get_key(opened.ksid)
    assert door.manager.calls[0].patience == 65.0
