"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from qkdbus.errors import QkdbusError

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at, in a word.
        where: a host, a node or a link; "" for this machine.
        severity: ok; warning: it works, and may be a surprise; error: something does not work.
        text: what is so.
        mend: what to do about it; "" when all is well.
    """

    check: str
    where: str
    severity: Severity
    text: str
    mend: str = ""


def well(check: str, text: str, where: str = "") -> Finding:
    """Return a finding that needs nothing."""
    return Finding(check, where, "ok", text)


def guarded(check: str, where: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Yield what a check finds; that it fails is a finding, too."""
    try:
        yield from look()
    except QkdbusError as error:
        yield Finding(check, where, "error", str(error))
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
        yield Finding(check, where, "error", text)
