"""What a worker says of its exchanges in numbers."""

from __future__ import annotations

from qkdbus.meters import Histogram
from qkdbus.runtime import Room
from qkdbus.runtime.health import part
from qkdbus.wire.record_pb2 import BlockRecord

BITS = ("disclosed", "kept", "leaked", "verification_bits", "authentication_bits")


class Measures:
    """Counts exchanges by neighbour, and how long the stages of the pipeline took."""

    def __init__(self, room: Room) -> None:
        self._counters, self._histograms = room.counters, room.vitals.histograms

    def exchange(self, peer: str, record: BlockRecord, *, well: bool) -> None:
        """Count an exchange that has ended, with a block or without."""
        counters = self._counters
        counters[part("exchanges", peer=peer, outcome="block" if well else "failed")] += 1
        counters[part("signals_sent", peer=peer)] += record.sent
        counters[part("signals_created", peer=peer)] += record.created
        for name in BITS:
            counters[part("exchange_bits", peer=peer, use=name.removesuffix("_bits"))] += getattr(record, name)
        counters[part("exchange_bits", peer=peer, use="key")] += record.length if well else 0
        counters[part("errors_corrected", peer=peer)] += record.corrected
        self._observe(part("exchange_seconds", peer=peer), record.duration)
        for stage, seconds in record.stages.items():
            self._observe(part("stage_seconds", stage=stage), seconds)

    def _observe(self, name: str, seconds: float) -> None:
        if name not in self._histograms:
            self._histograms[name] = Histogram()
        self._histograms[name].observe(seconds)
