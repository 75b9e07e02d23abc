"""What an exchange made of its pairs or pulses: created = sifted_out + disclosed + kept. Counted, never the bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from qkdbus.wire.record_pb2 import BlockRecord


@dataclass(slots=True)
class Tally:
    """Counts of one exchange, as far as it went. What was not sifted to the end does not count.

    Attributes:
        sent: pairs or pulses that left the source; 0 where nothing is lost (then it is `created`).
        created: pairs; on a link with loss those pairs or pulses that were detected.
        sifted: of those, bits that both ends may keep.
        disclosed: bits published, in sifting or as a sample.
        kept: bits that went into distillation.
        leaked, corrected, rounds: of the error correction.
        verification_bits, authentication_bits: of the kept bits, given up.
        qber: of the published bits.
        stages: s of wall clock by stage.
    """

    protocol: str
    emulator: str
    run: bytes = b""
    sent: int = 0
    created: int = 0
    sifted: int = 0
    disclosed: int = 0
    kept: int = 0
    leaked: int = 0
    corrected: int = 0
    rounds: int = 0
    verification_bits: int = 0
    authentication_bits: int = 0
    length: int = 0
    qber: float = 0.0
    phase_error: float = 0.0
    security: str = ""
    epsilon: float = 0.0
    s: float = 0.0
    s_error: float = 0.0
    link_time: float = 0.0
    speed: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, monotonic: Callable[[], float]) -> Iterator[None]:
        """Count the time of what is done inside as that of a stage."""
        begun = monotonic()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + monotonic() - begun

    def record(self, duration: float, finished_at: float) -> BlockRecord:
        """Return the record; `duration` in s, `finished_at` in Unix time."""
        return BlockRecord(
            block_id=self.run,
            protocol=self.protocol,
            emulator=self.emulator,
            sent=self.sent or self.created,
            created=self.created,
            sifted_out=self.created - self.disclosed - self.kept,
            disclosed=self.disclosed,
            kept=self.kept,
            leaked=self.leaked,
            corrected=self.corrected,
            rounds=self.rounds,
            verification_bits=self.verification_bits,
            authentication_bits=self.authentication_bits,
            length=self.length,
            qber=self.qber,
            phase_error=self.phase_error,
            security=self.security,
            epsilon=self.epsilon,
            s=self.s,
            s_error=self.s_error,
            link_time=self.link_time,
            speed=self.speed,
            stages=self.stages,
            duration=duration,
            finished_at=finished_at,
        )


_APART = ("block_id", "stages", "trace")


def figures(record: BlockRecord) -> dict[str, object]:
    """Return a record as an event tells it: what is not 0, and s of wall clock by stage as `stage_<name>`."""
    told = {field.name: value for field, value in record.ListFields() if field.name not in _APART}
    told = {name: value.hex() if isinstance(value, bytes) else value for name, value in told.items()}
    return {**told, "block_id": record.block_id.hex(), **{f"stage_{name}": s for name, s in record.stages.items()}}
