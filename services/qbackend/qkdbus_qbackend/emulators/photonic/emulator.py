"""The photonic emulator: one exchange's use of a link with a source, a channel and receivers as on the bench.

The sender's half draws what can be detected and sends the light's description over the quantum plane; the receiver's
half decides by Born's rule in its own basis. Neither protocol sees what only the other end may know.
"""

from __future__ import annotations

from collections.abc import Callable

from qkdbus.errors import Refused
from qkdbus.network.photonic import Eavesdropper
from qkdbus.physics.setup import PairSetup, PulseSetup, Setup

from ..ideal import Quantum
from ..port import LINEAR, Line, PulseLine, Role, Y
from .chance import Token
from .clock import LinkClock
from .pairs import PairLine
from .pulses import PulseSink, PulseSource, WeakPulses


class PhotonicEmulator:
    """An emulator for one exchange.

    `quantum` carries the signal to the other end; `eve` says who is in the channel, whenever a batch leaves; `clock`
    is the link's. `token` gives the key's chance (the system's random generator), `seed` the noise.
    """

    name = "photonic"
    bases = LINEAR | {Y}

    def __init__(
        self,
        quantum: Quantum,
        setup: Setup,
        eve: Callable[[], Eavesdropper],
        clock: LinkClock,
        token: Token,
        seed: int,
    ) -> None:
        self._quantum, self._setup, self._eve, self._clock = quantum, setup, eve, clock
        self._token, self._seed = token, seed
        self._line: PairLine | WeakPulses | None = None

    def line(self, role: Role, peer: str, name: str) -> Line:
        """Open the one line that the quantum plane carries. Refused on a link with weak pulses."""
        if not isinstance(self._setup, PairSetup):
            raise Refused("this link has weak pulses, and no entangled pairs")
        self._line = line = PairLine(self._quantum, self._setup, self._eve, self._clock, self._token, self._seed, role)
        return line

    def pulse_line(self, role: Role, peer: str, name: str) -> PulseLine:
        """Open the one line that the quantum plane carries. Refused on a link with pairs."""
        if not isinstance(self._setup, PulseSetup):
            raise Refused("this link has entangled pairs, and no weak pulses")
        end = (
            PulseSource(self._quantum, self._setup, self._eve, self._clock, self._token, self._seed)
            if role == "source"
            else PulseSink(self._quantum, self._setup, self._clock, self._token, self._seed)
        )
        self._line = line = WeakPulses(end, self._clock)
        return line

    def link_time(self) -> float:
        """Seconds that the exchange has taken on the link's clock."""
        return self._line.link_time if self._line else 0.0

    def tapped(self) -> int:
        """Clicks of weak pulses of which an eavesdropper has kept a photon (source only)."""
        return self._line.tapped if isinstance(self._line, WeakPulses) else 0
