"""Fixtures for tests that need hosts. In a conftest.py elsewhere: `from tests.hosts.fixtures import lab, new_lab`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from .lab import Lab
from .machine import missing, prepare

LabMaker = Callable[..., Lab]


@pytest.fixture(scope="session")
def able() -> None:
    """That this machine can be a lab: what is missing is installed where that is one step, else the test is skipped."""
    prepare()
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture
def new_lab(able: None) -> Iterator[LabMaker]:
    """Labs of a test's own: new_lab(3, names=[...], ...) is up when it returns, and down after the test."""
    with ExitStack() as labs:

        def make(count: int | None = None, **options: Any) -> Lab:
            return labs.enter_context(Lab(count, **options))

        yield make


@pytest.fixture
def lab(new_lab: LabMaker, request: pytest.FixtureRequest) -> Lab:
    """Three hosts A, B and C, or what the test asks for: `@pytest.mark.parametrize("lab", [8], indirect=True)`."""
    options = getattr(request, "param", {"names": ["A", "B", "C"]})
    return new_lab(options) if isinstance(options, int) else new_lab(**options)
