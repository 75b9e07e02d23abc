"""Two key managers next door to each other, over one small keysync, in a loop whose time jumps."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ..jumping import JumpingLoop
from .network import Network


def pytest_asyncio_loop_factories() -> dict[str, Any]:
    """Let all tests of this folder run where time jumps."""
    return {"jumping": JumpingLoop}


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[Network]:
    """A network of which nothing has been started."""
    network = Network(tmp_path)
    yield network
    for site in network.sites.values():
        if site.manager is not None:
            site.kill()
        assert not site.failures, site.failures
    await asyncio.sleep(0)


@pytest.fixture
async def network(idle: Network) -> Network:
    """A network that runs."""
    await idle.start()
    return idle


@pytest.fixture
def new_ksid() -> bytes:
    return uuid.uuid4().bytes
