"""The same transcript at both ends gives a key to both; anything else gives none, and an alarm."""

from __future__ import annotations

import itertools
import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkdbus_qbackend.distil.authenticate import Authenticated
from qkdbus_qbackend.distil.field import evaluate
from qkdbus_qbackend.failure import NoKey
from qkdbus_qbackend.protocols.talk import converse

Message = tuple[int, int, bytes]  # topic, lane, body
message = st.tuples(st.integers(1, 6), st.integers(0, 3), st.binary(max_size=40))
told = st.lists(message, max_size=6)
ALARM = ("authentication", True)


@given(told, told, st.randoms(use_true_random=False))
def test_ends_that_heard_what_was_told_both_have_the_key(
    lab: Any, down: list[Message], up: list[Message], dice: Any
) -> None:
    source, sink = lab.in_memory()
    whole = source.key.copy()
    steps = iter([(source, sink, said) for said in down]), iter([(sink, source, said) for said in up])
    turns = [0] * len(down) + [1] * len(up)
    dice.shuffle(turns)  # each direction's messages stay in order; how the directions mingle is chance
    for turn in turns:
        speaker, listener, said = next(steps[turn])
        lab.say(speaker, listener, [said])
    ours, theirs = converse(source.talk(), sink.talk())
    assert (ours.octets == theirs.octets).all() and (ours.octets == whole[:-16]).all()
    assert ours.charged == theirs.charged == 16
    assert ours.epsilon == theirs.epsilon == 2 * source.transcript.words / 2**64


def test_the_hash_is_the_polynomial_that_the_docstring_says(lab: Any) -> None:
    source, sink = lab.in_memory()
    lab.say(source, sink, [(1, 0, b"abcdefghi"), (2, 7, b"")])
    lab.say(sink, source, [(5, 1, b"12345678")])
    down = [1, 0, 9, int.from_bytes(b"abcdefgh", "little"), ord("i"), 2, 7, 0]
    up = [5, 1, 8, int.from_bytes(b"12345678", "little")]
    words = np.array([*down, *up, len(down), len(up), 0], np.uint64)
    assert source.transcript.words == len(words) - 1
    assert source.transcript.hashed() == sink.transcript.hashed() == evaluate(words, source.keys.point)


@pytest.mark.parametrize("size", [(1 << 18) - 33, (1 << 18) - 32, (1 << 18) - 24, 1 << 18, 700_001])
def test_long_messages_are_hashed_like_short_ones(size: int, lab: Any) -> None:
    source, sink = lab.in_memory()
    body = os.urandom(size)
    lab.say(source, sink, [(1, 0, b"x"), (1, 0, body), (1, 0, body[:5])])
    padded = np.frombuffer(body + bytes(-size % 8), np.uint64)
    words = [1, 0, 1, ord("x"), 1, 0, size, *padded, 1, 0, 5, int.from_bytes(body[:5], "little")]
    whole = np.array([*words, len(words), 0, 0], np.uint64)
    assert source.transcript.hashed() == sink.transcript.hashed() == evaluate(whole, source.keys.point)


