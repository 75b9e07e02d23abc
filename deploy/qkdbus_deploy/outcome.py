"""What a deploy or a start came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Unready:
    """A service that did not become ready: where, why, and the end of its log."""

    node: str
    layer: str
    program: str
    reason: str
    log: tuple[str, ...]


@dataclass(frozen=True)
class Trouble:
    """A node for which a step failed; the others went on.

    Attributes:
        host: where it was to run, as the inventory calls that.
        step: what was being done.
        reason: why that did not work, and how to mend it.
    """

    node: str
    host: str
    step: str
    reason: str


@dataclass(frozen=True)
class Deployed:
    """What a deploy or a start came to.

    Attributes:
        changed: the nodes that were started or started again.
        removed: the nodes that an earlier deploy had and this one has not.
        services: how many services were asked whether they are ready.
        seconds: from the call to the end.
        unready: nothing, if all is well.
        troubles: nothing, if all is well.
        notes: what the user should know though nothing is wrong.
        phases: how long each part of the work took, s, in order.
    """

    network: str
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    services: int
    seconds: float
    unready: tuple[Unready, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    notes: tuple[str, ...] = ()
    phases: Mapping[str, float] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether everything runs."""
        return not self.unready and not self.troubles
