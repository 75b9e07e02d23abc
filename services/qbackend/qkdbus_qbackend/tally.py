"""What an exchange made of its pairs: created = sifted_out + disclosed + kept. Counted, never the bits."""

from __future__ import annotations

from dataclasses import dataclass

from qkdbus.wire.record_pb2 import BlockRecord


@dataclass(slots=True)
class Tally:
    """Counts of one exchange, as far as it went. Pairs of batches that were not sifted to the end do not count.

    Attributes:
        created: pairs.
        sifted: bits measured in equal bases.
        disclosed: of those, published.
        verification_bits: of the kept bits, given up.
        qber: of the disclosed bits.
    """

    protocol: str
    emulator: str
    run: bytes = b""
    created: int = 0
    sifted: int = 0
    disclosed: int = 0
    verification_bits: int = 0
    length: int = 0
    qber: float = 0.0

    def record(self, duration: float, finished_at: float) -> BlockRecord:
        """Return the record; `duration` in s, `finished_at` in Unix time."""
        return BlockRecord(
            block_id=self.run,
            protocol=self.protocol,
            emulator=self.emulator,
            created=self.created,
            sifted_out=self.created - self.sifted,
            disclosed=self.disclosed,
            kept=self.sifted - self.disclosed,
            verification_bits=self.verification_bits,
            length=self.length,
            qber=self.qber,
            duration=duration,
            finished_at=finished_at,
        )
