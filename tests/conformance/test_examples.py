"""The layers of `examples/` keep their contracts, beside themselves and beside the built-in ones."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from qkdbus import conformance
from qkdbus.conformance.perform import on_stage
from qkdbus_deploy import conforming

EXAMPLES = Path(__file__).parents[2] / "examples"
BOTH_ENDS = {
    "keysync": ["chunks-are-equal-at-both-ends", "no-bits-are-used-twice", "agreed-chunks-survive-kill-9"],
    "qbackend": ["both-ends-give-the-same-block", "every-exchange-is-new", "the-record-adds-up"],
}


async def broken(layer: str, *commands: list[str], network: Path) -> dict[str, str]:
    about = conformance.of(layer)
    with conforming.ground(conforming.like(about.network, network)) as ground:
        results = await on_stage(about, ground, commands, lambda result: None, BOTH_ENDS[layer])
    assert {result.verdict for result in results} <= {"holds", "broken"}
    return {result.check.name: str(result) for result in results if result.verdict == "broken"}


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_policy_keeps_the_contract_beside_the_built_in_keysync() -> None:
    folder = EXAMPLES / "keysync_policy"
    policy, ours = [sys.executable, str(folder / "keysync.py")], conforming.words("keysync", ())
    assert await broken("keysync", policy, ours, network=folder / "network.yaml") == {}


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_backend_over_a_device_keeps_the_contract(tmp_path: Path) -> None:
    folder, keys = EXAMPLES / "device_backend", tmp_path / "keys"
    runpy.run_path(str(folder / "make_keys.py"))["write"](keys, "Alice", "Bob", 100_000)
    for file in [keys, *keys.rglob("*")]:
        file.chmod(0o700 if file.is_dir() else 0o600)
    command = [sys.executable, str(folder / "backend.py"), "--keys", str(keys)]
    assert await broken("qbackend", command, network=folder / "network.yaml") == {}
