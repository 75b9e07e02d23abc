"""Putting an eavesdropper into the channel of a link, taking her out, asking who is there.

The channel is at the link's source (its arbiter): there the emulator program has it (SimulaQron), or the qbackend
workers (photonic), of which one is told and the others find out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qkdbus.contracts import emulator, qbackend
from qkdbus.errors import QkdbusError, Refused, Silent, Unavailable
from qkdbus.network.attacks import WORDS, objection, possible
from qkdbus.network.model import LinkSettings
from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.entangled import Tap, chsh, correlation
from qkdbus.wire import qbackend_pb2 as wire

from . import launch, nodes
from .nodes import Node
from .observe import Question, ask_many

PATIENCE = 5.0  # s
_HER_BASES = (0.0, 45.0)
_KEY_ANGLES = {"e91": (22.5, 45.0)}  # of the bases whose bits become key; the other protocols have 0 and 45
_SERVICES = {"simulaqron": ("emulator", emulator.CONTRACT), "photonic": ("qbackend", qbackend.CONTRACT)}


@dataclass(frozen=True)
class Channel:
    """A link's quantum channel and who is in it.

    Attributes:
        between: the link's ends, its source first.
        eve: who is in it now.
        in_file: whom the network file puts there.
    """

    network: str
    between: tuple[str, str]
    link: LinkSettings
    eve: Eavesdropper
    in_file: Eavesdropper


def attack(network: Path, one: str, other: str, eve: Eavesdropper | None) -> Channel:
    """Put `eve` into the channel between two nodes, in either order; None changes nothing. Returns who is in it then.

    Raises:
        Refused: no such link, or no such attack on it.
        Unavailable, Silent: the node that has the channel does not run, or does not answer.
    """
    link, between = find(network, one, other)
    if not possible(link):
        raise Refused(f"{' - '.join(between)} has no channel to sit in: its emulator is {link.emulator}")
    wrong = objection(link, eve) if eve else ""
    if wrong:
        raise Refused(f"{' - '.join(between)}: {wrong}")
    source = nodes.read(network, between[0])
    if between[0] not in launch.running(network):
        raise Unavailable(f"{between[0]}, which has the channel, is not running: `qkdbus start {network.name}`")
    return Channel(network.name, between, link, _ask(source, between[1], link, eve), link.eavesdropper)


def expect(link: LinkSettings, eve: Eavesdropper) -> list[str]:
    """Say what the ends will see of an attack on an otherwise ideal link (physics reference, section 5)."""
    if eve.cut:
        return ["nothing arrives; exchanges fail and no key is formed"]
    seen = []
    if eve.intercept_resend or eve.jam:
        seen.append(
            f"QBER {_qber(link.protocol, eve):.4f} on top of the link's own, with an alarm above {link.qber_abort:g}"
        )
        if link.protocol == "e91":
            s = (1 - eve.jam) * chsh(1.0, tap=_tap(eve))
            seen.append(f"S {s:.3f} instead of 2.828, with an alarm when it is not surely above {link.s_abort:g}")
    if eve.photon_number_splitting:
        seen.append(
            "no errors; decoys and signals are no longer lost alike, and the bound on single photons gives her away"
        )
    if eve.beam_splitting:
        seen.append(
            "nothing: her share of the loss looks like any other, and the key is shortened for all of it anyway"
        )
    return seen


def described(eve: Eavesdropper) -> str:
    """Return an attack in words; "nobody" when there is none."""
    if not eve.there:
        return "nobody"
    words = []
    for field, name in WORDS.items():
        share = getattr(eve, field)
        if share:
            words.append(name if share is True else f"{name} {share:g}")
    if eve.intercept_resend and eve.bases:
        words[0] += f" at {', '.join(f'{angle:g}' for angle in eve.bases)} degrees"
    return "Eve: " + ", ".join(words)


def find(network: Path, one: str, other: str) -> tuple[LinkSettings, tuple[str, str]]:
    """Return a link and its ends, the source first. Refused when there is no such link, or no such node here."""
    here = nodes.read(network, one if one in nodes.names(network) else other).settings
    peer = other if here.name == one else one
    if peer not in here.nodes:
        raise Refused(nodes.unknown("node", peer, list(here.nodes), network.name))
    neighbour = next((n for n in here.neighbours if n.name == peer), None)
    if neighbour is None:
        known = ", ".join(n.name for n in here.neighbours) or "nobody"
        raise Refused(f"no link between {one} and {other} in {network.name}: {here.name} is linked with {known}")
    return neighbour.link, (here.name, peer) if neighbour.arbiter else (peer, here.name)


def _ask(source: Node, peer: str, link: LinkSettings, eve: Eavesdropper | None) -> Eavesdropper:
    layer, contract = _SERVICES[link.emulator]
    request = wire.Attack(peer=peer)
    if eve is not None:
        request.eve.CopyFrom(wire.Eavesdropper(**eve.model_dump()))
        request.eve.SetInParent()  # nobody is somebody to be told of
    questions = [Question(s, s.endpoint, contract, "attack", request) for s in source.of(layer)]
    answers = [answer for _, answer in ask_many(questions, PATIENCE)]
    for answer in answers:
        if isinstance(answer, wire.Attacked) and answer.here:
            return _eavesdropper(answer.eve)
    raise _failure(answers, f"{source.settings.name} {layer}")


def _failure(answers: Sequence[object], who: str) -> QkdbusError:
    errors = [answer for answer in answers if isinstance(answer, QkdbusError)]
    told = [error for error in errors if not isinstance(error, Silent)]
    return (told or errors or [Refused(f"{who} says that the channel is not its own: deploy the network again")])[0]


def _eavesdropper(message: wire.Eavesdropper) -> Eavesdropper:
    fields = {name: getattr(message, name) for name in Eavesdropper.model_fields if name != "bases"}
    return Eavesdropper(bases=tuple(message.bases), **fields)


def _tap(eve: Eavesdropper) -> Tap:
    return Tap(eve.intercept_resend, eve.bases or _HER_BASES)


def _qber(protocol: str, eve: Eavesdropper) -> float:
    """Return (1 - E) / 2 with E the mean correlation in the key bases."""
    found = [correlation(angle, angle, tap=_tap(eve)) for angle in _KEY_ANGLES.get(protocol, _HER_BASES)]
    if protocol == "e91-same-bases":
        found.append(1 - eve.intercept_resend)  # Y, of which polarisers tell nothing
    return (1 - (1 - eve.jam) * sum(found) / len(found)) / 2
