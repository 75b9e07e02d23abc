"""Waiting for OSM: asked seldom, patient with an answer that fails to come, and with an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from qkdbus.errors import Silent, Unavailable

P = ParamSpec("P")
T = TypeVar("T")
_FIRST, _GROWTH, _LONGEST = 1.0, 1.5, 10.0  # s between questions
_GRACE = 120.0  # s without any answer that are forgiven in the middle of something long


@dataclass(frozen=True)
class Pace:
    """How time goes by; tests make it go faster."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Wait:
    """One wait of at most `patience` seconds."""

    def __init__(self, pace: Pace, patience: float) -> None:
        self._pace = pace
        self._end = pace.clock() + patience
        self._pause = _FIRST
        self._answered = pace.clock()

    @property
    def over(self) -> bool:
        """Say whether patience has run out."""
        return self._pace.clock() >= self._end

    def pause(self) -> None:
        """Let some time go by, more each time."""
        left = self._end - self._pace.clock()
        self._pace.sleep(max(0.0, min(self._pause, left)))
        self._pause = min(self._pause * _GROWTH, _LONGEST)

    def ask(self, question: Callable[P, T], *about: P.args, **more: P.kwargs) -> T | None:
        """Ask, and return None when no answer came this once; Unavailable or Silent when none has come for long."""
        try:
            answer = question(*about, **more)
        except (Unavailable, Silent):
            if self._pace.clock() - self._answered > _GRACE or self.over:
                raise
            return None
        self._answered = self._pace.clock()
        return answer
