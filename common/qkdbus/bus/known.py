"""Who is known at a door just now: files that are read again when they change, so that nothing needs a restart.

`doors.json` in a node's `certs/` says what differs from the plain lists: keys that were replaced and are still good for
a while (`former`), and neighbours that are let in no more (`shut_out`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zmq.utils import z85

from .curve import NO_LIST

DOORS_FILE = "doors.json"
LOOK_EVERY = 0.1  # s between two looks at the files, for what comes over connections that stand
Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Former:
    """A key that was replaced.

    Attributes:
        door: where it lets in: "peers" or "north".
        name: as whom.
        until: Unix time, s, from which on it does not.
    """

    door: str
    name: str
    until: float


@dataclass(frozen=True, slots=True)
class Doors:
    """What `doors.json` says: former keys (Z85), and neighbours that are shut out, each with the reason."""

    former: Mapping[str, Former] = field(default_factory=dict)
    shut_out: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, said: Any) -> Doors:
        """Read what `text` gives. One of NO_LIST when it is something else."""
        for key in said.get("former", {}):
            z85.decode(key.encode())  # now, not when somebody knocks
        former = {
            str(key): Former(str(one["door"]), str(one["name"]), float(one["until"]))
            for key, one in said.get("former", {}).items()
        }
        return cls(former, {str(name): str(why) for name, why in said.get("shut_out", {}).items()})

    @property
    def text(self) -> str:
        """What stands in the file."""
        former = {key: {"door": one.door, "name": one.name, "until": one.until} for key, one in self.former.items()}
        return json.dumps({"former": former, "shut_out": dict(self.shut_out)}, indent=2) + "\n"


def stamp_of(file: Path) -> Stamp | None:
    """Return what differs when a file was written anew; None when it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


class DoorsFile:
    """`doors.json`, read again whenever it changes. Not there: nothing is special. Damaged: nobody is let in."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp: Stamp | None = None
        self._doors: Doors | None = Doors()

    def __call__(self) -> Doors | None:
        """Return what it says now; None when that cannot be read."""
        stamp = stamp_of(self._file)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._doors = Doors() if stamp is None else Doors.of(json.loads(self._file.read_text()))
            except (OSError, *NO_LIST):
                self._doors = None
        return self._doors


class Known:
    """Those who may come in at one door, by the keys of today and by former ones that are still good.

    Args:
        door: "north" for applications, "peers" for neighbours.
        today: public key (32 octets) -> name.
        doors: what differs from that.
        clock, monotonic: Unix time, and a clock that only grows, s.
    """

    def __init__(
        self,
        door: str,
        today: Callable[[], Mapping[bytes, str]],
        doors: Callable[[], Doors | None],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._door, self._today, self._doors = door, today, doors
        self._clock, self._monotonic = clock, monotonic
        self._senders: set[tuple[str, str]] = set()
        self._seen: tuple[Doors | None, Mapping[bytes, str] | None] = None, None
        self._look_at, self._expires = 0.0, 0.0

    def __call__(self) -> Mapping[bytes, str]:
        """Return who is known now: public key (32 octets) -> name."""
        doors, names = self._doors(), self._today()
        if doors is None:  # closed rather than open
            return {}
        shut = doors.shut_out if self._door != "north" else {}
        former = self._former(doors, names)
        if not former and not shut:
            return names
        return {key: name for key, name in {**former, **names}.items() if name not in shut}

    def still(self, user: str, sender: str) -> bool:
        """Tell whether `user` is still let in with the key `sender` (Z85): connections outlive credentials."""
        now, asked = self._monotonic(), (user, sender)
        if now >= self._look_at or asked not in self._senders:  # who is let in just now is known just now
            self._look_at = now + LOOK_EVERY
            self._look()
        return asked in self._senders

    def _former(self, doors: Doors, names: Mapping[bytes, str]) -> dict[bytes, str]:
        if not doors.former:
            return {}
        now, here = self._clock(), set(names.values())
        return {
            z85.decode(key.encode()): one.name
            for key, one in doors.former.items()
            if one.door == self._door and now < one.until and one.name in here
        }

    def _look(self) -> None:
        """Make the list of senders anew if anything has changed: a file, or the time of a former key is over."""
        seen = self._doors(), self._today()
        if seen[0] is self._seen[0] and seen[1] is self._seen[1] and self._clock() < self._expires:
            return
        self._seen = seen
        self._senders = {(name, z85.encode(key).decode()) for key, name in self().items()}
        now, former = self._clock(), seen[0].former.values() if seen[0] else ()
        self._expires = min((one.until for one in former if one.until > now), default=math.inf)
