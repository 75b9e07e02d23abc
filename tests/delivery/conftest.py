"""An explorer for the product's key manager and keysync together (agreement, section 5.5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ..keysync.exploring.invariants import Broken
from .world import Delivery


@pytest.fixture
def explore() -> Callable[..., Delivery]:
    return Delivery


@pytest.fixture(scope="module")
def world() -> Delivery:
    """One for all tests of a module: each step from each state is carried out once."""
    return Delivery()


@pytest.fixture
def broken() -> type[Broken]:
    return Broken
