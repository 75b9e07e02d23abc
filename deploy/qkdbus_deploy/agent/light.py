"""What is asked of a host where nothing has to change: are its services ready, and do their neighbours' doors open?

It imports next to nothing, so that asking costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def look(request: Mapping[str, Any]) -> dict[str, Any]:
    """Knock at `doors`, ping `services` (name -> endpoint); wait at most `patience` s for either."""
    from ..knocking import unreachable

    unready: dict[str, str] = {}
    if services := request["services"]:
        from ..observe import wait_ready

        unready = wait_ready(dict(services), request["patience"])
    return {"shut": unreachable(request["doors"], request["patience"]), "unready": unready}
