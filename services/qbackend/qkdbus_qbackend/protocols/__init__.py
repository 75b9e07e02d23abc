"""Protocols: what each end does with its halves of the pairs, or its pulses, and what the ends say about it.

Which protocol runs on which emulator:

    protocol         needs                  ideal    simulaqron                   photonic
    bbm92            pairs; 0 45            yes      any engine                   yes
    e91-same-bases   pairs; 0 45 circular   yes      any engine                   yes
    e91              pairs; 0 22.5 45 67.5  no       engine "qutip", "projectq"   yes
    bb84-decoy       weak pulses            no       no                           yes
    bb84-one-decoy   weak pulses            no       no                           yes

Numbers are polariser angles in degrees. `ideal` keeps one outcome per Pauli basis, and SimulaQron's engine
"stabilizer" has only Clifford gates: neither can measure at 22.5 degrees. `fits` says so in a sentence.
"""

from __future__ import annotations

from ..emulators.port import A22, A67, X, Y, Z
from .bb84 import BB84_DECOY, BB84_ONE_DECOY
from .bbm92 import BBM92
from .e91 import E91
from .e91_same_bases import E91_SAME_BASES
from .sifting import Evidence, PairProtocol, PulseProtocol, SameBases, Sifted

Protocol = PairProtocol | PulseProtocol  # told apart by `signal`
PROTOCOLS: dict[str, Protocol] = {
    "bbm92": BBM92,
    "e91": E91,
    "e91-same-bases": E91_SAME_BASES,
    "bb84-decoy": BB84_DECOY,
    "bb84-one-decoy": BB84_ONE_DECOY,
}

_ANGLES = {Z: "0 degrees", A22: "22.5 degrees", X: "45 degrees", A67: "67.5 degrees", Y: "circular polarisation"}
_BETTER = {"simulaqron": ', or simulaqron with engine "qutip" or "projectq"'}


def fits(protocol: Protocol, emulator_name: str, emulator_bases: frozenset[int], has_pulses: bool) -> str:
    """Return "" where the emulator can do what the protocol needs; otherwise a sentence that says why it cannot.

    `emulator_bases`: in which it measures halves of pairs, empty where it has none now (`port.Emulator.bases`).
    """
    if protocol.signal == "pulses":
        if has_pulses:
            return ""
        return f'{protocol.name} needs weak pulses, which emulator "{emulator_name}" does not have: take "photonic"'
    if not emulator_bases:
        return f'{protocol.name} needs entangled pairs, which emulator "{emulator_name}" does not have on this link'
    missing = protocol.bases - emulator_bases
    if not missing:
        return ""
    angles = " and ".join(angle for code, angle in _ANGLES.items() if code in missing)
    return (
        f'{protocol.name} measures at {angles}, which emulator "{emulator_name}" cannot: '
        f'take "photonic"{_BETTER.get(emulator_name, "")}'
    )


__all__ = ["PROTOCOLS", "Evidence", "PairProtocol", "Protocol", "PulseProtocol", "SameBases", "Sifted", "fits"]
