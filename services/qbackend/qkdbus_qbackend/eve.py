"""Who sits in the channels whose source is at this node: what the network file says, and who came in meanwhile.

A channel belongs to the node of its source (the link's arbiter). There the emulator program (SimulaQron) or every
qbackend worker (photonic) asks the book of attacks before each batch. A live attack is kept in a file: a service that
was killed finds it again, and all replicas see the same.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qkdbus.errors import Refused
from qkdbus.network.attacks import objection
from qkdbus.network.model import LinkSettings
from qkdbus.network.photonic import Eavesdropper
from qkdbus.runtime.settings import Neighbour, NodeSettings
from qkdbus.wire import qbackend_pb2 as wire

NOBODY = Eavesdropper()
NOTHING_ARRIVES = "nothing arrives: the channel is cut"  # why an emulator has no pairs (Unavailable)
LOOK_EVERY = 0.2  # s between two looks at the file


class EveBook:
    """Who is in the channel to each peer now.

    A live attack holds until it is changed, or until the network file says something else about that link than it
    did when the attack began.

    Args:
        file: where live attacks are kept.
        defaults: what the network file says, by peer; exactly the channels that are here.
        monotonic: s.
    """

    def __init__(self, file: Path, defaults: Mapping[str, Eavesdropper], *, monotonic: Callable[[], float]) -> None:
        self._file, self._defaults, self._monotonic = file, dict(defaults), monotonic
        self._live: dict[str, Eavesdropper] = {}
        self._stamp: tuple[int, int, int] | None = None
        self._look_at = monotonic()
        self._read()

    def at(self, peer: str) -> Eavesdropper:
        """Return who is in the channel to `peer`; a change by another process is seen within LOOK_EVERY."""
        now = self._monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._read()
        return self._live[peer] if peer in self._live else self._defaults.get(peer, NOBODY)

    def set(self, peer: str, eve: Eavesdropper | None) -> None:
        """Put `eve` into the channel to `peer`, or nobody; kept when this returns. KeyError: no such channel."""
        default, eve = self._defaults[peer], eve or NOBODY
        with _locked(self._file.parent):
            kept = _load(self._file)
            kept.pop(peer, None)
            if eve != default:
                kept[peer] = {"instead_of": default.model_dump(mode="json"), "eve": eve.model_dump(mode="json")}
            _replace(self._file, kept)
        self._stamp = None
        self._read()

    def _read(self) -> None:
        try:
            found = self._file.stat()
        except FileNotFoundError:
            self._live, self._stamp = {}, None
            return
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if stamp != self._stamp:
            self._stamp = stamp
            self._live = dict(self._holding(_load(self._file)))

    def _holding(self, kept: dict[str, Any]) -> Iterator[tuple[str, Eavesdropper]]:
        for peer, entry in kept.items():
            try:
                before, eve = (Eavesdropper.model_validate(entry[field]) for field in ("instead_of", "eve"))
            except (KeyError, TypeError, ValidationError):
                continue  # no attack of ours
            if self._defaults.get(peer) == before:
                yield peer, eve


def kept_in(settings: NodeSettings) -> Path:
    """Return where a node keeps live attacks."""
    return settings.directory / "state" / "eve.json"


def channels_here(neighbours: Iterable[Neighbour], emulator: str) -> dict[str, LinkSettings]:
    """Return the links of an emulator whose channel, at its source, is at this node, by peer."""
    return {n.name: n.link for n in neighbours if n.arbiter and n.link.emulator == emulator}


def defaults(links: Mapping[str, LinkSettings]) -> dict[str, Eavesdropper]:
    """Return what the network file says of each channel."""
    return {peer: link.eavesdropper for peer, link in links.items()}


def attack(
    request: wire.Attack, *, links: Mapping[str, LinkSettings], book: EveBook, log: logging.Logger
) -> wire.Attacked:
    """Carry out `attack` of the contracts emulator and qbackend: `links` are those of `channels_here`.

    Refused when it is no attack, or impossible on that link; the reason says what is possible.
    """
    link = links.get(request.peer)
    if link is None:
        return wire.Attacked()
    if request.HasField("eve"):
        eve = from_wire(request.eve)
        wrong = objection(link, eve)
        if wrong:
            raise Refused(wrong)
        book.set(request.peer, eve)
        log.warning("channel_attacked", extra={"peer": request.peer, **eve.model_dump(exclude_defaults=True)})
    return wire.Attacked(here=True, eve=to_wire(book.at(request.peer)))


def from_wire(message: wire.Eavesdropper) -> Eavesdropper:
    """Return the attack that a message describes. Refused when its figures are none of an attack."""
    try:
        return Eavesdropper(**{name: getattr(message, name) for name in _FIELDS}, bases=tuple(message.bases))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "[".join(str(step) for step in first["loc"]) + "]" * (len(first["loc"]) - 1)
        raise Refused(f"{where} of an attack: {first['msg'].lower()}") from None


def to_wire(eve: Eavesdropper) -> wire.Eavesdropper:
    """Return the message that describes an attack."""
    return wire.Eavesdropper(**eve.model_dump())


_FIELDS = tuple(name for name in Eavesdropper.model_fields if name != "bases")


def _load(file: Path) -> dict[str, Any]:
    try:
        kept = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}  # none yet, or nothing that we wrote
    return kept if isinstance(kept, dict) else {}


def _replace(file: Path, kept: dict[str, Any]) -> None:
    new = file.with_name(f".{file.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as stream:
        json.dump(kept, stream)
    os.replace(new, file)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change what is kept: links of two emulators may share the file."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # and the lock with it
