"""Histograms, and names of what is counted."""

from __future__ import annotations

import pytest

from qkdbus.meters import Histogram
from qkdbus.runtime.health import part
from qkdbus_deploy.watching.sample import parse


def test_a_value_falls_into_the_first_bucket_that_holds_it() -> None:
    taken = Histogram((1.0, 10.0))
    for value in (0.5, 1.0, 1.5, 10.0, 11.0):
        taken.observe(value)
    assert taken.counts == [2, 2, 1]
    assert taken.total == pytest.approx(24.0)


def test_many_alike_count_in_one_step() -> None:
    taken = Histogram((1.0,))
    taken.observe(0.25, 8)
    assert taken.counts == [8, 0]
    assert taken.total == 2.0


def test_what_a_name_says_of_a_part_can_be_read_again() -> None:
    assert parse(part("key_bits", peer="Bob", use="key")) == ("key_bits", {"peer": "Bob", "use": "key"})
    assert parse(part("faults")) == ("faults", {})


def test_no_label_can_break_out_of_its_name() -> None:
    name = part("key_bits", peer='B{o}b,x="1"\n')
    assert parse(name) == ("key_bits", {"peer": "B_o_b_x__1__"})


def test_a_strange_name_is_kept_whole() -> None:
    assert parse("{odd") == ("{odd", {})
