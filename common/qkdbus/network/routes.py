"""The links of a network, and which end of each decides."""

from __future__ import annotations

from dataclasses import dataclass

from .model import LinkSettings, Network


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
    common = {"protocol": network.config.qkd_protocol} | _given(network.link_defaults)
    return tuple(
        Route(arbiter, follower, LinkSettings.model_validate({**common, **_given(own.get((arbiter, follower)))}))
        for arbiter, follower in pairs
    )


def _ordered(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def _given(settings: LinkSettings | None) -> dict[str, object]:
    """Return the fields that the file gives, for they alone override."""
    if settings is None:
        return {}
    return {field: getattr(settings, field) for field in settings.model_fields_set if field != "between"}
