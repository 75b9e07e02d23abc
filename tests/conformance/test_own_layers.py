"""Our own layers keep their contracts."""

from __future__ import annotations

from typing import Any

import pytest

from qkdbus.conformance import CONFORMING

NO_DOOR = {"dispatcher": {"strangers-get-nothing"}, "emulator": {"strangers-get-nothing"}}


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("layer", CONFORMING)
async def test_our_own_layer_conforms(conform: Any, layer: str) -> None:
    results = await conform(layer)
    assert len(results) > 25
    assert {name: str(one) for name, one in results.items() if one.verdict == "broken"} == {}
    assert {name for name, one in results.items() if one.verdict == "left out"} == NO_DOOR.get(layer, set())
