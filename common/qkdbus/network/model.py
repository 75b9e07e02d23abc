"""What a network file may say, as one model. `load.py` reads files into it; errors name file and line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from .base import Model, Probability
from .limits import Limits
from .photonic import Eavesdropper, Photonic

Protocol = Literal["e91-same-bases", "bbm92", "e91", "bb84-decoy", "bb84-one-decoy"]
EmulatorName = Literal["simulaqron", "photonic", "ideal"]
Engine = Literal["stabilizer", "projectq", "qutip"]
Sense = Literal["finite", "asymptotic"]
LayerName = Literal["keymanager", "keysync", "dispatcher", "qbackend", "emulator"]
LARGE = 1 << 16  # key bits of a block
LAYERS: tuple[LayerName, ...] = ("keymanager", "keysync", "dispatcher", "qbackend", "emulator")
NODE_NAME = r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$"
NodeName = Annotated[str, Field(pattern=NODE_NAME)]
NETWORK_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
NetworkName = Annotated[str, Field(pattern=NETWORK_NAME)]


class Noise(Model):
    """Pauli errors on the travelling half of each pair (probabilities per pair)."""

    x: Probability = 0.0
    y: Probability = 0.0
    z: Probability = 0.0


class LinkSettings(Model):
    """How keys are formed on a link."""

    emulator: EmulatorName = "simulaqron"
    engine: Engine | None = None  # SimulaQron's; None: the first of `engines()` that is installed
    protocol: Protocol = "e91-same-bases"
    block_bits: Annotated[int, Field(ge=8, le=1 << 23)] = 1024  # key bits asked of one exchange
    disclose: Annotated[float, Field(gt=0, le=0.5)] = 0.1  # share of the sifted bits published to estimate the QBER
    qber_abort: Annotated[float, Field(gt=0, le=0.5)] = 0.11  # a block with a QBER above it is dropped, with an alarm
    noise: Noise = Noise()
    reservoir_bits: Annotated[int, Field(ge=0)] = 0  # agreed key bits kept ready that no stream has asked for
    jobs: Annotated[int, Field(ge=1, le=64)] = 2  # exchanges at once, after the first
    photonic: Photonic = Photonic()  # of emulator photonic only
    eavesdropper: Eavesdropper = Eavesdropper()
    security: Sense | None = None  # in which sense keys are secret; None: see `sense`
    epsilon: Annotated[float, Field(gt=0, le=1e-2)] = 1e-10  # secrecy of a block, where security is finite
    s_abort: Annotated[float, Field(ge=0, le=2.8)] = 2.0  # E91: a block whose S is not surely above is dropped
    s_sigmas: Annotated[float, Field(ge=0, le=10)] = 3.0  # "surely": by so many standard errors

    @property
    def sense(self) -> Sense:
        """In which sense keys are secret: by default finite on photonic links, asymptotic on the others."""
        return self.security or ("finite" if self.emulator == "photonic" else "asymptotic")

    @property
    def large(self) -> bool:
        """Whether blocks are so long that distilling them asks for compiled kernels (numba), unlike others."""
        return self.emulator == "photonic" or self.block_bits >= LARGE

    def engines(self) -> tuple[Engine, ...]:
        """Return SimulaQron's engines that can do the protocol, the best first; only that which the file names."""
        if self.engine is not None:
            return (self.engine,)
        # E91 turns by 22.5 degrees, which a stabilizer cannot; projectq makes 5 times as many pairs as qutip
        return ("projectq", "qutip") if self.protocol == "e91" else ("stabilizer",)


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

    # A command (the node's folder is added as its last argument), or the name of an entry point in the group
    # `qkdbus.layers`. None: the built-in.
    run: Annotated[str, Field(min_length=1)] | None = None
    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    capacity: Annotated[int, Field(ge=1, le=256)] | None = None  # exchanges at once of a qbackend; None: its own choice


class Security(Model):
    """What applications may do."""

    strict_status: bool = False  # an unknown stream is 3, not our extension 9 (reference 1.4)
    limits: Limits = Limits()


class Config(Model):
    """What holds for the whole network, in the ancestor's words."""

    application_interface: Literal["etsi-gs-qkd-004"] = "etsi-gs-qkd-004"
    qkd_protocol: Protocol = "e91-same-bases"


class Node(Model):
    """A site, and the sites to which it has a link (both ends name each other)."""

    node_name: NodeName
    node_ip: str = ""  # where it is deployed on hosts; on one machine it is not used
    neighbour_nodes: tuple[str, ...] = ()
    layers: dict[LayerName, LayerChoice] = Field(default_factory=dict)  # field by field over the network's


class Link(LinkSettings):
    """What one link has of its own; a field that is not given comes from `link_defaults`."""

    between: tuple[str, str]


class Network(Model):
    """A whole network file. Fields tell their own story; `check.problems` holds them against each other."""

    qkdbus_version: Literal[1] = 1
    name: NetworkName
    config: Config = Config()
    nodes: Annotated[tuple[Node, ...], Field(min_length=1, max_length=1024)]
    link_defaults: LinkSettings = LinkSettings()
    links: tuple[Link, ...] = ()
    layers: dict[LayerName, LayerChoice] = Field(default_factory=dict)
    buffers: Buffers = Buffers()
    security: Security = Security()
    durability: Literal["process", "power"] = "process"  # what agreed keys survive: any process, or a power cut
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    _notices: tuple[str, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """What the reader of the file understood that its writer may not have meant."""
        return self._notices

    def noticing(self, notices: Sequence[str]) -> Network:
        """Return the same network with these notices."""
        copy = self.model_copy()
        copy._notices = tuple(notices)
        return copy

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the nodes, in the order of the file."""
        return tuple(node.node_name for node in self.nodes)

    def node(self, name: str) -> Node:
        """Return the node called `name`; KeyError when there is none."""
        for node in self.nodes:
            if node.node_name == name:
                return node
        raise KeyError(name)

    def choice(self, node: str, layer: LayerName) -> LayerChoice:
        """Return which program is a layer of a node: what the node says over what the network says."""
        own = self.node(node).layers.get(layer)
        common = self.layers.get(layer, LayerChoice())
        return common.model_copy(update=own.model_dump(exclude_unset=True)) if own else common
