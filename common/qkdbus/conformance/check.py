"""What a check is, and what comes of it. Knows no socket and no layer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..contracts.contract import Contract
from ..errors import QkdbusError
from ..network.model import LayerName, Network

Verdict = Literal["holds", "broken", "left out"]
Run = Callable[[Any], Awaitable[None]]


class Breach(QkdbusError):
    """Raised by a check when something does not hold. Neither text holds key material."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected: {expected}; came: {came}")
        self.expected, self.came = expected, came


class LeftOut(QkdbusError):
    """Raised by a check that cannot be made here; the text says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold.

    Attributes:
        name: a few words joined by hyphens, as `--only` takes them.
        must: what must hold, a sentence.
        source: where that is written: the design's or the agreement's section, the clause of a standard.
        run: takes the Subject (`alone` or `of_bus`) or the layer's Scene; returns when it holds, raises Breach.
        alone: needs nothing but the endpoint of a process that runs.
        of_bus: the same for every contract.
    """

    name: str
    must: str
    source: str
    run: Run
    alone: bool = False
    of_bus: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a check. `expected` and `came` are empty when it holds; `came` says why it was left out."""

    check: Check
    verdict: Verdict
    expected: str = ""
    came: str = ""


class Suite:
    """The checks of one contract, in the order in which they are made; `alone`: all of them are."""

    def __init__(self, *, of_bus: bool = False, alone: bool = False) -> None:
        self._of_bus, self._alone = of_bus, alone
        self.checks: list[Check] = []

    def must(self, sentence: str, source: str, *, alone: bool = False) -> Callable[[Run], Run]:
        """Add a coroutine function as a check; its name is the check's."""

        def add(run: Run) -> Run:
            name = run.__name__.replace("_", "-")
            self.checks.append(Check(name, sentence, source, run, alone or self._alone, self._of_bus))
            return run

        return add


class Scene(Protocol):
    """The stand-ins around a layer on its stage."""

    async def open(self) -> None:
        """Put the stand-ins up, before the layer's processes start."""

    async def settle(self) -> None:
        """Make everything as it was, before the next check."""

    async def close(self) -> None:
        """Take the stand-ins down."""


@dataclass(frozen=True)
class Layer:
    """All about a layer that conformance needs to know.

    Attributes:
        network: of its stage: two nodes, Alice and Bob, and a link; Alice is its arbiter.
        ends: the nodes at which the layer itself runs; at the others there are stand-ins.
        scene: makes the stand-ins for a stage.
    """

    name: LayerName
    contract: Contract
    network: Network
    ends: tuple[str, ...]
    scene: Callable[[Any], Scene]
    checks: tuple[Check, ...]


def hold(true: object, expected: str, came: str) -> None:
    """Raise Breach unless something is true."""
    if not true:
        raise Breach(expected, came)
