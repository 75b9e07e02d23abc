"""kill -9 under load: no key is lost, none comes twice, none differs between the ends."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Killer, Load

LAYERS = ("keymanager", "keysync", "dispatcher", "qbackend", "emulator")
ENDS = ("Alice", "Bob")  # Alice is the arbiter of Alice - Bob, Bob its follower and the arbiter of Bob - Charlie


def busy(load: Load) -> None:
    load.add("Alice", "Bob", 1, 1)
    load.add("Bob", "Alice", 3, 1)
    load.add("Bob", "Charlie", 1, 4)
    load.wait_for([2] * 6, 20)


@pytest.mark.parametrize("end", ENDS)
def test_every_service_of_an_end_may_be_killed_while_keys_are_read(end: str, load: Load, killer: Killer) -> None:
    busy(load)
    for layer in (*LAYERS, "supervisord"):
        killer.kill(end, layer)
    assert load.finish() > 6 * 12
