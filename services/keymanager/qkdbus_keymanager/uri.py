"""Names of applications: `qkd://app@node[?opts]` or, shorter, `app@node` (ruling C13)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qkdbus.errors import Refused

LONGEST = 2000
_OURS = re.compile(r"(?:qkd://)?([^@/?#\s\x00-\x1f]+)@([^@/?#\s\x00-\x1f]+)/?(?:\?\S*)?")
_ANY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")


@dataclass(frozen=True, slots=True)
class Uri:
    """One end of a stream. `node` is empty when the text is a URI whose node nobody here can tell.

    Options are dropped: they may carry a credential, which is nobody's business further on.
    """

    app: str
    node: str

    def __str__(self) -> str:
        return f"{self.app}@{self.node}" if self.node else self.app


def parse(text: str, what: str) -> Uri:
    """Read a URI. Refused when it is no URI at all (`what` says which one, `source` or `destination`)."""
    if not text or len(text) > LONGEST:
        raise Refused(f"{what} has {len(text)} characters; 1 to {LONGEST} are allowed")
    if ours := _OURS.fullmatch(text):
        return Uri(ours[1], ours[2])
    scheme = text.partition(":")[0].lower()
    if scheme != "qkd" and _ANY.fullmatch(text):
        return Uri(text.partition("?")[0], "")
    raise Refused(f"{what} is not app@node or qkd://app@node")