def tampered(messages: list[Message], how: str, where: int, bit: int) -> list[Message]:
    """Return the messages as they arrive after somebody has changed one of them."""
    changed, at = list(messages), where % max(1, len(messages))
    topic, lane, body = changed[at] if changed else (1, 0, b"")
    match how:
        case "flip" if body:
            octets = bytearray(body)
            octets[bit // 8 % len(body)] ^= 1 << bit % 8
            changed[at] = (topic, lane, bytes(octets))
        case "topic" if changed:
            changed[at] = (topic + 1, lane, body)
        case "lane" if changed:
            changed[at] = (topic, lane + 1, body)
        case "longer" if changed:
            changed[at] = (topic, lane, body + b"\0")
        case "drop" if changed:
            del changed[at]
        case "inject":
            changed.insert(at, (topic, lane, body))
        case "reorder" if len(changed) > 1:
            changed.append(changed.pop(at))
        case "split" if body:
            cut = bit % len(body)
            changed[at : at + 1] = [(topic, lane, body[:cut]), (topic, lane, body[cut:])]
    return changed


HOW = ["flip", "topic", "lane", "longer", "drop", "inject", "reorder", "split"]


@given(told, told, st.booleans(), st.sampled_from(HOW), st.integers(0, 5), st.integers(0, 400))
def test_whatever_is_changed_on_the_way_is_noticed_at_both_ends(
    lab: Any, down: list[Message], up: list[Message], downwards: bool, how: str, where: int, bit: int
) -> None:
    source, sink = lab.in_memory()
    messages = down if downwards else up
    arriving = tampered(messages, how, where, bit)
    lab.say(source, sink, down, arriving if downwards else None)
    lab.say(sink, source, up, None if downwards else arriving)
    found = lab.meddled(source.talk(), sink.talk())
    if arriving == messages:
        assert all(isinstance(result, Authenticated) for result in found)
    else:
        assert [(result.reason, result.alarm) for result in found] == [ALARM, ALARM]


def test_a_message_that_changes_its_direction_is_noticed(lab: Any) -> None:
    source, sink = lab.in_memory()
    for end in (source, sink):  # she lets each believe that the other said it
        end.transcript.heard(1, 0, b"same")
    found = lab.meddled(source.talk(), sink.talk())
    assert [(result.reason, result.alarm) for result in found] == [ALARM, ALARM]


@given(st.integers(0, 2), st.integers(0, 10_000), st.sampled_from(["flip", "cut", "add"]))
def test_the_talk_itself_cannot_be_changed(lab: Any, which: int, bit: int, how: str) -> None:
    source, sink = lab.in_memory()

    def meddle(number: int, body: bytes) -> bytes:
        if number != which:
            return body
        octets = bytearray(body)
        octets[bit // 8 % len(body)] ^= 1 << bit % 8
        return {"flip": bytes(octets), "cut": body[8:], "add": body + bytes(8)}[how]

    ours, theirs = lab.meddled(source.talk(), sink.talk(), meddle)
    assert not isinstance(ours, Authenticated)
    assert which == 2 or not isinstance(theirs, Authenticated)  # with the last message the sink has its key already


def test_a_tag_that_is_sent_back_proves_nothing(lab: Any) -> None:
    source, sink = lab.in_memory()
    tags: list[bytes] = []

    def meddle(number: int, body: bytes) -> bytes:
        tags.append(body[-8:])
        return tags[1] if number == 2 else body

    ours, _ = lab.meddled(source.talk(), sink.talk(), meddle)
    assert isinstance(ours, NoKey) and ours.alarm


def test_a_man_in_the_middle_who_knows_all_tags_so_far_cannot_forge_the_next(lab: Any) -> None:
    """She knows transcripts and tags of 20 blocks under one point, and tries what can be made of them."""
    one, other = lab.pools(30)
    known: list[bytes] = []

    def overhear(number: int, body: bytes) -> bytes:
        known.append(body[-8:])
        return body

    for number in range(20):
        source, sink = lab.ends(one, other)
        lab.say(source, sink, [(1, 0, bytes([number]))])
        lab.meddled(source.talk(), sink.talk(), overhear)
    tags = known[1::3] + known[2::3]
    assert len(set(tags)) == 40
    left = dict(one.left)
    for guess in [*tags, bytes(8), *(xor(a, b) for a, b in itertools.combinations(tags[10:30], 2))]:
        one.left, other.left = dict(left), dict(left)
        source, sink = lab.ends(one, other)
        lab.say(source, sink, [(1, 0, b"true")], [(1, 0, b"fake")])
        for forged in (guess, None):  # in place of the tag, and on top of it
            meddle = Forger(forged, guess)
            assert isinstance(lab.meddled(source.talk(), sink.talk(), meddle)[1], NoKey)


class Forger:
    """Puts `tag` in place of the source's tag, or adds `difference` to it."""

    def __init__(self, tag: bytes | None, difference: bytes) -> None:
        self._tag, self._difference = tag, difference

    def __call__(self, number: int, body: bytes) -> bytes:
        return body[:-8] + (self._tag or xor(body[-8:], self._difference)) if number == 1 else body


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def small_hash(words: tuple[int, ...], point: int) -> int:
    """Hash over GF(8), with the same form as the real one."""
    value = 0
    for word in (*words, 0):
        value = small_times(value, point) ^ word
    return value


def small_times(one: int, other: int) -> int:
    product = 0
    for bit in range(3):
        if other >> bit & 1:
            product ^= one << bit
    for bit in (4, 3):
        if product >> bit & 1:
            product ^= 0b1011 << (bit - 3)
    return product


def test_in_a_small_field_tags_tell_nothing_of_the_point_and_forging_is_as_hard_as_promised() -> None:
    """Everything tried in GF(8), for transcripts of two words."""
    field, texts = range(8), list(itertools.product(range(8), repeat=2))
    table = {(words, point): small_hash(words, point) for words in texts for point in field}
    for words, tag in itertools.product(texts, field):  # for every point there is one pad that gives this tag
        assert sorted(p for p in field for pad in field if table[words, p] ^ pad == tag) == list(field)
    for words, other in itertools.combinations(texts, 2):
        for difference in field:  # what she would have to add to the tag
            hits = sum(table[words, point] ^ table[other, point] == difference for point in field)
            assert hits <= 2  # the degree


def test_no_repr_shows_a_secret(lab: Any) -> None:
    source, sink = lab.in_memory()
    ours, _ = converse(source.talk(), sink.talk())
    assert repr(ours) == f"Authenticated(charged=16, epsilon={ours.epsilon!r})"
    assert repr(source.transcript) == f"Transcript({source.transcript.words} words)"
