"""What does not fit together in the physics of a link: protocol, emulator and engine; figures and preset; attacks.

A rule sees a link as it will be (its own fields over the defaults over the network's protocol), and is told where the
fields at fault stand: in the link's own entry or in what it inherits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isclose
from typing import NamedTuple

from .attacks import objection
from .model import Link, LinkSettings, Network
from .photonic import PULSES
from .routes import routes, settings
from .source import Location, Problem
from .words import nearest

PHOTONIC = "write `emulator: photonic`"
_COUNTS = {"bb84-decoy": 3, "bb84-one-decoy": 2}
_OF_PULSES = (("source", "intensities"), ("source", "probabilities"), ("source", "p_z"), ("receiver", "p_z"))
_OF_PAIRS = (("source", "at"), ("receiver", "window_ns"))


def problems(network: Network) -> Iterator[Problem]:
    """Yield what cannot be on the links of a network whose fields are each right."""
    entries: list[tuple[Location, Link | None]] = [(("links", place), link) for place, link in enumerate(network.links)]
    joined = {frozenset((node.node_name, other)) for node in network.nodes for other in node.neighbour_nodes}
    if joined - {frozenset(link.between) for link in network.links} or not network.links:
        entries.append((("link_defaults",), None))  # some link has nothing of its own
    for at, own in entries:
        case = _Case(network, at, own, settings(network, own))
        faults = [fault for rule in (_device, _blocks, _preset) for fault in rule(case)]
        yield from faults or _figures(case)


class _Case(NamedTuple):  # a dataclass takes 10 ms more to make, and every command waits for it
    """A link as it will be, and how it came to be so."""

    network: Network
    at: Location
    own: Link | None
    link: LinkSettings

    def fault(self, text: str, *path: str) -> Problem:
        """Return a problem at the field that counts: the link's own, an inherited one, or else the link's entry."""
        if self.own is not None and _gives(self.own, path):
            return Problem((*self.at, *path), text)
        if _gives(self.network.link_defaults, path):
            return Problem(("link_defaults", *path), text)
        if path == ("protocol",) and "qkd_protocol" in self.network.config.model_fields_set:
            return Problem(("config", "qkd_protocol"), text)
        return Problem(self.at, text)

    def gives(self, *path: str) -> bool:
        """Whether the file gives a field of the link, wherever."""
        return _gives(self.link, path)


def _gives(block: object, path: tuple[str, ...]) -> bool:
    for step in path:
        if step not in getattr(block, "model_fields_set", ()):
            return False
        block = getattr(block, step)
    return True


def _device(case: _Case) -> Iterator[Problem]:
    """Protocol, emulator and engine."""
    link = case.link
    if link.protocol in PULSES and link.emulator != "photonic":
        have = "has pairs of qubits and no weak pulses"
        text = f"`{link.protocol}` sends weak pulses, and the emulator {link.emulator} {have}"
        yield case.fault(f"{text}; {PHOTONIC}, or the protocol `bbm92`", "protocol")
    if link.protocol == "e91" and link.emulator == "ideal":
        text = "`e91` measures at 22.5 degrees, and the emulator ideal at 0 and 45 only"
        yield case.fault(f"{text}; {PHOTONIC} or simulaqron, or the protocol `bbm92`", "protocol")
    if link.protocol == "e91" and link.emulator == "simulaqron" and link.engine == "stabilizer":
        text = "`e91` measures at 22.5 degrees, and the engine stabilizer turns by multiples of 45 only"
        yield case.fault(f"{text}; leave `engine` out, or write projectq or qutip", "engine")


def _blocks(case: _Case) -> Iterator[Problem]:
    """Blocks of fields that are of no use on such a link."""
    link, own = case.link, case.own
    if own is not None and link.emulator != "photonic" and _gives(own, ("photonic",)):
        text = f"is for photonic links, and this one has the emulator {link.emulator}"
        yield case.fault(f"{text}; {PHOTONIC}, or remove this", "photonic")
    if own is not None and link.emulator == "photonic" and _gives(own, ("noise",)):
        text = "is for pairs of qubits; on a photonic link, noise is `photonic.noise` (depolarising, dephasing)"
        yield case.fault(f"{text}; write that, or remove this", "noise")
    said = objection(link, link.eavesdropper) if link.eavesdropper.there else ""
    if said:
        yield case.fault(said, "eavesdropper")


def _preset(case: _Case) -> Iterator[Problem]:
    name, protocol = case.link.photonic.preset, case.link.protocol
    if case.link.emulator != "photonic" or name is None:
        return
    from .presets import PRESETS

    pulses = protocol in PULSES
    fitting = [preset.name for preset in PRESETS.values() if (preset.protocol in PULSES) == pulses]
    if name not in PRESETS:
        text = f'"{name[:60]}" is not a preset' + nearest(name, list(PRESETS))
        yield case.fault(text, "photonic", "preset")
    elif name not in fitting:
        has, needs = ("entangled pairs", "weak pulses") if pulses else ("weak pulses", "entangled pairs")
        text = f"{name} is a source of {has}, and `{protocol}` needs {needs}; write {' or '.join(fitting)}"
        yield case.fault(text, "photonic", "preset")


def _figures(case: _Case) -> Iterator[Problem]:
    """The figures of a photonic link, once its preset is known to fit."""
    if case.link.emulator != "photonic":
        return
    yield from _twice(case)
    pulses = case.link.protocol in PULSES
    other, needs = (_OF_PAIRS, "weak pulses") if pulses else (_OF_PULSES, "entangled pairs")
    for path in other:
        if case.gives("photonic", *path):
            yield case.fault(f"means nothing with {needs} (`{case.link.protocol}`); remove it", "photonic", *path)
    if pulses:
        yield from _light(case)


def _twice(case: _Case) -> Iterator[Problem]:
    both = [("dark_probability", "dark_rate_hz")]
    both += [("misalignment", "visibility")] if case.link.protocol in PULSES else []
    for one, other in both:
        if case.gives("photonic", "receiver", one) and case.gives("photonic", "receiver", other):
            yield case.fault(f"says the same as `{one}`; keep one of them", "photonic", "receiver", other)


def _light(case: _Case) -> Iterator[Problem]:
    """Intensities of weak pulses and their probabilities."""
    source, protocol = case.link.photonic.source, case.link.protocol
    count = _COUNTS[protocol]
    if source.intensities is not None and (text := _intensities_fault(protocol, source.intensities)):
        yield case.fault(text, "photonic", "source", "intensities")
    if source.probabilities is None:
        return
    if len(source.probabilities) != count or 0 in source.probabilities:
        text = f"`{protocol}` sends each of {count} intensities now and then; write {count} probabilities above 0"
        yield case.fault(text, "photonic", "source", "probabilities")
    elif not isclose(sum(source.probabilities), 1, abs_tol=1e-9):
        text = f"should be 1 together, and are {sum(source.probabilities):g}"
        yield case.fault(text, "photonic", "source", "probabilities")


def _intensities_fault(protocol: str, said: tuple[float, ...]) -> str:
    """Return what the decoy bounds cannot do with these intensities, or nothing."""
    count, are = _COUNTS[protocol], f"and are {_listed(said)}"
    if len(said) != count:
        names = "signal, decoy and vacuum" if count == 3 else "signal and decoy"
        return f"`{protocol}` has {count} intensities ({names}), and these are {len(said)}; write {count}"
    falling = sorted(said, reverse=True)
    if list(said) != falling or len(set(said)) != count:
        example = f" (such as {_listed(falling)})" if len(set(said)) == count else ""
        return f"should fall, the signal first{example}, {are}"
    if said[1] == 0:
        return f"a decoy has light in it; write more than 0, {are}"
    if said[0] <= sum(said[1:]):
        return f"the signal should be brighter than the decoys together, {are}"
    return ""


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def notices(network: Network) -> Iterator[str]:
    """Yield which photonic links will give no key, by formula; and that photonic figures are for no link."""
    found = routes(network)
    if "photonic" in network.link_defaults.model_fields_set and all(r.settings.emulator != "photonic" for r in found):
        yield "no link has the emulator photonic, so `photonic` in link_defaults does nothing"
    for route in found:
        if route.settings.emulator == "photonic" and (why := _no_key(route.settings)):
            yield f"{route.arbiter} - {route.follower} gives no key by the formulas: {why}"


def _no_key(link: LinkSettings) -> str:
    """Return why a photonic link cannot be expected to give a key, or nothing."""
    from ..physics.expected import Terms, expected  # only photonic links wait for it

    setup, block = link.photonic.setup(link.protocol), link.photonic.block_bits(link.protocol)
    endless = expected(setup, link.protocol, Terms(disclose=link.disclose))
    if endless.secret_hz <= 0:
        return f"QBER {endless.qber:.1%}, {endless.detected_hz:.3g} detections/s"
    if endless.qber > link.qber_abort:
        return f"QBER {endless.qber:.1%}, and qber_abort is {link.qber_abort:.1%}"
    terms = Terms(disclose=link.disclose, block=block, epsilon=link.epsilon)
    if link.sense == "finite" and expected(setup, link.protocol, terms).secret_hz <= 0:
        return f"blocks of {block} sifted bits prove too little (`photonic.block` makes them larger)"
    return ""
