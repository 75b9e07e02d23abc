"""An emulator program whose sink tosses coins: the two ends share nothing."""

from __future__ import annotations

import os
from typing import Any

from qkdbus.runtime import main
from qkdbus_qbackend.emulators.simulaqron import build
from qkdbus_qbackend.emulators.simulaqron.service import SimulaqronService


class CoinTosser(SimulaqronService):
    """Gives the sink outcomes of its own."""

    async def measure_travelled(self, *asked: Any) -> bytes:
        outcomes = await super().measure_travelled(*asked)
        return bytes(octet & 1 for octet in os.urandom(len(outcomes)))


if __name__ == "__main__":
    build.SimulaqronService = CoinTosser  # type: ignore[attr-defined]
    main("emulator", build.build)
