"""Asking the agent of a host: the request goes there with whatever software the host lacks, the answer comes back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qkdbus import errors
from qkdbus.errors import Failed, QkdbusError, Unavailable

from ..software import wire
from ..software.parts import Part
from .host import Host

KINDS = {kind.__name__: kind for kind in QkdbusError.__subclasses__()} | {"Unauthorised": errors.Unauthorised}


Pack = Callable[[bool], Sequence[Part]]  # whether the host can unpack zstd -> what it is to be sent


class Bare(Unavailable):
    """Raised when qkdbus itself is not on a host, and nothing was given to bring it there."""


@dataclass(frozen=True)
class Agent:
    """The agent of one host.

    Attributes:
        home: the folder of all networks there.
        python: runs it.
        use: digests of what it runs on.
    """

    host: Host
    home: str
    python: str
    use: tuple[str, ...]

    def ask(self, request: Mapping[str, Any], patience: float | None = None, pack: Pack | None = None) -> Any:
        """Return the answer of an operation (agent/operations.py); what `pack` packs is sent when the host lacks it.

        Raises what the operation raises, Unavailable when the host cannot be reached (Bare, when the software is not
        there), Silent after `patience` s.
        """
        request = {"home": self.home, **request}
        answer = self._send(request, (), patience)
        if missing := answer.get("missing"):
            if pack is None:
                text = f"qkdbus itself is gone from there ({self.home}); deploy again, or `destroy --forget`"
                raise Bare(f"{self.host.name}: {text}")
            parts = [part for part in pack(bool(answer.get("zstd"))) if part.digest in missing]
            answer = self._send(request, parts, patience)
            if "missing" in answer:
                raise Failed(f"{self.host.name}: what was sent there is not in {self.home}/software")
        return _opened(self.host.name, answer)

    def _send(self, request: Mapping[str, Any], parts: Sequence[Part], patience: float | None) -> dict[str, Any]:
        head = os.memfd_create("request")  # on no disk: the request may hold keys
        try:
            use = [Part("", digest, Path(), 0, 0) for digest in self.use]
            stream = wire.stream(head, self.home, parts, use, request)
            ran = self.host.run(wire.command(self.python), stream, patience)
        finally:
            os.close(head)
        try:
            answer = json.loads(ran.out)
            assert isinstance(answer, dict)
        except (ValueError, AssertionError):
            last = (ran.err or ran.out).strip().splitlines()[-3:]
            raise Failed(f"{self.host.name}: {'; '.join(last) or f'exit code {ran.code}, and no word'}") from None
        return answer


@dataclass
class Clock:
    """How long each phase of a work took, s, in the order in which they began."""

    phases: dict[str, float]

    def __init__(self) -> None:
        self.phases = {}
        self._since = time.monotonic()

    def lap(self, phase: str) -> None:
        """Say that all since the last lap was this phase."""
        now = time.monotonic()
        self.phases[phase] = self.phases.get(phase, 0.0) + now - self._since
        self._since = now

    def part(self, phase: str, last: str, seconds: float) -> None:
        """Say that all since the last lap was this phase, but its last `seconds`, which were another one."""
        self.lap(phase)
        self.phases[phase] = max(0.0, self.phases[phase] - seconds)
        self.phases[last] = self.phases.get(last, 0.0) + seconds


def _opened(host: str, answer: Mapping[str, Any]) -> Any:
    if "ok" in answer:
        return answer["ok"]
    error = answer.get("error")
    if not isinstance(error, dict):
        raise Failed(f"{host}: an answer that says nothing; is another version of qkdbus at work there?")
    raise KINDS.get(error.get("kind", ""), Failed)(f"{host}: {error.get('text')}")
