"""How every socket of ours is set: nothing lingers, dead TCP peers are noticed, one size limit."""

from __future__ import annotations

import zmq

LARGEST = 32 << 20  # octets in one message, between layers
LARGEST_FROM_APPLICATIONS = 256 << 10


def router(context: zmq.Context[zmq.Socket[bytes]], largest: int = LARGEST) -> zmq.Socket[bytes]:
    """Return a ROUTER that tells of peers that have gone instead of dropping their messages silently."""
    socket = _common(context.socket(zmq.ROUTER), largest)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.SNDHWM, 20_000)
    socket.setsockopt(zmq.RCVHWM, 20_000)
    return socket


def dealer(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    """Return a DEALER that keeps nothing for a peer that is not there."""
    socket = _common(context.socket(zmq.DEALER))
    socket.setsockopt(zmq.IMMEDIATE, 1)
    return _patient(socket)


def requester(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    """Return a REQ that may ask again, and that discards answers to what it asked before."""
    socket = _common(context.socket(zmq.REQ))
    socket.setsockopt(zmq.REQ_RELAXED, 1)
    socket.setsockopt(zmq.REQ_CORRELATE, 1)
    return _patient(socket)


def _common(socket: zmq.Socket[bytes], largest: int = LARGEST) -> zmq.Socket[bytes]:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, largest)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 1_000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3_000)
    # A door answers "not now" by silence (see Gatekeeper): try again then, not after libzmq's 30 s.
    socket.setsockopt(zmq.HANDSHAKE_IVL, 2_000)
    return socket


def _patient(socket: zmq.Socket[bytes]) -> zmq.Socket[bytes]:
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    return socket
