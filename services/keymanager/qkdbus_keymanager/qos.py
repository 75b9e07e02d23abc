"""Quality of service: what an application asks, what it gets (ETSI GS QKD 004 table 3, reference 1.2, 1.6)."""

from __future__ import annotations

from dataclasses import dataclass

from qkdbus.network.model import Buffers
from qkdbus.wire.keymanager_pb2 import QoS

JSON = "application/json"
LONGEST_MIMETYPE = 200  # characters


@dataclass(frozen=True, slots=True)
class Offer:
    """What the key manager can do. `problem` is empty, or says why the wish cannot be met (status 7)."""

    qos: QoS
    problem: str = ""


def negotiate(wish: QoS, buffers: Buffers) -> Offer:
    """Fill what is absent and check the rest; the offer is always one that would be accepted.

    What else stands in a wish (fields that we do not know) is not kept.
    """
    offer = QoS(
        key_chunk_size=buffers.default_chunk_bytes,
        max_bps=0,
        min_bps=0,
        jitter=0,
        priority=0,
        timeout=buffers.default_timeout_ms,
        ttl=buffers.default_ttl_s,
        metadata_mimetype=JSON,
    )
    offer.MergeFrom(wish)
    offer.DiscardUnknownFields()
    problems = [_chunk_size(offer, buffers), _rates(offer), _mimetype(offer)]
    return Offer(offer, "; ".join(problem for problem in problems if problem))


def _chunk_size(offer: QoS, buffers: Buffers) -> str:
    size = offer.key_chunk_size
    offer.key_chunk_size = min(max(size, 1), buffers.max_chunk_bytes)
    if size == offer.key_chunk_size:
        return ""
    return f"key_chunk_size is {size}; 1 to {buffers.max_chunk_bytes} bytes are possible"


def _rates(offer: QoS) -> str:
    if not offer.max_bps or offer.min_bps <= offer.max_bps:
        return ""
    problem = f"min_bps {offer.min_bps} is above max_bps {offer.max_bps}"
    offer.min_bps = offer.max_bps
    return problem


def _mimetype(offer: QoS) -> str:
    asked = offer.metadata_mimetype
    ours = len(asked) <= LONGEST_MIMETYPE and asked.partition(";")[0].strip().lower() == JSON
    if not asked or ours:
        return ""
    offer.metadata_mimetype = JSON
    return f"metadata is offered as {JSON} only"
