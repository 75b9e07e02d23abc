"""An explorer for the product's own state machines (agreement, sections 8 and 9)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .invariants import Broken
from .search import Explorer


@pytest.fixture
def explore() -> Callable[..., Explorer]:
    return Explorer


@pytest.fixture(scope="module")
def world() -> Explorer:
    """One for all tests of a module: each step from each state is carried out once."""
    return Explorer()


@pytest.fixture
def broken() -> type[Broken]:
    return Broken
