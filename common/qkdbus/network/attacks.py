"""Which attacks are possible on a link: what its emulator and its protocol let an eavesdropper do."""

from __future__ import annotations

from .model import LinkSettings
from .photonic import PULSES, Eavesdropper

WORDS = {
    "intercept_resend": "intercept-resend",
    "photon_number_splitting": "photon-number splitting",
    "beam_splitting": "beam splitting",
    "jam": "jamming",
    "cut": "cutting the channel",
}  # in the order of the wire


def possible(link: LinkSettings) -> tuple[str, ...]:
    """Return the fields of `Eavesdropper` that a link allows; none on links of the ideal emulator."""
    if link.emulator == "ideal":
        return ()
    weak_pulses = link.emulator == "photonic" and link.protocol in PULSES
    return tuple(field for field in WORDS if weak_pulses or field not in ("photon_number_splitting", "beam_splitting"))


def objection(link: LinkSettings, eve: Eavesdropper) -> str:
    """Say why an attack is impossible on a link, and what is possible there; "" when it is possible.

    SimulaQron's stabilizer engine turns by multiples of 45 degrees only, so there she has no other bases.
    """
    allowed = possible(link)
    asked = [field for field in WORDS if getattr(eve, field)]
    wrong = [WORDS[field] for field in asked if field not in allowed]
    if wrong:
        return f"{' and '.join(wrong)} cannot be done on {_kind(link)}; possible there: {_listed(allowed)}"
    if link.emulator == "simulaqron" and link.engines() == ("stabilizer",):
        odd = [angle for angle in eve.bases if angle % 45]
        if odd:
            return (
                f"SimulaQron's stabilizer engine cannot measure at {odd[0]:g} degrees; her bases can be 0 and 45 there "
                "(`engine: qutip` on the link can measure at every angle)"
            )
    return ""


def _kind(link: LinkSettings) -> str:
    if link.emulator == "ideal":
        return "a link of the ideal emulator, whose pairs never leave the workers"
    if link.emulator == "simulaqron":
        return "a SimulaQron link, which has single qubits and no weak pulses"
    return f"a link with {link.protocol}, which has entangled pairs and no weak pulses"


def _listed(fields: tuple[str, ...]) -> str:
    return ", ".join(WORDS[field] for field in fields) or "nothing (photonic and SimulaQron links have a channel)"
