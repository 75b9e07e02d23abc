"""What the key managers of neighbours tell us: the side of `contracts.keymanager.KeyManagerPeer`."""

from __future__ import annotations

from qkdbus.contracts.call import OPERATOR, Call
from qkdbus.errors import Refused, Unauthorised
from qkdbus.network.model import Buffers
from qkdbus.status import Status
from qkdbus.wire.head_pb2 import Nothing
from qkdbus.wire.keymanager_pb2 import Announce, Announced, Detach

from .absent import check_ksid
from .feed import Feed
from .peers import Peers
from .qos import negotiate
from .registry import Known, Registry
from .uri import Uri, parse


class NextDoor:
    """Hears neighbours. Everything they tell is idempotent, and may come late or doubled."""

    def __init__(self, me: str, buffers: Buffers, registry: Registry, peers: Peers, feed: Feed) -> None:
        self._me, self._buffers, self._registry = me, buffers, registry
        self._peers, self._feed = peers, feed

    def announce(self, request: Announce, call: Call) -> Announced:
        """Hear that an application next door holds a stream to one of ours."""
        source, destination = self._check(request, call)
        self._peers.heard(call.user)
        ksid, pair = request.ksid, frozenset((str(source), str(destination)))
        stream, offer = self._registry.live(ksid), negotiate(request.qos, self._buffers)
        if stream is not None:
            answer = self._peers.hear_announce(stream, request, offer)
            if answer.status == Status.OPEN_CONNECT_FAILED_KSID_IN_USE:
                self._feed.want(stream)  # is it the last incarnation that nobody told us the end of?
            return answer
        if self._registry.refused(ksid):
            return Announced(status=Status.OPEN_CONNECT_FAILED_KSID_IN_USE)
        known = self._registry.known.get(ksid)
        if known is not None and known.pair != pair:
            return Announced(status=Status.OPEN_CONNECT_FAILED_KSID_IN_USE)
        if offer.problem:
            return Announced(status=Status.OPEN_FAILED_QOS, qos=offer.qos)
        self._registry.learn(ksid, Known(call.user, str(source), str(destination), offer.qos, request.oid))
        return Announced(qos=offer.qos)

    def detach(self, request: Detach, call: Call) -> Nothing:
        """Hear that an application next door has left a stream."""
        check_ksid(request.ksid)
        self._peers.heard(call.user)
        known = self._registry.known.get(request.ksid)
        if known is not None and known.peer == call.user and known.oid == request.oid:
            del self._registry.known[request.ksid]
        stream = self._registry.live(request.ksid)
        if stream is not None and stream.peer == call.user and self._peers.hear_detach(stream, request.oid):
            self._feed.want(stream)
        return Nothing()

    def _check(self, request: Announce, call: Call) -> tuple[Uri, Uri]:
        check_ksid(request.ksid)
        if len(request.oid) != 16:
            raise Refused(f"the oid has {len(request.oid)} octets, not 16")
        if call.user not in self._peers:
            raise Unauthorised(f"{call.user!r} is no neighbour" if call.user != OPERATOR else "who are you?")
        source, destination = parse(request.source, "source"), parse(request.destination, "destination")
        if {source.node, destination.node} != {self._me, call.user}:
            raise Unauthorised(f"{call.user} may announce only streams between itself and {self._me}")
        return source, destination
