"""The checks themselves: complete, told apart, and what they count on."""

from __future__ import annotations

import os
from typing import Any

import pytest

from qkdbus import conformance
from qkdbus.conformance import bits
from qkdbus.conformance.check import Breach, hold
from qkdbus.conformance.line import Answer
from qkdbus.conformance.perform import chosen
from qkdbus.errors import Refused
from qkdbus.wire.head_pb2 import FAILED, Head, Health
from qkdbus.wire.keysync_pb2 import Taken


@pytest.mark.parametrize("layer", conformance.CONFORMING)
def test_every_check_has_a_name_of_its_own_a_sentence_and_a_source(layer: str) -> None:
    checks = chosen(conformance.of(layer))
    names = [check.name for check in checks]
    assert len(set(names)) == len(names) >= 25
    for check in checks:
        assert check.must.endswith(".") and " " in check.must, check.name
        assert check.source, check.name
    assert 8 <= sum(check.alone for check in checks) < len(checks)


def test_an_unknown_check_or_layer_is_told() -> None:
    with pytest.raises(Refused, match="keysync has no check nonsense"):
        chosen(conformance.of("keysync"), ["nonsense"])
    with pytest.raises(KeyError):
        conformance.of("nonsense")


def test_bits_that_are_used_twice_are_found_wherever_they_are() -> None:
    keys = [os.urandom(32) for _ in range(50)]
    assert bits.used_twice(keys) == 0
    assert bits.used_twice([*keys, keys[7]]) == 1
    shifted = (int.from_bytes(keys[7], "little") >> 3).to_bytes(32, "little")
    assert bits.used_twice([*keys, shifted]) == 1
    part = os.urandom(12) + keys[7][:12] + os.urandom(8)
    assert bits.used_twice([*keys, part]) == 1
    assert bits.used_twice([keys[0][:12] * 2]) == 1


def test_bits_of_a_block_are_found_in_keys() -> None:
    block = os.urandom(256)
    assert bits.taken_from([os.urandom(32), block[40:72]], [block]) == 1
    assert bits.taken_from([os.urandom(32)], [block]) == 0
    assert bits.taken_from([], [block]) == 0


def test_a_refusal_and_an_unreadable_body_are_breaches_without_the_body() -> None:
    secret = os.urandom(40)
    refused = Answer("take", Head(outcome=FAILED, reason="see the log"), secret)
    with pytest.raises(Breach) as caught:
        refused.read(Taken)
    assert caught.value.came == "FAILED: see the log"
    with pytest.raises(Breach, match="cannot be read"):
        Answer("ping", Head(), b"\xff" * 9).read(Health)
    assert repr(secret)[2:-1] not in repr(refused)


def test_what_holds_is_silent_and_what_does_not_is_said() -> None:
    hold(True, "a", "b")
    with pytest.raises(Breach) as caught:
        hold([], "something", "nothing")
    said: Any = caught.value
    assert (said.expected, said.came) == ("something", "nothing")
