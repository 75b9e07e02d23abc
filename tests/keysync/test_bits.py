"""Bits are cut and joined as a plain list of bits would be."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from qkdbus_keysync import bits

Bits = list[int]
lists = st.lists(st.integers(0, 1), max_size=90)


def packed(values: Bits) -> bytes:
    octets = bytearray((len(values) + 7) // 8)
    for place, value in enumerate(values):
        octets[place // 8] |= value << place % 8
    return bytes(octets)


@settings(max_examples=150, deadline=None)
@given(st.lists(lists, max_size=6))
def test_joined_bits_are_in_order(parts: list[Bits]) -> None:
    joined = bits.join((packed(part), len(part)) for part in parts)
    assert joined == packed([value for part in parts for value in part])


@settings(max_examples=150, deadline=None)
@given(lists, st.data())
def test_cut_bits_are_those_asked_for(values: Bits, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(values)))
    length = data.draw(st.integers(0, len(values) - offset))
    assert bits.cut(packed(values), offset, length) == packed(values[offset : offset + length])
