"""Packets that are lost or come twice, on their way between two nodes: nftables, in a network of our own (root).

What the relay says to a node in the name of another comes from an address that only the two have (places.py).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping

from .places import Addresses, inside

Pair = tuple[str, str]


def possible() -> bool:
    """Whether packets can be lost and doubled here."""
    return inside() and shutil.which("nft") is not None


class Packets:
    """What happens to the packets of each link, in percent. Each change is one step for all links."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._lost: dict[Pair, float] = {}
        self._doubled: dict[Pair, float] = {}

    def lose(self, pair: Pair, percent: float) -> None:
        """Lose so many of a link's packets, each way; 0: none."""
        self._lost[pair] = percent
        self._apply()

    def double(self, pair: Pair, percent: float) -> None:
        """Let so many of a link's packets arrive twice, each way; 0: none."""
        self._doubled[pair] = percent
        self._apply()

    def _apply(self) -> None:
        """Double what is sent, then lose of what arrives: a sender whose packet is dropped at once would be told so."""
        doubled = self._rules(self._doubled, 'dup to 127.0.0.1 device "lo"')
        text = f"table ip chaos\ndelete table ip chaos\ntable ip chaos {{\n{_chain('output', doubled)}"
        text += _chain("input", self._rules(self._lost, "drop")) + "}\n"
        subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True, capture_output=True)

    def _rules(self, of: Mapping[Pair, float], verdict: str) -> list[str]:
        lines = []
        for (one, other), percent in of.items():
            both = f"{{ {self._addresses.flow(one, other)}, {self._addresses.flow(other, one)} }}"
            chance = f"numgen random mod 1000 < {round(10 * percent)}"
            lines += [f"ip {end} {both} {chance} {verdict}\n" for end in ("saddr", "daddr") if percent]
        return lines


def _chain(hook: str, rules: list[str]) -> str:
    return f"chain {hook} {{ type filter hook {hook} priority 0; policy accept;\n{''.join(rules)}}}\n"
