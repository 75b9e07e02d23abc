"""Which target a network is on: other hosts, if it was deployed there; else this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..fleet import record

if TYPE_CHECKING:
    from ..fleet.options import Options
    from ..launch import Launch
    from .driver import Driver


def driver(
    home: Path,
    network: str,
    say: Callable[[str], None] = lambda text: None,
    spare: Callable[[], Launch] | None = None,
    options: Options | None = None,
) -> Driver:
    """Return the driver of a network that was deployed; `spare` makes a warm parent early, where one may be needed."""
    if record.read(home / network) is not None:
        from .fleet import Fleet

        return Fleet(home, say, options=options)
    from .local import Local

    return Local(home, say, spare() if spare is not None else None)
