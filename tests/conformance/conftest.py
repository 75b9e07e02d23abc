"""A layer's program on its stage, with our own or with a planted fault."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from qkdbus import conformance
from qkdbus.conformance import Result
from qkdbus.conformance.perform import on_stage
from qkdbus.runtime.settings import NodeSettings, Ports
from qkdbus_deploy import conforming

FAULTY = Path(__file__).parent / "faulty"
Conform = Callable[..., Awaitable[dict[str, Result]]]


@pytest.fixture
def conform() -> Conform:
    """Check a layer: `await conform(layer, "keysync_twice.py", only=[...])`; results by name of the check."""

    async def run(layer: str, *faulty: str, only: Sequence[str] = ()) -> dict[str, Result]:
        about = conformance.of(layer)
        command = [sys.executable, str(FAULTY / faulty[0]), *faulty[1:]] if faulty else conforming.words(about.name, ())
        with conforming.ground(about.network) as ground:
            results = await on_stage(about, ground, [command], lambda result: None, only)
        return {result.check.name: result for result in results}

    return run


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    """A node without neighbours, in a folder of its own."""
    return NodeSettings(
        network="test",
        name="Alice",
        host="127.0.0.1",
        directory=tmp_path,
        run=tmp_path / "run",
        ports=Ports(north=1, keymanager=2, keysync=3, qbackend=(4,)),
        nodes=("Alice",),
        neighbours=(),
    )
