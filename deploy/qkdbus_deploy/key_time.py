"""How long a key takes over SimulaQron: the experiment of Appl. Sci. 2024, 14, 1018, section 5.3, on this machine.

Between two neighbours, 20 keys each of 64, 128, 256 and 512 bits. `one block per key` is the ancestor's way: an
exchange is started for each key. `batched` is ours by default: an exchange forms `link.block_bits`, many keys' worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qkdbus.network.model import Buffers, Config, LinkSettings, Network, Node

from .sandbox import sandbox
from .trial import Result, Wish, try_streams

Mode = Literal["one block per key", "batched"]
MODES: tuple[Mode, ...] = ("one block per key", "batched")
SIZES = (64, 128, 256, 512)  # bits
PAPER = {64: 20.0, 512: 120.0}  # s per key, as the paper reads (its Figure 10)
ANCESTOR = {64: 19.0, 128: 37.3, 256: 70.5, 512: 146.5}  # s per key of its code, measured on 2 cores
ANCESTOR_RATE = 3.5  # bit/s, the mean of the same measurement


@dataclass(frozen=True)
class Timing:
    """One row: a mode, a key size, and the result of its stream."""

    mode: Mode
    bits: int
    result: Result

    def row(self) -> dict[str, Any]:
        """The row as plain data: times in s, pairs per key, rates in bit/s."""
        told, keys = self.result.summary(), self.result.wish.count
        return {
            "mode": self.mode,
            "key_bits": self.bits,
            "keys": keys,
            "equal": told["equal"],
            "seconds_per_key": told["seconds_per_key"],
            "bits_per_second": told["bits_per_second"],
            "pairs_per_key": round(told["created"] / keys, 1),
            "discarded_per_key": round(told["sifted_out"] / keys, 1),
            "sifted_out_share": round(told["sifted_out"] / max(1, told["created"]), 4),
            "created": told["created"],
            "sifted_out": told["sifted_out"],
            "disclosed": told["disclosed"],
            "kept": told["kept"],
            "qber": told["qber"],
            "times_ancestor": round(told["bits_per_second"] / ANCESTOR_RATE, 1),
            "trouble": told["trouble"],
        }


def network_for(mode: Mode, bits: int, protocol: str) -> Network:
    """Two neighbours; one block per key means blocks as long as a key, one at a time, and no stock beyond two keys."""
    if mode == "batched":
        link, buffers = LinkSettings(), Buffers()
    else:
        link = LinkSettings(block_bits=bits, jobs=1)
        buffers = Buffers(window_bytes=max(64, 2 * bits // 8))
    return Network(
        name="key-time",
        config=Config.model_validate({"qkd_protocol": protocol}),
        nodes=(
            Node(node_name="Alice", neighbour_nodes=("Bob",)),
            Node(node_name="Bob", neighbour_nodes=("Alice",)),
        ),
        link_defaults=link.model_copy(update={"protocol": protocol}),
        buffers=buffers,
    )


def key_time(
    keys: int = 20,
    sizes: Sequence[int] = SIZES,
    modes: Sequence[Mode] = MODES,
    protocol: str = "e91-same-bases",
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Timing]:
    """Run the experiment; yield a row as it is measured. Each has a network of its own, started afresh."""
    for mode in modes:
        for bits in sizes:
            say(f"{keys} keys of {bits} bits, {mode}")
            with sandbox(network_for(mode, bits, protocol)) as box:
                [result] = try_streams(box.home, box.name, [Wish("Alice", "Bob", keys, bits // 8)])
            yield Timing(mode, bits, result)
