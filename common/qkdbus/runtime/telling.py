"""What a service tells of the calls that it has answered: of watched ones to the log, of rare ones as events.

At level info nothing is written for a call by itself: a stream of keys must not become a stream of lines. A call whose
trace is watched is written at info, in every layer that it reaches, as long as there are not too many of them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from .. import trace
from ..bus.witness import Told, Witness

A_SECOND, AT_ONCE = 50.0, 200.0  # watched calls that are written; whoever watches more drowns in them anyway


class Allowance:
    """So many a second, some more at once."""

    def __init__(self, a_second: float, at_once: float, monotonic: Callable[[], float]) -> None:
        self._a_second, self._at_once, self._monotonic = a_second, at_once, monotonic
        self._left, self._then = at_once, monotonic()

    def take(self) -> bool:
        """Use one up; False when none is left."""
        now = self._monotonic()
        self._left = min(self._at_once, self._left + (now - self._then) * self._a_second)
        self._then = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Telling(Witness):
    """The witness of a service's servers."""

    def __init__(
        self,
        log: logging.Logger,
        publish: Callable[..., None],
        counters: Counter[str],
        monotonic: Callable[[], float],
    ) -> None:
        super().__init__(verbose=log.isEnabledFor(logging.DEBUG))
        self._log, self._publish, self._counters = log, publish, counters
        self._allowed = Allowance(A_SECOND, AT_ONCE, monotonic)

    def called(self, told: Told) -> None:
        """Tell of a call."""
        fields: dict[str, object] = {
            "contract": told.contract,
            "method": told.name,
            "outcome": told.outcome,
            "seconds": round(told.seconds, 6),
            **told.notes,
        }
        if told.method.event:
            with trace.following(told.call.trace):
                self._publish("called", **fields)
        level = logging.INFO if trace.watched(told.call.trace) else logging.DEBUG
        if level == logging.INFO and not self._allowed.take():
            self._counters["traces_not_logged"] += 1
            level = logging.DEBUG
        if self._log.isEnabledFor(level):
            name = trace.name(told.call.trace)
            self._log.log(level, "called", extra={**fields, "by": told.call.user, **({"trace": name} if name else {})})
