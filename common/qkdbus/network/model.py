"""What a network file may say, as one model. `load.py` reads files into it; errors name file and line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Protocol = Literal["e91-same-bases", "bbm92"]
EmulatorName = Literal["simulaqron", "ideal"]
Engine = Literal["stabilizer", "projectq", "qutip"]
LAYERS = ("keymanager", "keysync", "dispatcher", "qbackend", "emulator")
NodeName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
Probability = Annotated[float, Field(ge=0, le=1)]


class Model(BaseModel):
    """Base of every part of the file: unknown fields are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Noise(Model):
    """Pauli errors on the travelling half of each pair (probabilities per pair)."""

    x: Probability = 0.0
    y: Probability = 0.0
    z: Probability = 0.0


class LinkSettings(Model):
    """How keys are formed on a link."""

    emulator: EmulatorName = "simulaqron"
    engine: Engine = "stabilizer"  # SimulaQron's; the others need their packages
    protocol: Protocol = "e91-same-bases"
    block_bits: Annotated[int, Field(ge=8, le=1 << 23)] = 1024  # key bits asked of one exchange
    disclose: Annotated[float, Field(gt=0, le=0.5)] = 0.1  # share of the sifted bits published to estimate the QBER
    qber_abort: Annotated[float, Field(gt=0, le=0.5)] = 0.11  # a block with a QBER above it is dropped, with an alarm
    noise: Noise = Noise()
    reservoir_bits: Annotated[int, Field(ge=0)] = 0  # agreed key bits kept ready that no stream has asked for
    jobs: Annotated[int, Field(ge=1, le=64)] = 2  # exchanges at once


class Buffers(Model):
    """How much key is kept ready, per stream and end."""

    window_bytes: Annotated[int, Field(ge=64)] = 4096  # agreed and not yet delivered by the slower end (>= 2 chunks)
    default_chunk_bytes: Annotated[int, Field(ge=1, le=1 << 20)] = 32
    max_chunk_bytes: Annotated[int, Field(ge=1, le=1 << 24)] = 1 << 20
    default_ttl_s: Annotated[int, Field(ge=1)] = 3600
    default_timeout_ms: Annotated[int, Field(ge=0)] = 10_000
    close_grace_s: Annotated[float, Field(ge=0)] = 30.0  # a closed KSID is refused (status 5) for so long


class LayerChoice(Model):
    """Which program is a layer."""

    run: str | None = None  # a command, or the name of an entry point of `qkdbus.layers`; none: the built-in
    replicas: Annotated[int, Field(ge=1, le=64)] = 1


class Security(Model):
    """What applications may do."""

    strict_status: bool = False  # an unknown stream is 3, not our extension 9 (reference 1.4)
