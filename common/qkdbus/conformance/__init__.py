"""What any implementation of a layer must do, as checks against a live process over real sockets.

`check.py` says what a check is; `bus.py` has those of every contract, and one file per layer the rest. `stage.py` is
where a layer's processes run between `standins/`; `perform.py` makes the checks. `qkdbus conform` is the way in.
"""

from __future__ import annotations

from importlib import import_module

from ..network.model import LAYERS
from .check import Check, Layer, Result

__all__ = ["CONFORMING", "Check", "Layer", "Result", "of"]
CONFORMING = LAYERS


def of(layer: str) -> Layer:
    """Return what must hold of a layer, by its name. KeyError when there is no such layer."""
    if layer not in CONFORMING:
        raise KeyError(layer)
    found = import_module(f".{layer}", __name__).LAYER
    assert isinstance(found, Layer)
    return found
