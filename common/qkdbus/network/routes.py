"""The links of a network, and which end of each decides."""

from __future__ import annotations

from dataclasses import dataclass

from .base import Model
from .model import Link, LinkSettings, Network


@dataclass(frozen=True, slots=True)
class Route:
    """A link between neighbours.

    Attributes:
        arbiter: the end that decides which bits become which keys, and source of the pairs (design 5).
        follower: the other end.
        settings: how keys are formed on it.
    """

    arbiter: str
    follower: str
    settings: LinkSettings


def routes(network: Network) -> tuple[Route, ...]:
    """Return every link once, sorted by its ends. The smaller name is the arbiter."""
    pairs = sorted({_ordered(node.node_name, other) for node in network.nodes for other in node.neighbour_nodes})
    own = {_ordered(*link.between): link for link in network.links}
    return tuple(
        Route(arbiter, follower, settings(network, own.get((arbiter, follower)))) for arbiter, follower in pairs
    )


def settings(network: Network, own: Link | None) -> LinkSettings:
    """Return how keys are formed on a link: what it says itself, then the defaults, then the network's protocol.

    Fields go before fields; of `photonic`, which has blocks within, those of each block.
    """
    fields = {"protocol": network.config.qkd_protocol} | _given(network.link_defaults) | _given(own)
    if own is not None:
        fields["photonic"] = _over(network.link_defaults.photonic, own.photonic)
    return LinkSettings.model_validate(fields)


def _over(common: Model, own: Model) -> Model:
    """Return a block with the fields that `own` gives over those of `common`, blocks within it likewise."""
    fields = {field: getattr(common, field) for field in common.model_fields_set}
    for field in own.model_fields_set:
        value, below = getattr(own, field), getattr(common, field)
        fields[field] = _over(below, value) if isinstance(value, Model) else value
    return type(own).model_validate(fields)


def _ordered(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def _given(settings: LinkSettings | None) -> dict[str, object]:
    """Return the fields that the file gives, for they alone override."""
    if settings is None:
        return {}
    return {field: getattr(settings, field) for field in settings.model_fields_set if field != "between"}
